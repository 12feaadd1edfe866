"""ONNX Runtime through its Python package."""

import onnxruntime


def load(network):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    runtime = onnxruntime.InferenceSession(
        str(network.onnx), options, providers=["CPUExecutionProvider"]
    )
    name = runtime.get_inputs()[0].name
    version = f"ONNX Runtime {onnxruntime.__version__}, Python"
    return version, lambda rows: runtime.run(None, {name: rows})[0]
