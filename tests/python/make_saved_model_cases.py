"""Writes tests/frameworks/saved_model.zip: SavedModels of Keras 3, Keras 2 and plain TensorFlow.

    python make_saved_model_cases.py

Needs tensorflow 2.21, keras 3.15 and tf_keras 2.21.
"""

import os
import pathlib
import tempfile

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import tensorflow as tf
import tf_keras
from cases import Cases

INPUTS, HIDDEN, CLASSES, ROWS = 6, 5, 4, 8
RANDOM = np.random.default_rng(1)
CASES = Cases("saved_model")


def numbers(*shape):
    return RANDOM.normal(size=shape).astype(np.float32)


def seeded(model):
    """Gives every variable numbers that are not its defaults; variances stay above 0."""
    for variable in model.weights:
        if "count" in variable.name:
            continue
        positive = "variance" in variable.name
        values = RANDOM.normal(size=tuple(variable.shape)) * 0.8
        variable.assign(np.abs(values) + 0.5 if positive else values)
    return model


def export(model, folder):
    if isinstance(model, keras.Model):
        model.export(folder, verbose=False)
    elif isinstance(model, tf_keras.Model):
        model.save(folder, save_format="tf")
    else:
        tf.saved_model.save(model, folder, signatures=getattr(model, "signatures_", None))


def files_of(model):
    with tempfile.TemporaryDirectory() as folder:
        export(model, folder)
        files = [path for path in pathlib.Path(folder).rglob("*") if path.is_file()]
        wanted = [path for path in files if path.suffix != ".pb" or path.stem == "saved_model"]
        return {str(path.relative_to(folder)): path.read_bytes() for path in wanted}


def add(name, model, shape=(INPUTS,), spread=3.0):
    """A case whose scores are those of the exported signature."""
    rows = numbers(ROWS, *shape) * np.float32(spread)
    with tempfile.TemporaryDirectory() as folder:
        export(model, folder)
        loaded = tf.saved_model.load(folder)
        run = loaded.signatures
        run = run["serving_default"] if "serving_default" in run else list(run.values())[0]
        argument = list(run.structured_input_signature[1].values())[0]
        scores = list(run(**{argument.name: tf.cast(rows, argument.dtype)}).values())[0].numpy()
    CASES.add(name, files_of(model), rows.reshape(ROWS, -1), scores.reshape(ROWS, -1))


def stack(k, *layers, shape=(INPUTS,)):
    """A model of Keras 3 or 2 with weights of our own."""
    return seeded(k.Sequential([k.Input(shape), *layers]))


def chain(k, functions):
    """A layer for every activation, so that few files hold many of them."""
    layers = []
    for function in functions:
        layers += [k.layers.Dense(HIDDEN), k.layers.Activation(function)]
    return stack(k, *layers, k.layers.Dense(CLASSES))


NAMES = [
    ["relu", "elu", "selu", "sigmoid", "tanh", "softplus"],
    ["softsign", "silu", "gelu", "leaky_relu", "mish", "linear"],
]


def keras_3():
    k, ops = keras, keras.ops
    for index, names in enumerate(NAMES):
        add(f"keras3-activations-{index}", chain(k, names))
    functions = [
        lambda x: ops.celu(x, alpha=0.7),
        "celu",
        "hard_sigmoid",
        "hard_silu",
        "relu6",
        "hard_tanh",
        lambda x: ops.gelu(x, approximate=True),
        "log_sigmoid",
    ]
    add("keras3-activations-2", chain(k, functions))
    layers = [
        k.layers.ReLU(negative_slope=0.2),
        k.layers.LeakyReLU(negative_slope=0.1),
        k.layers.ELU(alpha=0.6),
        k.layers.PReLU(shared_axes=[1]),
        k.layers.ReLU(max_value=3.0),
        k.layers.Dropout(0.4),
    ]
    add("keras3-layers", stack(k, *[x for l in layers for x in (k.layers.Dense(HIDDEN), l)]))
    add("keras3-hard-sigmoid-last", stack(k, k.layers.Dense(CLASSES, "hard_sigmoid")))
    add("keras3-celu-last", stack(k, k.layers.Dense(CLASSES, "celu", use_bias=False)))
    for ending in ("softmax", "log_softmax"):
        add(f"keras3-{ending}", stack(k, k.layers.Dense(CLASSES, ending, use_bias=False)))
    keras_inputs("keras3", k)
    reasons = {
        "exponential": "(Exp): it makes no activation",
        "squareplus": "it joins two computed values",
        "soft_shrink": "(ZerosLike)",
        "glu": "(Split)",
    }
    for activation, part in reasons.items():
        refuse(f"keras3-{activation}", stack(k, k.layers.Dense(CLASSES, activation)), part)


def keras_inputs(name, k):
    """What stands before the first layer, and between layers."""
    normal = k.layers.Normalization()
    normal.adapt(numbers(40, INPUTS) * np.float32(2) + np.float32(1))
    layers = [normal, k.layers.Dense(HIDDEN, "relu"), k.layers.Dense(CLASSES)]
    add(f"{name}-normalization", k.Sequential([k.Input((INPUTS,)), *layers]))
    image = stack(
        k,
        k.layers.Rescaling(1 / 127.5, offset=-1.0),
        k.layers.Flatten(),
        k.layers.Dense(HIDDEN, use_bias=False),
        k.layers.BatchNormalization(),
        k.layers.ReLU(),
        k.layers.BatchNormalization(center=False, scale=False),
        k.layers.Dropout(0.3),
        k.layers.Reshape((HIDDEN,)),
        k.layers.Dense(CLASSES),
        shape=(2, 3),
    )
    add(f"{name}-image", image, shape=(2, 3), spread=40.0)
    x = k.Input((1, INPUTS))
    y = k.layers.Dense(HIDDEN, "tanh")(k.layers.Reshape((INPUTS,))(x))
    functional = seeded(k.Model(x, k.layers.Softmax()(k.layers.Dense(CLASSES)(y))))
    add(f"{name}-functional", functional, shape=(1, INPUTS))


