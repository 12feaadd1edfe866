"""Writes tests/frameworks/torch.zip: state_dicts as PyTorch writes them, with PyTorch's scores.

    python make_torch_cases.py

Needs torch 2.15, numpy 2 and safetensors 0.8. The networks are of `torch.manual_seed(7)`.
"""

import collections
import io
import os

import numpy as np
import torch
from cases import Cases
from safetensors.torch import save as save_safetensors
from torch import nn

INPUTS, HIDDEN, CLASSES, ROWS = 6, 5, 4, 8
CASES = Cases("torch")

ACTIVATIONS = {
    "identity": nn.Identity(),
    "relu": nn.ReLU(),
    "leaky_relu": nn.LeakyReLU(),
    "leaky_relu:0.2": nn.LeakyReLU(0.2),
    "elu": nn.ELU(),
    "elu:0.5": nn.ELU(0.5),
    "selu": nn.SELU(),
    "celu": nn.CELU(),
    "celu:0.5": nn.CELU(0.5),
    "gelu": nn.GELU(),
    "gelu_tanh": nn.GELU(approximate="tanh"),
    "sigmoid": nn.Sigmoid(),
    "hard_sigmoid:0.16666667,0.5": nn.Hardsigmoid(),
    "tanh": nn.Tanh(),
    "softplus": nn.Softplus(),
    "softsign": nn.Softsign(),
    "silu": nn.SiLU(),
    "hard_swish": nn.Hardswish(),
    "mish": nn.Mish(),
    "relu6": nn.ReLU6(),
    "clip:-1,2": nn.Hardtanh(-1.0, 2.0),
}
RELU = {"activation": "relu", "final": "none"}
TANH = {"activation": "tanh", "final": "none"}


def chain(activation=None, bias=True, ending=None):
    layers = [nn.Linear(INPUTS, HIDDEN, bias=bias), activation or nn.ReLU(), nn.Dropout(0.5)]
    layers += [nn.Linear(HIDDEN, CLASSES, bias=bias)] + ([ending] if ending else [])
    return nn.Sequential(*layers).eval()


def saved(what, **options):
    file = io.BytesIO()
    torch.save(what, file, **options)
    return {"model.pt": file.getvalue()}


def rows():
    return torch.randn(ROWS, INPUTS)


def add(name, model, file=None, x=None, **said):
    """A model whose file, its state_dict unless given, must give the model's own scores."""
    x = rows() if x is None else x
    with torch.no_grad():
        scores = model(x).to(torch.float32).numpy()
    file = saved(model.state_dict()) if file is None else file
    said = said or RELU
    CASES.add(name, file, x.to(torch.float32).numpy(), scores, load=next(iter(file)), **said)


def refuse(name, file, part, **said):
    CASES.refuse(name, file, part, load=next(iter(file)), **said)


class Named(nn.Module):
    """Modules by name, registered in another order than that of their names."""

    def __init__(self):
        super().__init__()
        self.input_layer = nn.Linear(INPUTS, HIDDEN)
        self.hidden_layers = nn.ModuleList([nn.Linear(HIDDEN, HIDDEN) for _ in range(2)])
        self.a_last_layer = nn.Linear(HIDDEN, CLASSES)

    def forward(self, x):
        x = torch.relu(self.input_layer(x))
        for layer in self.hidden_layers:
            x = torch.relu(layer(x))
        return self.a_last_layer(x)


class Backwards(nn.Module):
    """Registered from last to first."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(HIDDEN, CLASSES)
        self.first = nn.Linear(INPUTS, HIDDEN)

    def forward(self, x):
        return self.last(torch.relu(self.first(x)))


class Shared(nn.Module):
    """Two layers of one weight."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(INPUTS, INPUTS)
        self.b = nn.Linear(INPUTS, INPUTS)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.b(torch.relu(self.a(x)))


