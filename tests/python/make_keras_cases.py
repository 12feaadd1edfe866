"""Writes tests/frameworks/keras.zip: models as Keras 2 and Keras 3 save them, with their scores.

    python tests/python/make_keras_cases.py

Needs keras 3.15, tensorflow 2.21, tf_keras 2.21 (which is Keras 2, and writes what TensorFlow
before 2.16 wrote), h5py 3.14, ml_dtypes and numpy. The zip is checked in; the tests read it.
"""

import os
import pathlib
import random
import tempfile

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import h5py  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
import tf_keras  # noqa: E402

from cases import Cases  # noqa: E402

NAMES_3 = """linear relu relu6 leaky_relu elu selu celu gelu sigmoid hard_sigmoid tanh hard_tanh
    softplus softsign silu swish hard_silu hard_swish mish""".split()
NAMES_2 = """linear relu relu6 leaky_relu elu selu gelu sigmoid hard_sigmoid tanh softplus softsign
    swish silu mish""".split()
REFUSED = "exponential log_sigmoid tanh_shrink sparse_plus squareplus soft_shrink".split()
NORM_NAMES = ["dense", "batch_normalization", "dense_1"]
INPUTS = 6

cases = Cases("keras")
numbers = np.random.default_rng(7)


def weights_of(model):
    """Weights that are no layer's defaults; variances stay positive."""
    weights = []
    for variable in model.weights:
        values = numbers.normal(0.0, 0.7, variable.shape)
        if "variance" in variable.name or "gamma" in variable.name:
            values = 0.5 + np.abs(values)
        if "count" in variable.name:
            values = np.zeros(variable.shape)
        weights.append(values.astype("float32"))
    return weights


def saved(model, file):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / file
        if file.endswith(".weights.h5"):
            model.save_weights(path)
        else:
            model.save(path)
        return path.read_bytes()


def add(name, model, file="model.keras", shape=(INPUTS,), edit=None, **said):
    """A model with weights of its own, in a file of this name, and what it predicts."""
    model.set_weights(weights_of(model))
    # Keras 3 works out what a normalisation computes when weights are loaded, not set.
    for layer in model.layers:
        getattr(layer, "finalize_state", lambda: None)()
    rows = numbers.normal(0.0, 1.5, (5, *shape)).astype("float32")
    scores = np.asarray(model.predict(rows, verbose=0))
    data = saved(model, file)
    if edit is not None:
        data = edit(data)
    files = {file: data}
    cases.add(name, files, rows.reshape(5, -1), scores.reshape(5, -1), load=file, **said)


def refuse(name, model, part, file="model.keras", **said):
    cases.refuse(name, {file: saved(model, file)}, part, load=file, **said)


def chain(library, *layers, shape=(INPUTS,), name=None):
    return library.Sequential([library.Input(shape), *layers], name=name)


def activations():
    dense = keras.layers.Dense
    for name in NAMES_3:
        add(f"3-name-{name}", chain(keras, dense(5, activation=name), dense(4)))
    for name in ("hard_sigmoid", "leaky_relu", "gelu", "silu"):
        add(f"3-h5-{name}", chain(keras, dense(5, activation=name), dense(4)), "model.h5")
    for name in ("celu", "hard_silu", "log_softmax"):
        function = getattr(keras.activations, name)
        add(f"3-function-{name}", chain(keras, dense(5), keras.layers.Activation(function)))
    for name in NAMES_2:
        if name in ("silu", "relu6", "leaky_relu"):
            activation = getattr(tf_keras.activations, name, None) or name
        else:
            activation = name
        layers = tf_keras.layers
        model = chain(tf_keras, layers.Dense(5, activation=activation), layers.Dense(4))
        add(f"2-name-{name}", model, "model.h5")
    for name in REFUSED:
        refuse(f"refused-{name}", chain(keras, dense(5, activation=name)), f"({name})")
    refuse("refused-glu", chain(keras, dense(6, activation="glu")), "(glu)")


