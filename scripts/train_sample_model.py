#!/usr/bin/env python3
"""Trains the sample classifier, 784-32-32-32-32-10, on a directory of Fashion-MNIST idx files.

Needs numpy and nothing else. The same seed, data and numpy give the same file. The figure that
says something about unseen images is the held-out one: each fifth of the images is set aside in
turn, and a network trained on the rest is scored on both parts. The network that is written is then
trained on all images with the same settings.
"""

import argparse
import gzip
import json
import os
import struct
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

# One thread sums in one order: the result does not depend on the number of cores.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np  # noqa: E402 (reads the variables above when it is loaded)

SIDE = 28
WIDTHS = [SIDE * SIDE, 32, 32, 32, 32, 10]
LABELS = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
]
IMAGE_FILES = ["train-images-idx3-ubyte", "images-idx3-ubyte"]
LABEL_FILES = ["train-labels-idx1-ubyte", "labels-idx1-ubyte"]


@dataclass(frozen=True)
class Settings:
    """How a network is trained."""

    epochs: int = 400
    batch: int = 50
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.05
    mixup: float = 0.3
    shift: int = 1


# --- reading the data ---


def read_idx(path):
    """The array of an idx file of bytes, gzip-compressed or not."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as file:
        data = file.read()
    if len(data) < 4 or data[:3] != b"\0\0\x08":
        raise SystemExit(f"{path}: expected an idx file of bytes")
    dimensions = data[3]
    start = 4 + 4 * dimensions
    shape = struct.unpack_from(f">{dimensions}I", data, 4)
    values = np.frombuffer(data, np.uint8, offset=start)
    if values.size != np.prod(shape, dtype=np.int64):
        raise SystemExit(f"{path}: expected {shape} bytes, got {values.size}")
    return values.reshape(shape)


def find_file(directory, stems):
    """The first file of the directory with one of the names, as it is or with `.gz`."""
    for stem in stems:
        for name in (stem, f"{stem}.gz"):
            if (directory / name).is_file():
                return directory / name
    raise SystemExit(f"{directory}: expected one of {', '.join(stems)}, plain or .gz")


def read_data(directory):
    """Images as f32 [n, 28, 28], pixels / 255, and their classes [n]."""
    images = read_idx(find_file(directory, IMAGE_FILES))
    classes = read_idx(find_file(directory, LABEL_FILES))
    if images.shape != (len(classes), SIDE, SIDE):
        raise SystemExit(f"expected {len(classes)} images of {SIDE}x{SIDE}, got {images.shape}")
    return images.astype(np.float32) / np.float32(255), classes.astype(np.int64)


# --- the network: a list of (weight [out, in], bias [out]) ---


def he_initialised(rng):
    """Weights of variance 2 / inputs (He et al. 2015, equation 10), biases of zero."""
    return [
        (rng.normal(0, np.sqrt(2 / n), (m, n)).astype(np.float32), np.zeros(m, np.float32))
        for n, m in zip(WIDTHS, WIDTHS[1:])
    ]


def forward(layers, rows):
    """The input of every layer, then the logits: relu after each layer but the last."""
    seen = [rows]
    for index, (weight, bias) in enumerate(layers):
        sums = seen[-1] @ weight.T + bias
        seen.append(sums if index == len(layers) - 1 else np.maximum(sums, 0))
    return seen


def loss_and_gradients(layers, rows, targets):
    """The mean cross-entropy of softmax(logits) to the targets [n, 10], and its gradients."""
    seen = forward(layers, rows)
    shifted = seen[-1] - seen[-1].max(axis=1, keepdims=True)
    log_softmax = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -(targets * log_softmax).sum(axis=1).mean()
    delta = (np.exp(log_softmax) - targets) / np.float32(len(rows))
    gradients = []
    for index in reversed(range(len(layers))):
        gradients.append((delta.T @ seen[index], delta.sum(axis=0)))
        if index > 0:
            delta = (delta @ layers[index][0]) * (seen[index] > 0)
    return loss, gradients[::-1]


def accuracy(layers, images, classes):
    """The share of images whose largest logit is their class's."""
    logits = forward(layers, images.reshape(len(images), -1))[-1]
    return float((logits.argmax(axis=1) == classes).mean())


# --- training ---


