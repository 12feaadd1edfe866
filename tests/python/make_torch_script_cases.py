"""Writes tests/frameworks/torch_script.zip: TorchScript archives, and what PyTorch says they give.

    python tests/python/make_torch_script_cases.py

Needs PyTorch 2.15 and numpy.
"""

import hashlib
import importlib.util
import io
import pathlib
import tempfile
import warnings
import zipfile

import torch
from cases import Cases
from torch import nn
from torch.nn import functional as F

warnings.simplefilter("ignore")

MODULES = {
    "relu": nn.ReLU(),
    "relu-inplace": nn.ReLU(inplace=True),
    "leaky-relu": nn.LeakyReLU(0.2),
    "elu": nn.ELU(0.7),
    "selu": nn.SELU(),
    "celu": nn.CELU(0.8),
    "gelu": nn.GELU(),
    "gelu-tanh": nn.GELU(approximate="tanh"),
    "sigmoid": nn.Sigmoid(),
    "hardsigmoid": nn.Hardsigmoid(),
    "tanh": nn.Tanh(),
    "softplus": nn.Softplus(),
    "softsign": nn.Softsign(),
    "silu": nn.SiLU(),
    "hardswish": nn.Hardswish(),
    "mish": nn.Mish(),
    "hardtanh": nn.Hardtanh(-0.5, 0.7),
    "hardtanh-open": nn.Hardtanh(-0.5, float("inf")),
    "relu6": nn.ReLU6(),
    "prelu": nn.PReLU(),
    "rrelu": nn.RReLU(0.1, 0.4),
    "threshold": nn.Threshold(0.0, 0.0),
    "identity": nn.Identity(),
}

# What stands between two layers, or after one, as text: TorchScript only takes functions that stand
# in a file.
FUNCTIONS = {
    "relu": "F.relu(x)",
    "relu-inplace": "F.relu_(x)",
    "relu-method": "x.relu()",
    "leaky-relu": "F.leaky_relu(x, 0.2)",
    "elu": "F.elu(x, 0.7)",
    "elu-inplace": "F.elu(x, 0.7, inplace=True)",
    "selu": "F.selu(x)",
    "celu": "F.celu(x, 0.8)",
    "gelu": "F.gelu(x)",
    "gelu-tanh": "F.gelu(x, approximate='tanh')",
    "gelu-by-erf": "0.5 * x * (1 + torch.erf(x / 2.0**0.5))",
    "sigmoid": "torch.sigmoid(x)",
    "hardsigmoid": "F.hardsigmoid(x)",
    "tanh": "F.tanh(x)",
    "softplus": "F.softplus(x)",
    "softsign": "F.softsign(x)",
    "silu": "F.silu(x)",
    "silu-by-hand": "x * torch.sigmoid(x)",
    "hardswish": "F.hardswish(x)",
    "mish": "F.mish(x)",
    "mish-by-hand": "x * torch.tanh(F.softplus(x))",
    "hardtanh": "F.hardtanh(x, -0.5, 0.7)",
    "relu6": "F.relu6(x)",
    "clamp": "torch.clamp(x, -0.5, 0.7)",
    "clamp-min": "x.clamp(min=0.0)",
    "clamp-max": "torch.clamp_max(x, 0.5)",
}

HEADS = {
    "softmax": "F.softmax(x, dim=1)",
    "log-softmax": "F.log_softmax(x, dim=-1)",
    "softmax-double": "torch.softmax(x, 1, dtype=torch.float64)",
}

TEMPLATE = """
import torch
from torch import nn
from torch.nn import functional as F


class Applied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 5), LAST

    def forward(self, x):
        x = self.a(x)
        return self.b(EXPRESSION)
"""


def applied(expression, last="nn.Linear(5, 4)"):
    """A module that applies the expression to what a layer gives."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / f"applied_{hashlib.sha1(expression.encode()).hexdigest()}.py"
        path.write_text(TEMPLATE.replace("EXPRESSION", expression).replace("LAST", last))
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        made = module.Applied().eval()
        return made, torch.jit.script(made)


class Everything(nn.Module):
    """A module as people write them: buffers, views, functionals, dropout, training flags."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 5)
        self.second = nn.Linear(5, 4, bias=False)
        self.norm = nn.BatchNorm1d(4)
        self.drop = nn.Dropout(0.1)
        self.alpha = nn.AlphaDropout(0.1)
        self.last = nn.Linear(4, 3)
        self.register_buffer("mean", torch.rand(6))
        self.register_buffer("std", torch.rand(6) + 0.5)
        self.scale = 0.5

    def forward(self, x):
        x = (x - self.mean) / self.std
        x = x.view(x.size(0), -1)
        x = F.relu(self.first(x))
        x = F.dropout(x, 0.3, training=self.training)
        if self.training:
            x = x + torch.rand_like(x)
        x = F.leaky_relu(self.norm(self.second(x)), 0.1)
        x = self.alpha(self.drop(x)) * self.scale
        return F.log_softmax(self.last(x), dim=-1)