def activation_layers(version, library, file):
    layers = library.layers
    leaky = {"negative_slope": 0.15} if version == 3 else {"alpha": 0.15}
    for name, layer in {
        "relu": layers.ReLU(),
        "relu-max": layers.ReLU(max_value=2.5),
        "relu-slope": layers.ReLU(negative_slope=0.35),
        "leaky-default": layers.LeakyReLU(),
        "leaky": layers.LeakyReLU(**leaky),
        "elu": layers.ELU(alpha=0.4),
        "prelu": layers.PReLU(shared_axes=[1]),
        "activation": layers.Activation("tanh"),
        "softmax": layers.Softmax(),
    }.items():
        end = [] if name == "softmax" else [layers.Dense(4)]
        add(f"{version}-layer-{name}", chain(library, layers.Dense(5), layer, *end), file)
    within = layers.Dense(5, activation=layers.LeakyReLU(**leaky))
    add(f"{version}-layer-within", chain(library, within, layers.Dense(4)), file)
    for name, layer, part in (
        ("threshold", layers.ReLU(threshold=1.0), "threshold of 0"),
        ("slope-max", layers.ReLU(max_value=1.0, negative_slope=0.1), "run together"),
        ("prelu", layers.PReLU(), "one slope"),
    ):
        refuse(f"{version}-refused-{name}", chain(library, layers.Dense(5), layer), part, file)


def folded(version, library, file):
    """Layers that fold into dense ones, or that do nothing at inference."""
    layers = library.layers
    dense = layers.Dense

    def case(name, *parts, shape=(INPUTS,)):
        add(f"{version}-{name}", chain(library, *parts, shape=shape), file, shape)

    case("no-bias", dense(5, use_bias=False, activation="relu"), dense(4, use_bias=False))
    for name, said in {
        "batch-norm": {"epsilon": 0.02},
        "batch-norm-no-scale": {"scale": False},
        "batch-norm-no-center": {"center": False},
        "batch-norm-neither": {"scale": False, "center": False},
    }.items():
        norm = layers.BatchNormalization(**said)
        case(name, dense(5), norm, layers.Activation("relu"), layers.Dropout(0.3), dense(4))
    case("batch-norm-first", layers.BatchNormalization(), dense(4, activation="softmax"))
    norm = layers.BatchNormalization()
    case("batch-norm-next", dense(5, activation="relu"), norm, dense(4))
    noise = [layers.GaussianNoise(0.1), layers.GaussianDropout(0.1), layers.AlphaDropout(0.1)]
    case("noise", *noise, dense(4, activation="softmax"))
    case("flatten", layers.Flatten(), dense(4), shape=(3, 2))
    case("image", layers.Rescaling(1 / 127.5, -1.0), layers.Flatten(), dense(4), shape=(3, 2, 1))
    case("reshape", layers.Reshape((2, -1)), layers.Flatten(), dense(4))
    case("rescaling", layers.Rescaling([1.0, 2, 3, 4, 5, 6], 0.25), dense(4))
    case("normalization", layers.Normalization(), dense(4, activation="softmax"))
    case("normalization-none", layers.Normalization(axis=None), dense(4))
    stated = layers.Normalization(mean=[0.5, 1, 2, 3, 4, 5], variance=[1.0, 2, 3, 4, 5, 6])
    case("normalization-stated", stated, dense(4))
    invert = layers.Normalization(mean=0.5, variance=4.0, invert=True)
    case("normalization-invert", invert, dense(4))
    first = layers.Normalization(axis=1)
    case("normalization-axis", first, layers.Flatten(), dense(4), shape=(3, 2))


def nested(version, library, file):
    layers = library.layers
    dense = layers.Dense
    # Keras 2 cannot save two layers of one name.
    same = ("same", "same") if version != 2 else ("same", "other")
    innermost = chain(library, dense(4, name=same[1]), shape=(3,), name="innermost")
    inner = chain(
        library,
        dense(3, activation="tanh", name=same[0]),
        layers.BatchNormalization(),
        innermost,
        shape=(5,),
        name="inner",
    )
    outer = [dense(5, activation="relu"), inner, dense(4, activation="softmax")]
    add(f"{version}-nested", chain(library, *outer), file)

    def functional(*end):
        value = start = library.Input((INPUTS,), name="start")
        value = dense(5, activation="relu", name="zulu")(value)
        value = layers.BatchNormalization(name="mike")(value)
        value = dense(4, name="alpha")(layers.Dropout(0.2)(value))
        for layer in end:
            value = layer(value)
        return library.Model(start, value, name="classifier")

    add(f"{version}-functional", functional(layers.Softmax()), file)
    inner = functional(layers.Activation("sigmoid"))
    start = library.Input((INPUTS,))
    value = inner(dense(INPUTS, activation="elu")(start))
    add(f"{version}-functional-nested", library.Model(start, dense(3)(value)), file)

    start = library.Input((INPUTS,))
    left, right = dense(4, name="left")(start), dense(4, name="right")(start)
    joined = layers.Add(name="sum")([left, right])
    refuse(f"{version}-refused-branch", library.Model(start, joined), "'sum' (Add)", file)
    other = library.Input((INPUTS,))
    both = library.Model([start, other], layers.Concatenate()([start, other]))
    refuse(f"{version}-refused-inputs", both, "2 input_layers", file)
    twice = dense(INPUTS, name="shared")
    model = library.Model(start, twice(twice(start)))
    refuse(f"{version}-refused-shared", model, "more than once", file)
    model = library.Model(start, layers.Dropout(0.5)(left, training=True))
    refuse(f"{version}-refused-training", model, "'training'", file)


