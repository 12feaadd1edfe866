"""Writes the seeds of the TorchScript target, and the archive that their code stands in.

    python fuzz/make_torch_script_seeds.py

Needs nothing but Python. What it writes is checked in.
"""

import pathlib
import struct
import zipfile

HERE = pathlib.Path(__file__).parent

SEEDS = {
    "linear": "return torch.linear(x, self.w, self.b)",
    "chain": """w = self.w
y = torch.linear(torch.view(x, [torch.size(x, 0), -1]), w, self.b)
y0 = torch.batch_norm(y, None, None, self.b, self.v, False, 0.10000000000000001, 1e-05, True)
y1 = torch.dropout(torch.leaky_relu_(y0, 0.2), 0.5, False)
return torch.softmax(y1, 1)""",
    "arithmetic": """x0 = torch.div(torch.sub(x, 0.5), 255.)
y = torch.addmm(self.b, torch.reshape(x0, [-1, 3]), torch.t(self.w), beta=1, alpha=1)
_0 = torch.mul(y, 0.5)
_1 = torch.add(torch.erf(torch.div(y, 1.4142135623730951)), 1)
return torch.add(torch.mul(_0, _1), CONSTANTS.c0, alpha=1)""",
    "branches": """_0 = "expected 2D ({}D)"
if torch.ne(torch.dim(x), 2):
  _1 = torch.ne(torch.dim(x), 3)
else:
  _1 = False
if _1:
  ops.prim.RaiseException(torch.format(_0, torch.dim(x)), "builtins.ValueError")
else:
  pass
n = ops.prim.NumToTensor(torch.size(x, 0))
a, b, = (int(n), -1, )
if torch.__is__(annotate(Optional[int], None), None):
  y = torch.matmul(torch.view(x, [a, b]), torch.transpose(self.w, 0, 1))
else:
  y = uninitialized(Tensor)
return torch.to(torch.div(y, torch.add(torch.abs(y), 1)), dtype=6)""",
    "functions": """class M(Module):
  __parameters__ = []
  training : bool
  __annotations__["0"] = __torch__.S
  def forward(self: __torch__.M,
    x: Tensor) -> Tensor:
    _0 = __torch__.act
    _1 = getattr(self, "sub")
    y = _0((_1).forward(x, ), 0.5, )
    return torch.log_softmax(y, -1)
class S(Module):
  w : Tensor
  k : Final[int] = 3
  def forward(self: __torch__.S,
    x: Tensor) -> Tensor:
    return torch.linear(x, self.w)
def act(x: Tensor,
    slope: float=0.01,
    inplace: bool=False) -> Tensor:
  if inplace:
    r = torch.elu_(x, slope)
  else:
    r = torch.elu(x, slope)
  return r
""",
}


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def integer(value):
    return b"J" + struct.pack("<i", value)


def sizes(values):
    return b"(" + b"".join(map(integer, values)) + b"t"


def name(module, value):
    return f"c{module}\n{value}\n".encode()


def tensor(kind, key, shape, stride, offset=0):
    storage = text("storage") + name("torch", kind) + text(key) + text("cpu") + integer(8)
    view = integer(offset) + sizes(shape) + sizes(stride) + b"\x89"
    hooks = name("collections", "OrderedDict") + b")R"
    made = b"((" + storage + b"tQ" + view + hooks + b"tR"
    return name("torch._utils", "_rebuild_tensor_v2") + made


def module(kind, attributes):
    state = b"".join(text(key) + value for key, value in attributes.items())
    return name("__torch__", kind) + b")\x81}(" + state + b"ub"


def archive():
    weight = tensor("FloatStorage", "0", (2, 3), (3, 1))
    attributes = {
        "training": b"\x89",
        "w": weight,
        "b": tensor("FloatStorage", "1", (2,), (1,)),
        "v": tensor("FloatStorage", "1", (2,), (1,), 2),
        "sub": module("S", {"w": weight, "none": b"N"}),
    }
    members = {
        "data.pkl": b"\x80\x02" + module("M", attributes) + b".",
        "constants.pkl": b"\x80\x02(" + tensor("LongStorage", "0", (), ()) + b"t.",
        "data/0": struct.pack("<6f", 1, 2, 3, 4, 5, 6),
        "data/1": struct.pack("<4f", 0.5, -0.5, 0.25, 4),
        "constants/0": struct.pack("<q", 1),
    }
    with zipfile.ZipFile(HERE / "fuzz_targets" / "torch_script.pt", "w") as target:
        for member, content in members.items():
            target.writestr(zipfile.ZipInfo(f"archive/{member}"), content)


if __name__ == "__main__":
    archive()
    folder = HERE / "corpus" / "torch_script"
    folder.mkdir(parents=True, exist_ok=True)
    for seed, code in SEEDS.items():
        (folder / f"seed-{seed}").write_text(code)