class Matrices(nn.Module):
    """Layers out of bare parameters, of every order and layout."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(5, 6))
        self.b = nn.Parameter(torch.randn(5))
        self.v = nn.Parameter(torch.randn(5, 4))
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
        self.acts = nn.ModuleDict({"relu": nn.ReLU()})

    def forward(self, x):
        x = x / 255.0
        x = x.reshape(-1, 6)
        x = torch.addmm(self.b, x, self.w.t(), beta=0.5, alpha=2.0)
        x = x.clamp(min=0.0)
        x = x @ self.v + 1.0
        for layer in self.layers:
            x = torch.tanh(layer(x))
        x = F.linear(x, self.layers[1].weight)
        x = self.acts["relu"](torch.rsub(x * 2, 1.0, alpha=0.5))
        x = F.linear(x, self.layers[0].weight.transpose(0, 1), self.layers[1].bias)
        x = torch.mm(x, self.layers[1].weight.T).add(0.25, alpha=2)
        return x.float().contiguous()


class InPlace(nn.Module):
    """Changes a tensor in place and goes on with it under both of its names."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 5), nn.Linear(5, 4)

    def forward(self, x):
        x = self.a(x)
        x += 0.5
        F.relu_(x)
        return self.b(x).mul_(2.0)


class Asking(nn.Module):
    """Asks for shapes and options, as code for several kinds of input does."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 5), nn.Linear(5, 4)
        self.factor = None

    def forward(self, x, flag: bool = False, mode: str = "mean"):
        if x.dim() > 2:
            x = x.flatten(1)
        x = self.a(x)
        if x.shape[1] != 5:
            raise ValueError(f"five are needed, not {x.shape[1]}")
        x = x.view(x.shape[0], x.shape[1])
        if flag and mode == "mean":
            x = x + 1
        x = torch.relu(x) * (self.factor if self.factor is not None else 2)
        if not self.training:
            x = self.b(x)
        return x.reshape(-1, 4)


class Conv(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 2, 3)
        self.last = nn.Linear(8, 3)

    def forward(self, x):
        return self.last(self.conv(x.unsqueeze(1)).flatten(1))


class Branch(nn.Module):
    """Goes one of two ways, by its numbers."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 5), nn.Linear(5, 4)

    def forward(self, x):
        x = self.a(x)
        if bool((x > 0).any()):
            x = torch.relu(x)
        return self.b(x)


class Depends(Branch):
    def forward(self, x):
        if x.size(0) > 1:
            return self.b(self.a(x))
        return self.b(torch.relu(self.a(x)))


class Loop(Branch):
    def forward(self, x):
        x = self.a(x)
        for _ in range(3):
            x = torch.relu(x)
        return self.b(x)


class Two(Branch):
    def forward(self, x, y):
        return self.b(self.a(x)) + y


class Many(Branch):
    def forward(self, x):
        return self.b(self.a(x)), x


class Named(Branch):
    def forward(self, x):
        return {"scores": self.b(self.a(x))}


class Residual(Branch):
    def forward(self, x):
        x = self.a(x)
        return self.b(x + torch.relu(x))


class Stale(Branch):
    """A view of a tensor that is then changed in place under another name."""

    def forward(self, x):
        x = self.a(x)
        y = x.view(-1, 5)
        F.relu_(x)
        return self.b(y)


class Mixing(Branch):
    def forward(self, x):
        return self.b(self.a(x)).flatten()


class Splitting(Branch):
    def forward(self, x):
        return self.b(self.a(x)).view(-1, 2)


