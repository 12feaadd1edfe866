"""Writes ONNX files and the scores a peer gives them, for tests/formats/peer.rs.

    python make_onnx_fixtures.py DIRECTORY

For every NAME.onnx there are NAME.rows and NAME.scores, little-endian float32. Files named
`made-*` are dense chains and must be read; files named `suite-*` come from ONNX's own test suite
and may be refused, but never scored otherwise. Scores are ONNX Runtime's, or those of ONNX's
reference evaluator where ONNX Runtime does not know the opset yet.
"""

import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, checker, defs, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

OPSETS = [9, 11, 13, 17, 18, 20, 22, 24, defs.onnx_opset_version()]
ROWS, INPUTS, HIDDEN, CLASSES = 16, 6, 5, 4
RANDOM = np.random.default_rng(1)


def numbers(*shape):
    return RANDOM.normal(size=shape).astype(np.float32)


class Chain:
    """A graph in the making: `value` is the name of what the last node wrote."""

    def __init__(self, opset, shape=("N", INPUTS), element=TensorProto.FLOAT):
        self.opset, self.shape, self.element = opset, shape, element
        self.nodes, self.tensors, self.value = [], [], "x"

    def constant(self, array):
        name = f"c{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def then(self, op, *inputs, **attributes):
        """Adds a node; an input is an array, a name, or None for the chain's value."""
        inputs = inputs or (None,)
        names = []
        for value in inputs:
            is_name = isinstance(value, str)
            names.append(
                self.value if value is None else value if is_name else self.constant(value)
            )
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, names, [name], name=f"{op}_{name}", **attributes))
        self.value = name
        return self

    def dense(self, inputs, outputs):
        return self.then("Gemm", None, numbers(outputs, inputs), numbers(outputs), transB=1)

    def norm(self, width):
        variance = np.abs(numbers(width)) + np.float32(0.5)
        return self.then(
            "BatchNormalization", None, numbers(width), numbers(width), numbers(width), variance
        )

    def model(self):
        graph = helper.make_graph(
            self.nodes,
            "chain",
            [helper.make_tensor_value_info("x", self.element, self.shape)],
            [helper.make_tensor_value_info(self.value, TensorProto.FLOAT, ("N", CLASSES))],
            self.tensors,
        )
        opset = helper.make_opsetid("", self.opset)
        return helper.make_model(graph, opset_imports=[opset], ir_version=8)


def f32(number):
    return np.asarray(number, dtype=np.float32)


def i64(*values):
    return np.asarray(values, dtype=np.int64)


ACTIVATIONS = [
    ("Relu", {}),
    ("LeakyRelu", {}),
    ("LeakyRelu", {"alpha": 0.3}),
    ("Elu", {}),
    ("Elu", {"alpha": 1.7}),
    ("Selu", {}),
    ("Selu", {"alpha": 1.1, "gamma": 0.9}),
    ("Celu", {}),
    ("Celu", {"alpha": 0.4}),
    ("Gelu", {}),
    ("Gelu", {"approximate": "tanh"}),
    ("Sigmoid", {}),
    ("HardSigmoid", {}),
    ("HardSigmoid", {"alpha": 0.3, "beta": 0.4}),
    ("Tanh", {}),
    ("Softplus", {}),
    ("Softsign", {}),
    ("HardSwish", {}),
    ("Swish", {}),
    ("Mish", {}),
]


def activations(opset):
    for index, (op, attributes) in enumerate(ACTIVATIONS):
        try:
            defs.get_schema(op, opset, "")
        except defs.SchemaError:
            continue
        chain = Chain(opset).dense(INPUTS, HIDDEN).then(op, **attributes)
        yield f"{op.lower()}-{index}", chain.dense(HIDDEN, CLASSES)
    clip = Chain(opset).dense(INPUTS, HIDDEN)
    clip = (
        clip.then("Clip", min=-0.5, max=6.0)
        if opset < 11
        else clip.then("Clip", None, f32(-0.5), f32(6))
    )
    yield "clip", clip.dense(HIDDEN, CLASSES)


def decomposed(opset):
    def start():
        return Chain(opset).dense(INPUTS, CLASSES)

    chain = start()
    x = chain.value
    chain.then("Div", None, f32(np.sqrt(2))).then("Erf").then("Add", None, f32(1))
    yield "gelu-by-erf", chain.then("Mul", x, None).then("Mul", None, f32(0.5))
    chain = start()
    x = chain.value
    chain.then("Pow", x, f32(3)).then("Mul", None, f32(0.044715)).then("Add", x, None)
    chain.then("Mul", None, f32(np.sqrt(2 / np.pi))).then("Tanh").then("Add", None, f32(1))
    chain.then("Mul", None, f32(0.5))
    yield "gelu-by-tanh", chain.then("Mul", x, None)
    chain = start()
    x = chain.value
    yield "silu", chain.then("Sigmoid").then("Mul", x, None)
    chain = start()
    x = chain.value
    yield "mish", chain.then("Softplus").then("Tanh").then("Mul", x, None)
    chain = start()
    x = chain.value
    chain.then("Add", None, f32(3))
    chain = (
        chain.then("Clip", min=0.0, max=6.0)
        if opset < 11
        else chain.then("Clip", None, f32(0), f32(6))
    )
    yield "hard-swish", chain.then("Mul", x, None).then("Div", None, f32(6))


