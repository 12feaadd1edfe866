#!/usr/bin/env python3
"""Gives an ONNX classifier a free batch dimension: make_batchable_onnx.py IN.onnx OUT.onnx

Older exports fix the batch at 1, in the input's shape and in a Reshape to the constant [1, -1].
Both go; weights stay byte for byte.
"""

import sys

import onnx
from onnx import numpy_helper


def main(source: str, target: str) -> None:
    model = onnx.load(source)
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = node.attribute[0].t
    for node in [node for node in graph.node if node.op_type == "Reshape"]:
        shape = numpy_helper.to_array(constants[node.input[1]]).tolist()
        if shape != [1, -1]:
            sys.exit(f"{source}: Reshape to {shape} is none that only flattens one row")
        bypass(graph, node)
    read = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in read]:
        graph.initializer.remove(tensor)
    width = graph.input[0].type.tensor_type.shape.dim[-1].dim_value
    for value, width in [(graph.input[0], width), (graph.output[0], None)]:
        dims = value.type.tensor_type.shape.dim
        width = width or dims[-1].dim_value
        del dims[:]
        dims.add().dim_param = "batch"
        dims.add().dim_value = width
    del graph.value_info[:]
    onnx.checker.check_model(model)
    onnx.save(model, target)


def bypass(graph: onnx.GraphProto, node: onnx.NodeProto) -> None:
    """Removes a node; what read its output reads its first input."""
    for reader in graph.node:
        for index, name in enumerate(reader.input):
            if name == node.output[0]:
                reader.input[index] = node.input[0]
    graph.node.remove(node)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
