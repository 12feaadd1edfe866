"""Reads a model that fusewire wrote, with nothing but Python."""

import array
import json
import pathlib
import struct


def layers(path):
    """For each layer the shape [outputs, inputs] and values of its weights, and its biases, which
    may be None."""
    content = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])

    def tensor(name):
        about = header[name]
        if about["dtype"] != "F32":
            raise ValueError(f"{name} is {about['dtype']}; expected F32")
        begin, end = about["data_offsets"]
        return tuple(about["shape"]), array.array("f", content[8 + length :][begin:end])

    chain = json.loads(header["__metadata__"]["fusewire.layers"])
    return [(tensor(it["weight"]), tensor(it["bias"]) if "bias" in it else None) for it in chain]
