"""Writes tests/frameworks/exporters.zip: ONNX files as exporters write them.

    python make_exporter_cases.py torch     with torch 2.15, onnx 1.23, onnxscript, numpy
    python make_exporter_cases.py sklearn   with scikit-learn, skl2onnx, numpy

Each writes a zip of its own, exporters-torch.zip and exporters-sklearn.zip. Scores are those of the
framework, not of an ONNX runtime.
"""

import io
import logging
import pathlib
import sys
import tempfile
import warnings

import numpy as np

from cases import Cases

ROWS, INPUTS, HIDDEN, CLASSES = 7, 6, 5, 4
LEGACY = range(9, 24)
DYNAMO = range(18, 27)


def activations(nn):
    """Every activation that torch has, with parameters that are not its defaults, in networks of
    several: those that are one operator nearly everywhere, and those that are often decomposed."""
    return {
        "plain": [
            nn.Identity(),
            nn.ReLU(),
            nn.LeakyReLU(0.2),
            nn.PReLU(1, 0.3),
            nn.ELU(1.3),
            nn.SELU(),
            nn.Sigmoid(),
            nn.Hardsigmoid(),
            nn.Tanh(),
            nn.Hardtanh(-0.5, 0.75),
            nn.ReLU6(),
        ],
        "celu": [nn.CELU(0.7)],
        "gelu": [nn.GELU(), nn.GELU("tanh")],
        "gated": [nn.SiLU(), nn.Hardswish(), nn.Mish()],
        "softplus": [nn.Softplus()],
        "softsign": [nn.Softsign()],
    }


def normed(nn, width):
    import torch

    norm = nn.BatchNorm1d(width, eps=1e-3)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2.0)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    return norm


def networks(nn):
    for name, group in activations(nn).items():
        layers, width = [], INPUTS
        for activation in group:
            layers += [nn.Linear(width, HIDDEN), activation]
            width = HIDDEN
        yield name, nn.Sequential(*layers, nn.Linear(width, CLASSES))
    for name, head in (("softmax", nn.Softmax(-1)), ("log_softmax", nn.LogSoftmax(1))):
        layers = [nn.Linear(INPUTS, HIDDEN, bias=False), nn.ReLU(), nn.Dropout(0.5)]
        yield name, nn.Sequential(*layers, nn.Linear(HIDDEN, CLASSES), head)
    layers = [normed(nn, INPUTS), nn.Linear(INPUTS, HIDDEN), normed(nn, HIDDEN), nn.Tanh()]
    layers += [normed(nn, HIDDEN), nn.Linear(HIDDEN, CLASSES, bias=False), normed(nn, CLASSES)]
    yield "norms", nn.Sequential(*layers)
    yield "image", nn.Sequential(nn.Flatten(), nn.Linear(INPUTS, CLASSES), nn.ReLU())


def legacy(torch, model, rows, opset):
    file = io.BytesIO()
    axes = {"x": {0: "batch"}}
    options = {"input_names": ["x"], "dynamic_axes": axes, "dynamo": False}
    torch.onnx.export(model, (rows,), file, opset_version=opset, **options)
    return {"model.onnx": file.getvalue()}


def dynamo(torch, model, rows, opset, external=False):
    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.onnx.export(
        model, (rows,), dynamo=True, opset_version=opset, dynamic_shapes=shapes, verbose=False
    )
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        program.save(path / "model.onnx", external_data=external)
        return {file.name: file.read_bytes() for file in path.iterdir()}