class Adam:
    """Adam with decoupled weight decay on weights (Loshchilov and Hutter 2019, algorithm 2)."""

    BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8

    def __init__(self, layers):
        self.steps = 0
        self.mean = [[np.zeros_like(p) for p in layer] for layer in layers]
        self.square = [[np.zeros_like(p) for p in layer] for layer in layers]

    def step(self, layers, gradients, rate, decay):
        """Moves the layers, in place, one step against their gradients."""
        self.steps += 1
        correct1 = 1 - self.BETA1**self.steps
        correct2 = 1 - self.BETA2**self.steps
        for layer, gradient, mean, square in zip(layers, gradients, self.mean, self.square):
            layer[0][:] *= np.float32(1 - rate * decay)
            for p, g, m, v in zip(layer, gradient, mean, square):
                m += np.float32(1 - self.BETA1) * (g - m)
                v += np.float32(1 - self.BETA2) * (g * g - v)
                p -= np.float32(rate / correct1) * m / (np.sqrt(v / correct2) + self.EPSILON)


def shifted(images, reach, rng):
    """Every image moved by up to `reach` pixels each way, black moving in."""
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach)))
    down, right = rng.integers(0, 2 * reach + 1, (2, len(images)))
    rows = down[:, None] + np.arange(SIDE)
    columns = right[:, None] + np.arange(SIDE)
    return padded[np.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]]


def smoothed(classes, smoothing):
    """Targets [n, 10]: `1 - smoothing` for the class, the rest shared among all."""
    targets = np.full((len(classes), len(LABELS)), smoothing / len(LABELS), np.float32)
    targets[np.arange(len(classes)), classes] += np.float32(1 - smoothing)
    return targets


def augmented(images, classes, settings, rng):
    """A batch as the network sees it: shifted, mixed in pairs (Zhang et al. 2018), smoothed."""
    rows = shifted(images, settings.shift, rng).reshape(len(images), -1)
    targets = smoothed(classes, settings.label_smoothing)
    if settings.mixup > 0:
        share = rng.beta(settings.mixup, settings.mixup, (len(rows), 1)).astype(np.float32)
        partner = rng.permutation(len(rows))
        rows = share * rows + (1 - share) * rows[partner]
        targets = share * targets + (1 - share) * targets[partner]
    return rows, targets


def train(images, classes, settings, seed):
    """A trained network and the mean loss of each epoch."""
    rng = np.random.default_rng(seed)
    layers = he_initialised(rng)
    adam = Adam(layers)
    losses = []
    for epoch in range(settings.epochs):
        # The rate falls from its full value to zero along half a cosine.
        rate = settings.learning_rate * 0.5 * (1 + np.cos(np.pi * epoch / settings.epochs))
        order = rng.permutation(len(images))
        total = 0.0
        for start in range(0, len(order), settings.batch):
            picked = order[start : start + settings.batch]
            rows, targets = augmented(images[picked], classes[picked], settings, rng)
            loss, gradients = loss_and_gradients(layers, rows, targets)
            adam.step(layers, gradients, rate, settings.weight_decay)
            total += float(loss) * len(picked)
        losses.append(total / len(images))
    return layers, losses


# --- the file ---


def metadata():
    """What fusewire has to know beyond the tensors; every value is a string."""
    last = len(WIDTHS) - 2
    layers = [
        {
            "weight": f"{index}.weight",
            "bias": f"{index}.bias",
            "activation": "identity" if index == last else "relu",
        }
        for index in range(last + 1)
    ]
    return {
        "fusewire.version": "1",
        "fusewire.name": "fashion-mnist",
        "fusewire.layers": json.dumps(layers, separators=(",", ":")),
        "fusewire.u8_scale": str(np.float32(1 / 255)),
        "fusewire.head": "logits",
        "fusewire.labels": json.dumps(LABELS, separators=(",", ":")),
    }


def write_safetensors(path, layers):
    """The container: u64 header length, JSON header padded to 8 bytes, then the tensors' bytes."""
    header = {"__metadata__": metadata()}
    blocks = []
    end = 0
    for index, layer in enumerate(layers):
        for name, tensor in zip(("weight", "bias"), layer):
            data = tensor.astype("<f4").tobytes()
            offsets = [end, end + len(data)]
            shape = list(tensor.shape)
            header[f"{index}.{name}"] = {"dtype": "F32", "shape": shape, "data_offsets": offsets}
            blocks.append(data)
            end += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blocks))


