"""OpenVINO, with a model compiled for each batch size, in 32-bit floats."""

import openvino


def load(network):
    core = openvino.Core()
    # On some processors it would compute in bfloat16 unless told otherwise.
    options = {
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    requests = {}

    def compiled(batch: int):
        model = core.read_model(network.onnx)
        model.reshape([batch, network.inputs])
        return core.compile_model(model, "CPU", options).create_infer_request()

    def call(rows):
        request = requests.get(len(rows))
        if request is None:
            request = requests[len(rows)] = compiled(len(rows))
        return request.infer([rows], share_inputs=True, share_outputs=True)[0]

    requests[1] = compiled(1)
    return f"OpenVINO {openvino.__version__.split('-')[0]}, Python", call