def normed(ends_with_norm=False, affine=True):
    layers = [nn.Linear(INPUTS, HIDDEN), nn.BatchNorm1d(HIDDEN, affine=affine), nn.Tanh()]
    layers += [nn.Linear(HIDDEN, CLASSES)]
    layers += [nn.BatchNorm1d(CLASSES)] if ends_with_norm else []
    model = nn.Sequential(*layers).train()
    with torch.no_grad():
        for norm in (module for module in model if isinstance(module, nn.BatchNorm1d)):
            if norm.affine:
                norm.weight.copy_(torch.randn_like(norm.weight))
                norm.bias.copy_(torch.randn_like(norm.bias))
        for _ in range(5):
            model(3 * torch.randn(32, INPUTS) + 1)
    return model.eval()


def activations():
    for name, module in ACTIVATIONS.items():
        clean = name.replace(":", "-").replace(",", "-").replace(".", "_")
        add(f"activation-{clean}", chain(module), activation=name, final="none")
        add(f"order-{clean}", chain(module), order=["0", name, "3"])
    for bias in (True, False):
        kind = "bias" if bias else "no-bias"
        for final, last in (
            ("softmax", nn.Softmax(-1)),
            ("log_softmax", nn.LogSoftmax(-1)),
            ("sigmoid", nn.Sigmoid()),
        ):
            add(f"{kind}-{final}", chain(None, bias, last), activation="relu", final=final)
        add(f"{kind}-one", nn.Linear(INPUTS, CLASSES, bias=bias), final="none")


def containers():
    for protocol in (2, 3, 4, 5):
        model = chain()
        add(f"protocol-{protocol}", model, saved(model.state_dict(), pickle_protocol=protocol))
        old = {"pickle_protocol": protocol, "_use_new_zipfile_serialization": False}
        model = chain()
        add(f"legacy-{protocol}", model, saved(model.state_dict(), **old))
    model = Named().eval()
    add("named", model)
    add("named-legacy", model, saved(model.state_dict(), _use_new_zipfile_serialization=False))
    backwards = Backwards().eval()
    add("backwards", backwards)
    add("backwards-order", backwards, order=["first", "relu", "last"])
    plain = {name: tensor.detach() for name, tensor in chain().state_dict().items()}
    model = chain()
    model.load_state_dict(plain)
    add("plain-dict", model, saved(plain))
    parameters = collections.OrderedDict(model.named_parameters())
    add("parameters", model, saved(parameters))
    old = {"_use_new_zipfile_serialization": False}
    add("parameters-legacy", model, saved(parameters, **old))


def elements():
    for name, dtype in (("f16", torch.float16), ("bf16", torch.bfloat16), ("f64", torch.float64)):
        stored = chain().to(dtype)
        # Scores of the stored numbers in double precision, so that only storing rounds.
        model = chain().double()
        model.load_state_dict(stored.state_dict())
        x = rows().double()
        add(name, model, saved(stored.state_dict()), x)
        old = {"_use_new_zipfile_serialization": False}
        add(f"{name}-legacy", model, saved(stored.state_dict(), **old), x)


def views():
    model = chain()
    state = model.state_dict()
    state["0.weight"] = state["0.weight"].t().contiguous().t()
    assert not state["0.weight"].is_contiguous()
    add("transposed", model, saved(state))
    add("transposed-legacy", model, saved(state, _use_new_zipfile_serialization=False))
    wide = torch.randn(2 * HIDDEN, 3 * CLASSES)
    state = model.state_dict()
    state["3.weight"] = wide[1::2, 2::3].t()
    other = chain()
    other.load_state_dict(state)
    add("every-third", other, saved(state))
    flat = torch.cat([tensor.flatten() for tensor in model.state_dict().values()])
    parts, start = collections.OrderedDict(), 0
    for name, tensor in model.state_dict().items():
        parts[name] = flat[start : start + tensor.numel()].view(tensor.shape)
        start += tensor.numel()
    add("one-storage", model, saved(parts))
    add("one-storage-legacy", model, saved(parts, _use_new_zipfile_serialization=False))
    add("tied", Shared().eval())
    same = chain()
    with torch.no_grad():
        same[0].weight.copy_(same[0].weight[:1].expand(HIDDEN, INPUTS))
    state = same.state_dict()
    state["0.weight"] = state["0.weight"][:1].expand(HIDDEN, INPUTS)
    add("expanded", same, saved(state))