def refused(version, library, file):
    layers = library.layers
    dense = layers.Dense

    def case(name, part, *parts, shape=(INPUTS,)):
        refuse(f"{version}-refused-{name}", chain(library, *parts, shape=shape), part, file)

    image = (8, 8, 1)
    case("conv", "(Conv2D): convolutions", layers.Conv2D(2, 3), layers.Flatten(), shape=image)
    case("norm", "(LayerNormalization)", dense(5), layers.LayerNormalization(), dense(4))
    case("lambda", "(Lambda): it holds code", dense(5), layers.Lambda(lambda x: x * 2))
    case("permute", "(Permute)", layers.Permute((2, 1)), layers.Flatten(), dense(4), shape=(3, 2))
    case("custom", "user's own", dense(5), register(library)(3))
    case("softmax-first", "nothing can follow", dense(5, activation="softmax"), dense(4))
    case("axis", "last axis", layers.BatchNormalization(axis=1), layers.Flatten(), shape=(3, 2))


def register(library):
    @library.utils.register_keras_serializable(package="own")
    class Doubling(library.layers.Dense):
        pass

    return Doubling


def dtypes():
    for name in ("float16", "bfloat16", "float64"):
        layers = [keras.layers.Dense(5, activation="relu"), keras.layers.Dense(4)]
        reference = chain(keras, *layers)
        reference.set_weights(weights_of(reference))
        rounded = [np.asarray(keras.ops.cast(w, name)) for w in reference.get_weights()]
        reference.set_weights([weight.astype("float32") for weight in rounded])
        rows = numbers.normal(0.0, 1.0, (5, INPUTS)).astype("float32")
        scores = np.asarray(reference.predict(rows, verbose=0))
        model = keras.Sequential([keras.Input((INPUTS,)), *same(layers, name)])
        model.set_weights(rounded)
        file = {"model.keras": saved(model, "model.keras")}
        cases.add(f"3-dtype-{name}", file, rows, scores, load="model.keras")


def same(layers, dtype):
    configs = [{**layer.get_config(), "dtype": dtype} for layer in layers]
    return [keras.layers.Dense.from_config(config) for config in configs]


def rewritten(**said):
    """The same HDF5 file with its arrays stored in another way."""

    def edit(data):
        with tempfile.TemporaryDirectory() as folder:
            old, new = pathlib.Path(folder) / "old.h5", pathlib.Path(folder) / "new.h5"
            old.write_bytes(data)
            libver = said.pop("libver", "earliest")
            with h5py.File(old) as source, h5py.File(new, "w", libver=libver) as target:
                copy(source, target, said)
            return new.read_bytes()

    return edit


def copy(source, target, said):
    for name, value in source.attrs.items():
        target.attrs[name] = value
    for name, item in source.items():
        if isinstance(item, h5py.Group):
            copy(item, target.create_group(name), said)
        else:
            kind = said.get("dtype", item.dtype)
            stored = {key: value for key, value in said.items() if key != "dtype"}
            stored = {} if item.shape == () else stored
            target.create_dataset(name, data=item[()].astype(kind), **stored)


def stored():
    """What HDF5 can do to the arrays of a file."""
    for name, said in {
        "chunked": {"chunks": True},
        "gzip": {"compression": "gzip", "shuffle": True, "fletcher32": True},
        "big-endian": {"dtype": ">f4"},
        "latest": {"libver": "latest"},
        "latest-gzip": {"libver": "latest", "compression": "gzip"},
    }.items():
        layers = [keras.layers.Dense(5, activation="relu") for _ in range(9)]
        edit = rewritten(**said)
        add(f"3-stored-{name}", chain(keras, *layers), "model.h5", edit=edit)
    wide = [tf_keras.layers.Dense(2, name=f"layer_{n}_{'long' * 20}") for n in range(8)]
    add("2-long-names", chain(tf_keras, *wide), "model.h5")