def layers(opset):
    weight, bias = numbers(CLASSES, INPUTS), numbers(CLASSES)
    for index, attributes in enumerate(
        [{}, {"alpha": 0.5}, {"beta": -2.0}, {"alpha": 3.0, "beta": 0.25}]
    ):
        yield f"gemm-{index}", Chain(opset).then("Gemm", None, weight.T.copy(), bias, **attributes)
        yield f"gemm-b-{index}", Chain(opset).then(
            "Gemm", None, weight, bias, transB=1, **attributes
        )
    for index, c in enumerate([numbers(1, CLASSES), numbers(1), f32(0.7)]):
        yield f"gemm-c-{index}", Chain(opset).then("Gemm", None, weight, c, transB=1)
    yield "matmul", Chain(opset).then("MatMul", None, weight.T.copy()).then("Add", bias, None)
    chain = Chain(opset).then("Transpose", weight, perm=[1, 0])
    transposed, chain.value = chain.value, "x"
    yield "matmul-transposed", chain.then("MatMul", None, transposed)
    yield "double", double(opset)


def double(opset):
    chain = Chain(opset, element=TensorProto.DOUBLE)
    chain.then("MatMul", None, numbers(INPUTS, CLASSES).astype(np.float64))
    return chain.then("Cast", to=TensorProto.FLOAT)


def folded(opset):
    yield "norm-after", Chain(opset).dense(INPUTS, HIDDEN).norm(HIDDEN).then("Relu").dense(
        HIDDEN, CLASSES
    )
    yield "norm-next", Chain(opset).dense(INPUTS, HIDDEN).then("Relu").norm(HIDDEN).dense(
        HIDDEN, CLASSES
    )
    yield "norm-first", Chain(opset).norm(INPUTS).dense(INPUTS, CLASSES)
    chain = Chain(opset).then("Sub", None, numbers(INPUTS)).then("Div", None, f32(0.3))
    yield "normalised", chain.dense(INPUTS, CLASSES)
    chain = Chain(opset).dense(INPUTS, HIDDEN).then("Sub", f32(1), None).then("Tanh")
    yield "scaled", chain.then("Mul", None, numbers(HIDDEN)).then("Neg").dense(HIDDEN, CLASSES)
    for op in ("Softmax", "LogSoftmax"):
        yield op.lower(), Chain(opset).dense(INPUTS, CLASSES).then(op)
        yield f"{op.lower()}-axis", Chain(opset).dense(INPUTS, CLASSES).then(op, axis=1)


def flattened(opset):
    image = ("N", 1, 2, 3)
    yield "flatten", Chain(opset, image).then("Flatten").dense(INPUTS, CLASSES)
    yield "reshape", Chain(opset, image).then("Reshape", None, i64(-1, INPUTS)).dense(
        INPUTS, CLASSES
    )
    yield "reshape-0", Chain(opset, image).then("Reshape", None, i64(0, -1)).dense(INPUTS, CLASSES)
    chain = Chain(opset, image).then("Shape").then("Gather", None, np.asarray(0), axis=0)
    chain = (
        chain.then("Unsqueeze", axes=[0]) if opset < 13 else chain.then("Unsqueeze", None, i64(0))
    )
    chain.then("Concat", None, i64(-1), axis=0)
    yield "reshape-computed", chain.then("Reshape", "x", None).dense(INPUTS, CLASSES)
    mean, deviation = numbers(1, 2, 1), np.abs(numbers(1, 2, 1)) + np.float32(0.5)
    chain = Chain(opset, image).then("Sub", None, mean).then("Div", None, deviation)
    yield "image-normalised", chain.then("Flatten").dense(INPUTS, CLASSES)


def scores_of(model, rows):
    try:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        run = onnxruntime.InferenceSession(model.SerializeToString(), options)
    except onnxruntime.capi.onnxruntime_pybind11_state.Fail as error:
        if "opset" not in str(error):
            raise
        run = ReferenceEvaluator(model)
    except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented:
        run = ReferenceEvaluator(model)
    return run.run(None, {model.graph.input[0].name: rows})[0]


def write(directory, name, model, rows, scores):
    (directory / f"{name}.onnx").write_bytes(model.SerializeToString())
    (directory / f"{name}.rows").write_bytes(np.asarray(rows).astype("<f4").tobytes())
    (directory / f"{name}.scores").write_bytes(np.asarray(scores).astype("<f4").tobytes())


def write_made(directory):
    for opset in OPSETS:
        for family in (activations, decomposed, layers, folded, flattened):
            for name, chain in family(opset):
                model = chain.model()
                checker.check_model(model)
                rows = numbers(ROWS, *chain.shape[1:])
                if chain.element == TensorProto.DOUBLE:
                    rows = rows.astype(np.float64)
                write(directory, f"made-{opset}-{name}", model, rows, scores_of(model, rows))


def write_suite(directory):
    """The cases that ONNX ships with one float input and one output."""
    data = pathlib.Path(onnx.__file__).parent / "backend" / "test" / "data"
    for path in sorted(data.glob("*/*/model.onnx")):
        model = onnx.load(path)
        pair = [path.parent / "test_data_set_0" / f"{end}_0.pb" for end in ("input", "output")]
        if not all(file.exists() for file in pair):
            continue
        tensors = [onnx.load_tensor(file) for file in pair]
        if any(tensor.data_type != TensorProto.FLOAT for tensor in tensors):
            continue
        rows, scores = (numpy_helper.to_array(tensor) for tensor in tensors)
        write(directory, f"suite-{path.parent.parent.name}-{path.parent.name}", model, rows, scores)


if __name__ == "__main__":
    target = pathlib.Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    write_made(target)
    write_suite(target)
    print(f"{len(list(target.glob('*.onnx')))} models written")
