"""Writes the seeds of the fuzz target `torch`: small files that torch.save writes.

    python fuzz/make_torch_seeds.py

Needs torch. A seed's first byte says what the fuzz target puts around the rest: nothing, the
beginning of a file of before PyTorch 1.6, or a zip. The seeds are checked in.
"""

import io
import pathlib
import zipfile

import torch
from torch import nn

CORPUS = pathlib.Path(__file__).parent / "corpus" / "torch"


def seed(name, kind, data):
    CORPUS.mkdir(parents=True, exist_ok=True)
    (CORPUS / f"seed-{name}").write_bytes(bytes([kind]) + data)


def saved(what, **options):
    file = io.BytesIO()
    torch.save(what, file, **options)
    return file.getvalue()


def pickled(what, protocol):
    """The pickle of what is saved, alone."""
    with zipfile.ZipFile(io.BytesIO(saved(what, pickle_protocol=protocol))) as archive:
        return archive.read("archive/data.pkl")


def main():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1)).state_dict()
    norm = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).state_dict()
    old = {"_use_new_zipfile_serialization": False}
    seed("zip", 0, saved(layers))
    seed("legacy", 0, saved(layers, **old))
    behind = saved(layers, **old).index(b"collections\nOrderedDict") - 3
    seed("behind-preamble", 1, saved(layers, **old)[behind:])
    for protocol in (2, 4):
        seed(f"pickle-{protocol}", 2, pickled(layers, protocol))
        seed(f"norm-{protocol}", 2, pickled(norm, protocol))
    rest = {"epoch": 1, "device": torch.device("cpu"), "lr": 0.5, "shape": torch.Size([1])}
    seed("checkpoint", 2, pickled({**rest, "state_dict": layers}, 2))
    seed("parameters", 2, pickled({name: nn.Parameter(t) for name, t in layers.items()}, 2))


if __name__ == "__main__":
    main()
