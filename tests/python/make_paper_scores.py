"""Writes the scores that the frameworks give the paper's own models for the 1,000 images.

    python make_paper_scores.py onnx             needs ONNX Runtime (1.31.1 was used)
    python make_paper_scores.py npy              needs NumPy alone
    python make_paper_scores.py saved_model      needs TensorFlow (2.21 was used)
    python make_paper_scores.py torch            needs PyTorch (2.15 was used)

The files, tests/frameworks/paper/NAME.f32, are little-endian [1000, 10]: the logits of pixels/255.
Models and images are read from ../shared beside the project.
"""

import gzip
import pathlib
import sys

import numpy as np

PROJECT = pathlib.Path(__file__).parent.parent.parent
MODELS = PROJECT.parent / "shared" / "models" / "paper-fashion-mnist"
IMAGES = PROJECT.parent / "shared" / "data" / "fashion-mnist-1000" / "images-idx3-ubyte.gz"


def pixels():
    images = np.frombuffer(gzip.decompress(IMAGES.read_bytes())[16:], np.uint8)
    return images.reshape(-1, 784).astype(np.float32) / np.float32(255)


def onnx():
    import onnxruntime

    session = onnxruntime.InferenceSession(MODELS / "onnx" / "ffnn.onnx")
    (name,) = (value.name for value in session.get_inputs())
    # The file is fixed to a batch of one.
    return np.concatenate([session.run(None, {name: row[None]})[0] for row in pixels()])


def npy():
    x = pixels()
    for layer in range(0, 10, 2):
        x = x @ np.load(MODELS / "npy" / f"{layer}-WEIGHT-ffnn.npy").T
        x = x if layer == 8 else np.maximum(x, 0)
    return x


def saved_model():
    import tensorflow as tf

    model = tf.saved_model.load(str(MODELS / "saved_model"))
    (scores,) = model.signatures["serving_default"](tf.constant(pixels())).values()
    return scores.numpy()


def torch():
    import torch

    weights = torch.load(MODELS / "torch" / "ffnn.torch", weights_only=True)
    x = torch.from_numpy(pixels())
    layers = ["input_layer", *(f"hidden_layers.{n}" for n in range(3)), "output_layer"]
    for layer in layers:
        x = torch.nn.functional.linear(x, weights[f"{layer}.weight"], weights[f"{layer}.bias"])
        x = x if layer == "output_layer" else torch.relu(x)
    return x.numpy()


if __name__ == "__main__":
    name = sys.argv[1]
    scores = {"onnx": onnx, "npy": npy, "saved_model": saved_model, "torch": torch}[name]()
    folder = PROJECT / "tests" / "frameworks" / "paper"
    folder.mkdir(parents=True, exist_ok=True)
    data = np.ascontiguousarray(scores, "<f4")
    assert data.shape == (1000, 10)
    (folder / f"{name}.f32").write_bytes(data.tobytes())