def torch_cases():
    import torch

    torch.manual_seed(3)
    cases = Cases("exporters-torch")
    for name, model in networks(torch.nn):
        model.eval()
        rows = torch.randn(ROWS, 1, 2, 3) if name == "image" else torch.randn(ROWS, INPUTS)
        with torch.no_grad():
            scores = model(rows).numpy()
        flat = rows.numpy().reshape(ROWS, -1)
        for opset in LEGACY:
            try:
                files = legacy(torch, model, rows, opset)
            except torch.onnx.errors.UnsupportedOperatorError:
                print(f"legacy {opset}: {name} is not exported")
                continue
            cases.add(f"legacy-{opset}-{name}", files, flat, scores, "model.onnx")
        for opset in DYNAMO:
            files, case = dynamo(torch, model, rows, opset), f"dynamo-{opset}-{name}"
            if name == "softplus":
                # It is told as one of two values, by a comparison with 20.
                cases.refuse(case, files, "(Where)", "model.onnx")
            else:
                cases.add(case, files, flat, scores, "model.onnx")
    external_cases(torch, cases)
    cases.write()


def external_cases(torch, cases):
    """A network with weights of more than the 256 bytes that the exporter keeps in its own file."""
    nn = torch.nn
    model = nn.Sequential(nn.Linear(INPUTS, 16), nn.ReLU(), nn.Linear(16, CLASSES)).eval()
    rows = torch.randn(ROWS, INPUTS)
    files = dynamo(torch, model, rows, DYNAMO[-1], external=True)
    assert len(files["model.onnx.data"]) > 0, "nothing lies elsewhere"
    with torch.no_grad():
        scores = model(rows).numpy()
    cases.add("external", files, rows.numpy(), scores, "model.onnx", external_data=True)
    cases.refuse("external-not-asked-for", files, "--external-data", "model.onnx")


def sklearn_cases():
    from skl2onnx import to_onnx
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    random = np.random.default_rng(5)
    rows = random.normal(size=(60, INPUTS)).astype(np.float32)
    classes = (rows[:, 0] > 0).astype(int) + 2 * (rows[:, 1] > 0)
    cases = Cases("exporters-sklearn")
    for activation in ("relu", "tanh", "logistic", "identity"):
        options = {"activation": activation, "max_iter": 30, "random_state": 1}
        many = MLPClassifier((HIDDEN, 4), **options).fit(rows, classes)
        two = MLPClassifier((HIDDEN,), **options).fit(rows, classes % 2)
        regressor = MLPRegressor(hidden_layer_sizes=(HIDDEN,), **options).fit(rows, rows[:, 0])
        scaled = make_pipeline(StandardScaler(), MLPClassifier((HIDDEN,), **options))
        scaled.fit(3 * rows + 1, classes)
        wide = (3 * rows + 1).astype(np.float32)
        for name, model, given in (
            ("many", many, rows),
            ("two", two, rows),
            ("regressor", regressor, rows),
            ("scaled", scaled, wide),
        ):
            for opset in (9, 13, 17, 21):
                said = {} if name == "regressor" else {"options": {id(model): {"zipmap": False}}}
                onnx = to_onnx(model, given[:1], target_opset={"": opset, "ai.onnx.ml": 1}, **said)
                files = {"model.onnx": onnx.SerializeToString()}
                scores = model.predict(given) if name == "regressor" else model.predict_proba(given)
                case = f"{name}-{activation}-{opset}"
                scores = scores.reshape(len(given), -1)
                cases.add(case, files, given[:ROWS], scores[:ROWS], "model.onnx")
        onnx = to_onnx(many, rows[:1], target_opset={"": 17, "ai.onnx.ml": 1})
        files = {"model.onnx": onnx.SerializeToString()}
        part = "none of the outputs holds floats"
        cases.refuse(f"zipmap-{activation}", files, part, "model.onnx")
        # Of several targets the exporter makes rows of one, which mixes them.
        several = MLPRegressor(hidden_layer_sizes=(HIDDEN,), **options).fit(rows, rows[:, :2])
        files = {"model.onnx": to_onnx(several, rows[:1], target_opset=17).SerializeToString()}
        cases.refuse(f"targets-{activation}", files, "may be mixed", "model.onnx")
    cases.write()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    {"torch": torch_cases, "sklearn": sklearn_cases}[sys.argv[1]]()