def statistics(module):
    """Gives normalisations other statistics than the defaults."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d):
            part.running_mean.copy_(torch.randn(part.num_features))
            part.running_var.copy_(torch.rand(part.num_features) + 0.5)
            if part.affine:
                part.weight.data.copy_(torch.rand(part.num_features) + 0.5)
                part.bias.data.copy_(torch.randn(part.num_features))
    return module.eval()


def saved(module):
    """The archive without what debuggers need, which is most of it."""
    full, small = io.BytesIO(), io.BytesIO()
    torch.jit.save(module, full)
    with zipfile.ZipFile(full) as source, zipfile.ZipFile(small, "w") as target:
        for name in source.namelist():
            if not name.endswith(".debug_pkl"):
                target.writestr(zipfile.ZipInfo(name), source.read(name))
    return {"model.pt": small.getvalue()}


class Maker:
    def __init__(self):
        self.cases = Cases("torch_script")

    def rows(self, width=6):
        return torch.randn(4, width) * 2

    def add(self, name, module, rows):
        with torch.no_grad():
            scores = module(rows.clone()).float()
        self.cases.add(name, saved(module), rows.numpy(), scores.numpy(), load="model.pt")

    def trace(self, module, rows):
        return torch.jit.trace(module, (rows.clone(),), check_trace=False)

    def both(self, name, module, rows=None):
        """Traced and scripted, the latter also frozen and optimised."""
        rows = self.rows() if rows is None else rows
        statistics(module)
        self.add(f"{name}-traced", self.trace(module, rows), rows)
        self.add(f"{name}-scripted", torch.jit.script(module), rows)

    def compiled(self, name, module):
        rows = self.rows()
        for kind in ("traced", "scripted"):
            statistics(module)
            way = torch.jit.script if kind == "scripted" else lambda m: self.trace(m, rows)
            self.add(f"{name}-{kind}-frozen", torch.jit.freeze(way(module)), rows)
            optimised = torch.jit.optimize_for_inference(way(module))
            self.add(f"{name}-{kind}-optimised", optimised, rows)

    def refuse(self, name, module, part):
        self.cases.refuse(name, saved(module), part, load="model.pt")


def accepted(make):
    for name, module in MODULES.items():
        bias = len(name) % 2 == 0
        layers = [nn.Linear(6, 5, bias=bias), module, nn.Linear(5, 4, bias=not bias)]
        make.both(f"module-{name}", nn.Sequential(*layers))
    for kind, expressions, last in (
        ("function", FUNCTIONS, "nn.Linear(5, 4)"),
        ("head", HEADS, "nn.Identity()"),
    ):
        for name, expression in expressions.items():
            rows = make.rows()
            module, scripted = applied(expression, last)
            make.add(f"{kind}-{name}-traced", make.trace(module, rows), rows)
            make.add(f"{kind}-{name}-scripted", scripted, rows)
    for name, ending in (
        ("softmax", nn.Softmax(dim=1)),
        ("softmax-implicit", nn.Softmax()),
        ("softmin", nn.Softmin(dim=1)),
        ("log-softmax", nn.LogSoftmax(dim=-1)),
    ):
        make.both(f"ending-{name}", nn.Sequential(nn.Linear(6, 3), ending))
    normed = [nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Dropout(0.5)]
    make.both("norm", nn.Sequential(nn.Flatten(), *normed, nn.Linear(5, 3)))
    plain = [nn.Linear(6, 5), nn.ReLU(), nn.BatchNorm1d(5, affine=False, eps=1e-3)]
    make.both("norm-plain", nn.Sequential(*plain, nn.Linear(5, 3), nn.BatchNorm1d(3)))
    make.both("norm-first", nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 3)))
    make.both("nested", nn.Sequential(nn.Sequential(nn.Sequential(*normed)), nn.Linear(5, 2)))
    make.both("double", nn.Sequential(nn.Linear(6, 3)).double(), make.rows().double())
    make.both("half", nn.Sequential(nn.Linear(6, 3)).bfloat16().float())
    shared = nn.Sequential(nn.Linear(6, 6), nn.Tanh())
    make.both("shared", nn.Sequential(shared, shared, nn.Linear(6, 3)))
    for name, module in (("everything", Everything()), ("matrices", Matrices())):
        make.both(name, module)
        make.compiled(name, module)
    make.both("in-place", InPlace())
    make.both("asking", Asking())


def refused(make):
    rows = make.rows()
    script = torch.jit.script
    for way in ("traced", "scripted"):
        done = script if way == "scripted" else lambda module: make.trace(module, rows)
        make.refuse(f"conv-{way}", done(Conv().eval()), "torch.unsqueeze")
        layer_norm = nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5)).eval()
        make.refuse(f"layer-norm-{way}", done(layer_norm), "torch.layer_norm")
        normed = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU()).train()
        make.refuse(f"training-norm-{way}", done(normed), "training")
        dropped = nn.Sequential(nn.Linear(6, 5), nn.Dropout(0.5), nn.ReLU()).train()
        make.refuse(f"training-dropout-{way}", done(dropped), "call .eval() before saving")
        softplus = nn.Sequential(nn.Linear(6, 5), nn.Softplus(beta=2.0))
        make.refuse(f"softplus-beta-{way}", done(softplus.eval()), "only beta 1")
        shrunk = nn.Sequential(nn.Linear(6, 5), nn.Hardshrink()).eval()
        make.refuse(f"hardshrink-{way}", done(shrunk), "(torch.hardshrink)")
        sigmoid = nn.Sequential(nn.Linear(6, 5), nn.LogSigmoid()).eval()
        make.refuse(f"log-sigmoid-{way}", done(sigmoid), "(torch.log_sigmoid)")
        slopes = nn.Sequential(nn.Linear(6, 5), nn.PReLU(5)).eval()
        make.refuse(f"prelu-{way}", done(slopes), "only one constant slope")
        make.refuse(f"residual-{way}", done(Residual().eval()), "only a chain of layers")
        make.refuse(f"stale-{way}", done(Stale().eval()), "in place under another name")
        make.refuse(f"mixing-{way}", done(Mixing().eval()), "keep rows apart")
        make.refuse(f"splitting-{way}", done(Splitting().eval()), "may be mixed by [0, 2]")
    make.refuse("branch", script(Branch().eval()), "(torch.gt)")
    make.refuse("depends", script(Depends().eval()), "a number that depends on the input")
    make.refuse("loop", script(Loop().eval()), "(for)")
    make.refuse("two-inputs", script(Two().eval()), "one input is run, and it has 2")
    make.refuse("two-outputs", script(Many().eval()), "it must return one tensor")
    make.refuse("dictionary", script(Named().eval()), "it returns a dictionary")


if __name__ == "__main__":
    torch.manual_seed(1)
    maker = Maker()
    accepted(maker)
    refused(maker)
    maker.cases.write()
