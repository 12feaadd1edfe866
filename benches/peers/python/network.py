"""The files that all peers share: the network in words, its weights, the rows."""

import json
import pathlib
import struct

import numpy as np


class Missing(Exception):
    """Why a peer cannot take part: its runtime is not there, or lacks what the network needs."""


class Network:
    """What the runner wrote into a folder."""

    def __init__(self, folder: pathlib.Path) -> None:
        words = json.loads((folder / "network.json").read_text())
        self.inputs: int = words["inputs"]
        self.classes: int = words["classes"]
        self.rows: int = words["rows"]
        self.onnx = folder / "network.onnx"
        self.folder = folder
        self._layers = words["layers"]
        self._beside_layers = words["beside_layers"]

    def images(self) -> np.ndarray:
        """The rows, `[rows, inputs]`."""
        values = np.fromfile(self.folder / "rows.f32", dtype=np.float32)
        return values.reshape(self.rows, self.inputs)

    def layers(self) -> list[tuple[np.ndarray, np.ndarray | None, str]]:
        """Weight `[outputs, inputs]`, bias and activation of each layer, where there is nothing
        but layers."""
        if self._beside_layers:
            raise Missing(f"{self._beside_layers} is not written down for it")
        tensors = read_safetensors(self.folder / "network.safetensors")
        return [
            (
                tensors[layer["weight"]],
                tensors[layer["bias"]] if layer["bias"] else None,
                layer["activation"],
            )
            for layer in self._layers
        ]


def read_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The tensors of a file in which all are 32-bit floats."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, told in header.items():
        begin, end = (8 + length + offset for offset in told["data_offsets"])
        tensors[name] = np.frombuffer(data[begin:end], dtype="<f4").reshape(told["shape"])
    return tensors


def activation(name: str, known: dict):
    """The runtime's function of that name."""
    if name not in known:
        raise Missing(f"{name} is not written down for it")
    return known[name]
