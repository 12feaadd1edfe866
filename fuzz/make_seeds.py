"""Writes the seed corpora: a few small sound files per format.

    python fuzz/make_seeds.py

Needs onnx, onnxruntime and numpy, as tests/python does. The seeds are checked in.
"""

import io
import json
import pathlib
import struct
import sys

import numpy as np

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "python"))

import make_onnx_fixtures as fixtures  # noqa: E402


def seed(target, name, data):
    directory = HERE / "corpus" / target
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"seed-{name}").write_bytes(data)


def onnx():
    wanted = {"gemm-3", "matmul-transposed", "double", "norm-next", "gelu-by-tanh", "hard-swish"}
    wanted |= {"reshape-computed", "image-normalised", "softmax-axis", "clip", "selu-6"}
    for opset in (9, 17):
        for family in (
            fixtures.activations,
            fixtures.decomposed,
            fixtures.layers,
            fixtures.folded,
            fixtures.flattened,
        ):
            for name, chain in family(opset):
                if name in wanted:
                    seed("onnx", f"{opset}-{name}", chain.model().SerializeToString())


def onnx_graph():
    # An opset, a shape, then operator, number of inputs, the inputs, an attribute, again and again.
    relu = bytes([5, 0, 11, 1, 0, 15])
    layer = bytes([5, 0, 0, 3, 0, 129 + 4, 129 + 2, 1, 19, 1, 0, 15, 27, 1, 0, 4])
    last = bytes([5, 4, 1, 2, 0, 129 + 6, 15, 34, 1, 0, 15])
    for name, data in (("relu", relu), ("layer", layer), ("last", last)):
        seed("onnx_graph", name, data)


def safetensors():
    layers = [
        {"weight": "0.weight", "bias": "0.bias", "activation": "clip", "parameters": [0.0, "inf"]},
        {"weight": "1.weight", "activation": "identity"},
    ]
    metadata = {
        "fusewire.version": "1",
        "fusewire.name": "seed",
        "fusewire.layers": json.dumps(layers),
        "fusewire.transform": json.dumps({"scale": 0.5, "offset": [0.0, 1.0]}),
        "fusewire.u8_scale": "0.5",
        "fusewire.head": "softmax",
        "fusewire.labels": json.dumps(["a"]),
    }
    for dtype, kind in (("F32", "<f4"), ("F16", "<f2"), ("F64", "<f8")):
        header, payload = {"__metadata__": metadata}, b""
        for name, shape in (("0.weight", [3, 2]), ("0.bias", [3]), ("1.weight", [1, 3])):
            data = np.ones(shape, kind).tobytes()
            offsets = [len(payload), len(payload) + len(data)]
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
            payload += data
        text = json.dumps(header).encode()
        seed("safetensors", dtype.lower(), struct.pack("<Q", len(text)) + text + payload)


def npy():
    for kind in ("<f2", "<f4", "<f8"):
        for order in "CF":
            file = io.BytesIO()
            np.save(file, np.asarray(np.ones((2, 3)), kind, order=order))
            seed("npy", f"{kind[1:]}-{order}", file.getvalue())


def npz():
    members = {
        "0-WEIGHT-w": np.ones((3, 2), "<f4"),
        "1-BIAS-w": np.ones(3, "<f4"),
        "2-ACTIVATION-RELU-w": np.zeros(0, "<f4"),
        "3-WEIGHT-w": np.ones((1, 3), "<f2"),
    }
    for name, save in (("stored", np.savez), ("deflated", np.savez_compressed)):
        file = io.BytesIO()
        save(file, **members)
        seed("npz", name, file.getvalue())


if __name__ == "__main__":
    onnx()
    onnx_graph()
    safetensors()
    npy()
    npz()