def norms():
    for affine in (True, False):
        model = normed(affine=affine)
        kind = "" if affine else "-bare"
        add(f"norm{kind}", model, order=["0", "1", "tanh", "3", "none"])
        part = "whether the norm '1' stands before or after tanh"
        refuse(f"norm{kind}-unsaid", saved(model.state_dict()), part, **TANH)
    ends = normed(ends_with_norm=True)
    add("norm-last", ends, order=["0", "1", "tanh", "3", "4", "none"])
    first = nn.Sequential(nn.BatchNorm1d(INPUTS), nn.Linear(INPUTS, CLASSES)).train()
    first(3 * torch.randn(32, INPUTS) + 1)
    add("norm-first", first.eval(), final="none")
    after = nn.Sequential(*[normed()[index] for index in (0, 2, 1, 3)]).train()
    after(3 * torch.randn(32, INPUTS) + 1)
    add("norm-after", after.eval(), order=["0", "tanh", "2", "3", "none"])
    other = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    refuse("norm-layer", saved(other.state_dict()), "LayerNorm")


def checkpoints():
    model = chain()
    optimizer = torch.optim.Adam(model.parameters())
    nn.functional.cross_entropy(model(rows()), torch.zeros(ROWS, dtype=torch.long)).backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5])
    rest = {
        "epoch": 3,
        "loss": 0.25,
        "done": False,
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "device": torch.device("cpu"),
        "dtype": torch.float32,
        "shape": model[0].weight.shape,
        "big": 1 << 80,
        "bytes": b"\xff\x00",
        "set": {1, 2},
        "none": None,
    }
    for key in ("state_dict", "model_state_dict", "model", "net"):
        add(f"checkpoint-{key}", model, saved({**rest, key: model.state_dict()}))
    both = {**rest, "model": model.state_dict()}
    add("checkpoint-legacy", model, saved(both, _use_new_zipfile_serialization=False))
    add("checkpoint-5", model, saved({"model": model.state_dict(), **rest}, pickle_protocol=5))
    two = saved({"model": model.state_dict(), "net": model.state_dict()})
    refuse("checkpoint-two", two, "which of model, net is its model", **RELU)
    refuse("checkpoint-none", saved(rest), "or a state_dict under state_dict", **RELU)
    wrappers = (("parallel", "module."), ("lightning", "model."), ("compiled", "_orig_mod."))
    for name, prefix in wrappers:
        state = {prefix + key: value for key, value in model.state_dict().items()}
        add(name, model, saved(state))
    state = {"module.model." + key: value for key, value in model.state_dict().items()}
    add("parallel-order", model, saved({"state_dict": state}), order=["0", "relu", "3"])


class Evil:
    def __reduce__(self):
        return os.system, ("echo executed > executed",)


def refused():
    refuse("unsaid", saved(chain().state_dict()), "--activation relu --final none")
    for name, options in (("", {}), ("-legacy", {"_use_new_zipfile_serialization": False})):
        part = (
            "calls torch.nn.modules.container.Sequential, which is never executed; "
            "save model.state_dict()"
        )
        refuse(f"module{name}", saved(chain(), **options), part, **RELU)
        refuse(f"evil{name}", saved({"weight": Evil()}, **options), "calls posix.system", **RELU)
        refuse(f"own{name}", saved(Named(), **options), "calls __main__.Named", **RELU)
    scalar = {"best": np.float64(1.0), "model": chain().state_dict()}
    refuse("numpy", saved(scalar), "scalar, which is never executed", **RELU)
    refuse("tensor", saved(torch.ones(2, 2)), "a dictionary of tensors, got a tensor", **RELU)
    refuse("convolution", saved(nn.Conv2d(1, 2, 3).state_dict()), "a convolution", **RELU)
    refuse("recurrent", saved(nn.GRU(3, 2).state_dict()), "a recurrent layer", **RELU)
    weighted = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    refuse("weight-norm", saved(weighted.state_dict()), "a parametrisation", **RELU)
    integers = {"weight": torch.ones(2, 3, dtype=torch.int8)}
    refuse("int8", saved(integers), "'weight' (int8)", **RELU)
    quantised = torch.quantize_per_tensor(torch.ones(2, 3), 0.5, 0, torch.qint8)
    refuse("quantised", saved({"weight": quantised}), "'weight' (qint8)", **RELU)
    nan = chain()
    with torch.no_grad():
        nan[0].weight[0, 0] = torch.nan
    refuse("nan", saved(nan.state_dict()), "finite numbers", **RELU)