def keras_2():
    k = tf_keras
    functions = ["elu", "selu", "hard_sigmoid", "mish", "swish", "gelu", tf.nn.relu6]
    add("keras2-activations-0", chain(k, functions))
    functions = [
        lambda x: tf.nn.leaky_relu(x, 0.3),
        lambda x: tf.where(x > 0, x, 0.3 * x),
        lambda x: tf.maximum(x, 0.05 * x),
        lambda x: x * tf.nn.relu6(x + 3) / 6,
        lambda x: tf.clip_by_value(x, -0.5, 0.75),
        lambda x: tf.nn.gelu(x, approximate=True),
    ]
    add("keras2-activations-1", chain(k, functions))
    layers = [k.layers.ELU(alpha=0.7), k.layers.PReLU(shared_axes=[1]), k.layers.Softmax()]
    add("keras2-layers", stack(k, *[x for l in layers for x in (k.layers.Dense(HIDDEN), l)]))
    trained = stack(k, k.layers.Dense(HIDDEN, "relu"), k.layers.Dense(CLASSES))
    trained.compile(optimizer="adam", loss="mse")
    trained.fit(numbers(16, INPUTS), numbers(16, CLASSES), verbose=0)
    add("keras2-trained", trained)
    keras_inputs("keras2", k)


class Plain(tf.Module):
    """Layers by hand: variables, a constant, and a function in a function."""

    def __init__(self):
        super().__init__()
        self.first = tf.Variable(numbers(HIDDEN, INPUTS), name="same")
        self.bias = tf.Variable(numbers(HIDDEN), name="same")
        self.last = tf.constant(numbers(HIDDEN, CLASSES))
        self.signatures_ = {"serving_default": self.run}

    @tf.function(input_signature=[tf.TensorSpec([None, HIDDEN])])
    def end(self, hidden):
        return tf.matmul(tf.nn.sigmoid(hidden), self.last)

    @tf.function(input_signature=[tf.TensorSpec([None, INPUTS])])
    def run(self, x):
        hidden = tf.matmul(x, tf.exp(self.first) / 2.0, transpose_b=True)
        return {"scores": self.end(hidden - self.bias)}


class Functions(tf.Module):
    """One function, as it is given."""

    def __init__(self, function, *variables, shape=(None, INPUTS), dtype=tf.float32):
        super().__init__()
        self.variables_ = [tf.Variable(variable) for variable in variables]
        spec = tf.TensorSpec(shape, dtype)
        self.call = tf.function(lambda x: function(x, *self.variables_), input_signature=[spec])
        self.signatures_ = {"serving_default": self.call}


def plain():
    add("module", Plain())
    weight, square = numbers(INPUTS, CLASSES), numbers(HIDDEN, HIDDEN)
    add("module-double", Functions(tf.matmul, weight.astype("f8"), dtype=tf.float64))
    for dtype in (tf.float16, tf.bfloat16):
        narrow = tf.cast(weight, dtype)
        widened = Functions(lambda x, w: tf.matmul(x, tf.cast(w, tf.float32)), narrow)
        add(f"module-{dtype.name}", widened)
    def flat(x, w):
        return tf.matmul(tf.reshape(x, [tf.shape(x)[0], INPUTS]), w)

    add("module-flatten", Functions(flat, weight, shape=(None, 2, 3)), shape=(2, 3))

    def twice(x, w):
        return tf.matmul(tf.tanh(tf.matmul(x, w)), w)

    add("module-tied", Functions(twice, square, shape=(None, HIDDEN)), shape=(HIDDEN,))
    other = Functions(tf.matmul, weight)
    other.signatures_ = {"only": other.call}
    add("module-other-signature", other)
    two = Functions(tf.matmul, weight)
    two.signatures_ = {"first": two.call, "second": two.call}
    refuse("module-two-signatures", two, "which of the signatures 'first', 'second'")
    pair = Functions(lambda x, w: {"a": tf.matmul(x, w), "b": x}, weight)
    refuse("module-two-outputs", pair, "'a', 'b'")
    joined = Functions(lambda x, w: tf.matmul(x, w) + tf.reduce_mean(x), weight)
    refuse("module-mean", joined, "Mean")
    residual = Functions(lambda x, w: x + tf.matmul(x, w), numbers(INPUTS, INPUTS))
    refuse("module-residual", residual, "(AddV2): it joins two computed values")
    def lengths(x, w):
        return tf.cast(tf.strings.length(x), tf.float32) * w

    words = Functions(lengths, weight[0, :1], shape=(None, 1), dtype=tf.string)
    refuse("module-strings", words, "rows must be floats")


def refuse(name, model, part):
    CASES.refuse(name, files_of(model), part)


def refused():
    k = keras.layers
    image = stack(keras, k.Conv2D(2, 2), k.Flatten(), k.Dense(CLASSES), shape=(4, 4, 1))
    refuse("keras3-conv", image, "(Conv2D): convolutions and pooling are not run")
    layers = [k.Dense(HIDDEN), k.LayerNormalization(), k.Dense(CLASSES)]
    refuse("keras3-layer-norm", stack(keras, *layers), "statistics")


if __name__ == "__main__":
    plain()
    keras_3()
    keras_2()
    refused()
    CASES.write()
