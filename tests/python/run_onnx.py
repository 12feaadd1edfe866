"""Checks ONNX files and runs them, for tests/formats/onnx_written.rs.

    python run_onnx.py DIRECTORY

Every NAME.onnx must pass ONNX's own checker with shapes inferred, and take `input`,
[batch, inputs], to `output`, [batch, classes]. NAME.rows, little-endian float32, is run by ONNX
Runtime, and the scores written to NAME.scores.
"""

import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import checker


def sizes(value):
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


def run(path):
    model = onnx.load(path)
    checker.check_model(model, full_check=True)
    (given,), (told,) = model.graph.input, model.graph.output
    assert (given.name, told.name) == ("input", "output"), (given.name, told.name)
    assert sizes(given)[0] == sizes(told)[0] == "batch", (sizes(given), sizes(told))
    rows = np.fromfile(path.with_suffix(".rows"), "<f4").reshape(-1, sizes(given)[1])
    (scores,) = onnxruntime.InferenceSession(path).run(None, {"input": rows})
    assert scores.shape == (len(rows), sizes(told)[1]), scores.shape
    path.with_suffix(".scores").write_bytes(scores.astype("<f4").tobytes())


if __name__ == "__main__":
    for file in sorted(pathlib.Path(sys.argv[1]).glob("*.onnx")):
        run(file)