def read_safetensors(path):
    """The layers of a file written by `write_safetensors`, in the order its metadata gives."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            tensors[name] = np.frombuffer(data[begin:end], "<f4").reshape(entry["shape"])
    order = json.loads(header["__metadata__"]["fusewire.layers"])
    return [(tensors[layer["weight"]], tensors[layer["bias"]]) for layer in order]


def write_checked(path, layers):
    """Writes the file, reads it back and compares every number."""
    write_safetensors(path, layers)
    again = read_safetensors(path)
    same = all(np.array_equal(a, b) for x, y in zip(layers, again) for a, b in zip(x, y))
    if len(again) != len(layers) or not same:
        raise SystemExit(f"{path}: what was read back is not what was written")


# --- the command ---


def report_held_out(images, classes, settings, seed):
    """Holds out each fifth of the images in turn, trains on the rest, prints both accuracies."""
    parts = np.array_split(np.random.default_rng(seed).permutation(len(images)), 5)
    figures = []
    for index, held_out in enumerate(parts):
        rest = np.concatenate(parts[:index] + parts[index + 1 :])
        layers, _ = train(images[rest], classes[rest], settings, seed)
        figures.append([accuracy(layers, images[p], classes[p]) for p in (rest, held_out)])
        print(f"trained on {len(rest)}: accuracy {figures[-1][0]:.3f} on these, ", end="")
        print(f"{figures[-1][1]:.3f} on the {len(held_out)} held out", flush=True)
    seen, unseen = np.mean(figures, axis=0)
    print(f"mean of the five: {seen:.3f} on images trained on, {unseen:.3f} on images held out")


def self_test():
    """Trains on ten synthetic patterns: the loss falls, they are learned, the file reads back."""
    rng = np.random.default_rng(1)
    classes = np.arange(200) % 10
    patterns = rng.random((10, SIDE, SIDE), np.float32)
    images = patterns[classes] + rng.normal(0, 0.1, (200, SIDE, SIDE)).astype(np.float32)
    settings = Settings(epochs=30, mixup=0.0, shift=0)
    layers, losses = train(images, classes, settings, seed=1)
    if not losses[-1] < 0.5 * losses[0]:
        raise SystemExit(f"the loss did not fall: {losses[0]:.3f} to {losses[-1]:.3f}")
    if accuracy(layers, images, classes) < 0.95:
        raise SystemExit("the patterns were not learned")
    again, _ = train(images, classes, settings, seed=1)
    if any(not np.array_equal(a[0], b[0]) for a, b in zip(layers, again)):
        raise SystemExit("the same seed gave another network")
    check_gradients(rng)
    with tempfile.TemporaryDirectory() as directory:
        write_checked(Path(directory) / "model.safetensors", layers)
    print(f"self-test: ok, loss {losses[0]:.3f} to {losses[-1]:.3f}")


def check_gradients(rng):
    """Compares a gradient of every layer with a central difference in double precision."""
    layers = [(w.astype(np.float64), b.astype(np.float64)) for w, b in he_initialised(rng)]
    rows = rng.random((4, WIDTHS[0]))
    targets = smoothed(np.array([3, 1, 4, 1]), 0.1).astype(np.float64)
    _, gradients = loss_and_gradients(layers, rows, targets)
    for (weight, _), (gradient, _) in zip(layers, gradients):
        at = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
        kept, step = weight[at], 1e-6
        sides = []
        for weight[at] in (kept + step, kept - step):
            sides.append(loss_and_gradients(layers, rows, targets)[0])
        weight[at] = kept
        if not np.isclose((sides[0] - sides[1]) / (2 * step), gradient[at], rtol=1e-3):
            raise SystemExit("a gradient differs from its finite difference")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="directory of the idx files")
    parser.add_argument("--out", type=Path, help="the safetensors file to write")
    parser.add_argument("--epochs", type=int, default=Settings.epochs)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--self-test", action="store_true", help="check this script and stop")
    arguments = parser.parse_args()
    if arguments.self_test:
        return self_test()
    if arguments.data is None or arguments.out is None:
        parser.error("--data and --out are needed")
    images, classes = read_data(arguments.data)
    settings = Settings(epochs=arguments.epochs)
    report_held_out(images, classes, settings, arguments.seed)
    layers, _ = train(images, classes, settings, arguments.seed)
    seen = accuracy(layers, images, classes)
    print(f"trained on all {len(images)}: accuracy {seen:.3f} on these")
    write_checked(arguments.out, layers)
    print(f"wrote {arguments.out}, {arguments.out.stat().st_size} bytes")


if __name__ == "__main__":
    sys.exit(main())
