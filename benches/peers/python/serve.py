#!/usr/bin/env python3
"""A peer in Python: serve.py NAME FOLDER

Loads peer_NAME.py (with `_` for `-`) on the network in FOLDER and answers the runner, a line of
JSON for each request; see src/protocol.rs. A peer has `load(network)`, which returns the runtime's
version and a function from rows to scores.
"""

import collections
import importlib
import json
import os
import pathlib
import sys
import time

CALLS_MIN = 3


def main(name: str, folder: pathlib.Path) -> None:
    # Libraries print where they like; the runner's pipe is not for them.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def say(**what) -> None:
        answers.write(json.dumps(what) + "\n")

    try:
        import network as files

        network = files.Network(folder)
        peer = importlib.import_module("peer_" + name.replace("-", "_"))
        version, call = peer.load(network)
    except ImportError as error:
        return say(missing=str(error))
    except files.Missing as error:
        return say(missing=str(error))
    except Exception as error:
        return say(failed=f"{type(error).__name__}: {error}")
    say(ready={"version": version})
    server = Server(network, call)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["seconds"] is None:
                server.answer_all(request["batch"], folder / f"{name}.scores")
                say(took={})
            else:
                say(took=server.time(request["batch"], request["seconds"]))
        except Exception as error:
            say(failed=f"{type(error).__name__}: {error}")


class Server:
    """A peer, and the rows that its batches walk through."""

    def __init__(self, network, call) -> None:
        self.network = network
        self.images = network.images()
        self.call = call
        self.next = 0

    def rows(self, batch: int):
        """The next batch."""
        first = self.next % (self.network.rows // batch) * batch
        self.next += 1
        return self.images[first : first + batch]

    def answer_all(self, batch: int, to: pathlib.Path) -> None:
        """Writes the scores of every row that batches of this size visit."""
        import numpy as np

        self.next = 0
        with to.open("wb") as out:
            for _ in range(self.network.rows // batch):
                scores = np.asarray(self.call(self.rows(batch)), dtype=np.float32)
                if scores.shape != (batch, self.network.classes):
                    raise ValueError(f"scores of shape {scores.shape}")
                out.write(scores.tobytes())

    def time(self, batch: int, seconds: float) -> dict[int, int]:
        """How many calls took how many nanoseconds."""
        call, clock = self.call, time.perf_counter_ns
        end = clock() + int(seconds * 1e8)
        while clock() < end:
            call(self.rows(batch))
        took = []
        end = clock() + int(seconds * 1e9)
        while len(took) < CALLS_MIN or clock() < end:
            rows = self.rows(batch)
            begin = clock()
            call(rows)
            took.append(clock() - begin)
        return dict(collections.Counter(took))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], pathlib.Path(sys.argv[2]))