def safetensors():
    def packed(state, **metadata):
        tensors = {name: tensor.contiguous() for name, tensor in state.items()}
        return {"model.safetensors": save_safetensors(tensors, metadata or None)}

    model = chain()
    add("safetensors", model, packed(model.state_dict()))
    add("safetensors-pt", model, packed(model.state_dict(), format="pt"))
    half = chain().to(torch.bfloat16)
    double = chain().double()
    double.load_state_dict(half.state_dict())
    add("safetensors-bf16", double, packed(half.state_dict(), format="pt"), rows().double())
    named = Named().eval()
    file = packed(named.state_dict(), format="pt")
    order = ["input_layer", "hidden_layers.0", "hidden_layers.1", "a_last_layer"]
    add("safetensors-order", named, file, order=order, **RELU)
    part = "'hidden_layers.0' and 'hidden_layers.1' comes first"
    refuse("safetensors-square", file, part, **RELU)
    refuse("safetensors-unsaid", packed(model.state_dict()), "--activation relu --final none")
    norm = normed()
    file = packed(norm.state_dict(), format="pt")
    add("safetensors-norm", norm, file, order=["0", "1", "tanh", "3", "none"])
    refuse("safetensors-norm-unsaid", file, "where its norms stand", **TANH)
    bare = chain(bias=False)
    file = packed(bare.state_dict())
    add("safetensors-layout", bare, file, layout="outputs_first", **RELU)
    add("safetensors-pt-no-bias", bare, packed(bare.state_dict(), format="pt"))
    refuse("safetensors-no-layout", file, "which axis of its weights comes first", **RELU)


def arrays():
    def packed(save, state):
        file = io.BytesIO()
        save(file, **state)
        return {"model.npz": file.getvalue()}

    model = chain()
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    add("npz", model, packed(np.savez, state))
    add("npz-deflated", model, packed(np.savez_compressed, state))
    add("npz-fortran", model, packed(np.savez, {k: np.asfortranarray(v) for k, v in state.items()}))
    keras = {}
    for name, array in state.items():
        name = {"0": "dense", "3": "dense_1"}[name[0]] + "/" + name[2:]
        keras[name.replace("weight", "kernel")] = np.ascontiguousarray(array.T)
    add("npz-kernels", model, packed(np.savez, keras))
    add("npz-order", model, packed(np.savez, keras), order=["dense", "relu", "dense_1"])
    files = {f"layers/{name}.npy": None for name in state}
    for name, array in state.items():
        file = io.BytesIO()
        np.save(file, array)
        files[f"layers/{name}.npy"] = file.getvalue()
    x = rows()
    with torch.no_grad():
        CASES.add("directory", files, x.numpy(), model(x).numpy(), load="layers", **RELU)
    refuse("npz-unsaid", packed(np.savez, state), "--activation relu --final none")
    CASES.refuse("directory-unsaid", files, "--activation relu --final none", load="layers")
    nameless = {f"arr_{index}": array for index, array in enumerate(state.values())}
    part = "names are P.weight and P.bias"
    refuse("npz-nameless", packed(np.savez, nameless), part, **RELU)


if __name__ == "__main__":
    torch.manual_seed(7)
    families = (activations, containers, elements, views, norms, checkpoints, refused)
    for family in (*families, safetensors, arrays):
        family()
    CASES.write()