def weights_only():
    for version, library in ((3, keras), (2, tf_keras)):
        dense = library.layers.Dense
        relu = {"activation": "relu"}
        said = {"activation": "relu", "final": "softmax"}
        file = "model.weights.h5" if version == 3 else "saved.h5"
        plain = chain(library, dense(5, **relu), dense(3, **relu), dense(4, activation="softmax"))
        norm = [dense(5), library.layers.BatchNormalization(), library.layers.ReLU()]
        folded = chain(library, *norm, library.layers.Dropout(0.5), dense(4, activation="softmax"))
        for name, model in (("plain", plain), ("norm", folded)):
            model.set_weights(weights_of(model))
            rows = numbers.normal(0.0, 1.5, (5, INPUTS)).astype("float32")
            scores = np.asarray(model.predict(rows, verbose=0))
            with tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder) / file
                model.save_weights(path)
                data = {file: path.read_bytes()}
            case = said
            if name == "norm":
                # Keras 2 stores layers' own names, Keras 3 classes and counters.
                own = [layer.name for layer in model.layers]
                own = [own[0], own[1], own[4]] if version == 2 else NORM_NAMES
                case = {"order": [*own[:2], "relu", own[2], "softmax"]}
            cases.add(f"{version}-weights-{name}", data, rows, scores, load=file, **case)
        cases.refuse(f"{version}-weights-unsaid", data, "does not say", load=file)


def hostile():
    """Files that ask for more than they hold, or that lead in circles."""

    def edited(name, part, edit):
        model = chain(keras, keras.layers.Dense(4, name="dense"))
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "model.h5"
            path.write_bytes(saved(model, "model.h5"))
            with h5py.File(path, "a") as file:
                group = file["model_weights/dense"]
                name_of = next(n for n in group.attrs["weight_names"] if "kernel" in n)
                edit(file, group, name_of)
            data = path.read_bytes()
        cases.refuse(f"hostile-{name}", {"model.h5": data}, part, load="model.h5")

    def array(**said):
        def edit(file, group, kernel):
            del group[kernel]
            group.create_dataset(kernel, **said)

        return edit

    huge = {"shape": (1 << 12, 1 << 12), "dtype": "f4"}
    zeros = {"data": np.zeros((2048, 2048), "f4"), "compression": "gzip"}
    edited("gzip-bomb", "inflated bytes", array(**zeros, chunks=(512, 512)))
    edited("unwritten", "inflated bytes", array(**huge))
    edited("unwritten-chunks", "inflated bytes", array(**huge, chunks=(64, 64)))
    wide = array(shape=(1 << 40, 1 << 40), dtype="f4", chunks=(4, 4))
    edited("wide", "size that fits memory", wide)
    chunk = {"maxshape": (None, None), "chunks": (1 << 12, 1 << 12)}
    edited("one-chunk", "inflated bytes", array(shape=(6, 4), dtype="f4", **chunk))
    edited("integers", "expected float16", array(data=np.zeros((6, 4), "i4")))
    edited("narrow", "two axes", array(data=np.zeros((6, 3), "f4")))
    edited("flat", "two axes", array(data=np.zeros(24, "f4")))

    def link(to):
        def edit(file, group, kernel):
            group["link"] = to(file)

        return edit

    edited("soft-link", "are not followed", link(lambda file: h5py.SoftLink("/model_weights")))
    outside = h5py.ExternalLink("/etc/passwd", "/")
    edited("external-link", "are not followed", link(lambda file: outside))
    edited("circle", "nested groups", link(lambda file: file["model_weights"]))


def main():
    random.seed(7)
    keras.utils.set_random_seed(7)
    activations()
    for version, library, file in ((3, keras, "model.keras"), (2, tf_keras, "model.h5")):
        activation_layers(version, library, file)
        folded(version, library, file)
        nested(version, library, file)
        refused(version, library, file)
    nested("3-h5", keras, "model.h5")
    nested("2-archive", tf_keras, "model.keras")
    dtypes()
    stored()
    weights_only()
    hostile()
    cases.write()


if __name__ == "__main__":
    main()
