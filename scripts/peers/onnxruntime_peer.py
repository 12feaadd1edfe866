#!/usr/bin/env python3
"""Times ONNX Runtime through its Python package, one thread: onnxruntime_peer.py MODEL.onnx

The model's batch dimension must be free. Inputs rotate over 8,192 rows of random pixels.
"""

import sys
import time

import numpy as np
import onnxruntime

BATCHES = [1, 10, 100, 1000, 4096]
ROWS = 8192
ROWS_TIMED = 100_000


def main(path: str) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    runtime = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    given = runtime.get_inputs()[0]
    rows = np.random.default_rng(7).random((ROWS, given.shape[-1]), dtype=np.float32)
    print(f"onnxruntime {onnxruntime.__version__} from Python, one thread; us a call")
    print("batch      best       p50       p99")
    for batch in BATCHES:
        calls = min(max(ROWS_TIMED // batch, 60), 10_000)
        took = []
        for call in range(calls + 10):
            start = call % (ROWS // batch) * batch
            values = rows[start : start + batch]
            begin = time.perf_counter()
            runtime.run(None, {given.name: values})
            took.append((time.perf_counter() - begin) * 1e6)
        best, p50, p99 = np.percentile(took[10:], [0, 50, 99])
        print(f"{batch:>5} {best:>9.2f} {p50:>9.2f} {p99:>9.2f}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
