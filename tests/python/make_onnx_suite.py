"""Writes the cases of ONNX's own backend test suite for tests/formats/suite.rs.

    python make_onnx_suite.py DIRECTORY

The cases of single operators, which onnx makes when it is asked, and those of several that lie in
its package. Weights are bound: of a case's inputs the first of floats stays an input, and all
others become constants with the case's own values. For every NAME.onnx there are NAME.rows and
NAME.scores, little-endian float32, where the case has such numbers; `cases.json` says of each what
it is and what its scores may differ by. Needs onnx and numpy.
"""

import json
import pathlib
import sys
import warnings

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnx.backend.test.case.node import collect_testcases

# The operators of dense chains, and those that stand right beside them.
SUBSET = set(
    "Add ArgMax BatchNormalization Cast Celu Clip Constant Div Dropout Elu Flatten Gelu Gemm "
    "HardSigmoid HardSwish Identity LeakyRelu LogSoftmax MatMul Mish Mul Neg PRelu Relu Reshape "
    "Selu Sigmoid Softmax Softplus Softsign Squeeze Sub Swish Tanh ThresholdedRelu Transpose "
    "Unsqueeze".split()
)
PLAIN = {TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL}
FLOATS = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16}


def element(value):
    """The data type of an input or output that is a tensor, else 0."""
    return value.type.tensor_type.elem_type if value.type.HasField("tensor_type") else 0


def to_array(value):
    """What a case gives as an array, a number or a tensor as an array; else None."""
    if isinstance(value, TensorProto):
        value = numpy_helper.to_array(value)
    return np.asarray(value) if isinstance(value, (np.ndarray, np.generic)) else None


def numbers(array):
    """An array's numbers as the bytes of float32, or None where it holds none."""
    if not isinstance(array, np.ndarray) or array.dtype.kind in "OSUc":
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.ascontiguousarray(array).astype("<f4").tobytes()


def tensor_of(array, name, data_type):
    if not isinstance(array, np.ndarray):
        return None
    tensor = numpy_helper.from_array(array, name)
    return tensor if tensor.data_type == data_type else None


def bound(model, arrays):
    """The model with one input, and the index of what that is given."""
    initializers = {tensor.name for tensor in model.graph.initializer}
    given = [value for value in model.graph.input if value.name not in initializers]
    floats = [index for index, value in enumerate(given) if element(value) in FLOATS]
    data = floats[0] if floats else 0
    for index, value in enumerate(given[: len(arrays)]):
        tensor = tensor_of(arrays[index], value.name, element(value))
        if index != data and tensor is not None:
            model.graph.input.remove(value)
            model.graph.initializer.append(tensor)
    return data


def opset(model):
    standard = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    return max(standard, default=0)


def is_in_subset(model):
    """Whether the case is of one operator of the subset, and of types that such files have."""
    values = [*model.graph.input, *model.graph.output]
    nodes = model.graph.node
    return (
        len(nodes) == 1
        and nodes[0].op_type in SUBSET
        and not nodes[0].domain
        and all(element(value) in PLAIN for value in values)
    )


def scores_of(model, arrays):
    """The output of floats, where there is one, else the first."""
    floats = [index for index, value in enumerate(model.graph.output) if element(value) in FLOATS]
    index = floats[0] if floats else 0
    return arrays[index] if index < len(arrays) else None


class Suite:
    def __init__(self, directory):
        self.directory, self.cases = directory, []

    def add(self, group, name, model, inputs, outputs, tolerance):
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        case = {
            "name": name,
            "group": group,
            "subset": group != "node" or is_in_subset(model),
            "operators": [node.op_type for node in model.graph.node],
            "opset": opset(model),
            "rtol": tolerance[0],
            "atol": tolerance[1],
        }
        if any(element(value) == TensorProto.BFLOAT16 for value in model.graph.output):
            # The suite's numbers are rounded to 8 bits themselves.
            case["rtol"] = max(case["rtol"], 2**-8)
        data = bound(copy, inputs)
        scores = scores_of(model, outputs)
        files = {
            "rows": numbers(inputs[data]) if data < len(inputs) else None,
            "scores": numbers(scores) if scores is not None else None,
        }
        path = self.directory / f"{group}-{name}"
        path.with_name(path.name + ".onnx").write_bytes(copy.SerializeToString())
        for end, content in files.items():
            if content is not None:
                path.with_name(f"{path.name}.{end}").write_bytes(content)
        self.cases.append(case)

    def node_cases(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cases = collect_testcases(None)
        for case in cases:
            inputs, outputs = ([to_array(value) for value in s] for s in case.data_sets[0])
            tolerance = (case.rtol, case.atol)
            self.add("node", case.name, case.model, inputs, outputs, tolerance)

    def stored_cases(self):
        data = pathlib.Path(onnx.__file__).parent / "backend" / "test" / "data"
        for path in sorted(data.glob("*/*/model.onnx")):
            model = onnx.load(path)
            folder = path.parent / "test_data_set_0"
            read = lambda kind: [self.array(file) for file in sorted(folder.glob(f"{kind}_*.pb"))]
            names = (path.parent.parent.name, path.parent.name)
            if folder.exists():
                self.add(*names, model, read("input"), read("output"), (1e-3, 1e-7))

    @staticmethod
    def array(file):
        try:
            return numpy_helper.to_array(onnx.load_tensor(file))
        except Exception:  # A sequence or a damaged file holds no rows.
            return None

    def write(self):
        (self.directory / "cases.json").write_text(json.dumps(self.cases))
        print(f"{len(self.cases)} cases written")


if __name__ == "__main__":
    target = pathlib.Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    suite = Suite(target)
    suite.node_cases()
    suite.stored_cases()
    suite.write()
