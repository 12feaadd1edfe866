//! Hostile TorchScript archives: whatever their bytes and their code, a typed error or a valid
//! model comes back, after work in proportion to the file.

use std::time::{Duration, Instant};

use fusewire::{Model, ModelError};

use crate::common::Random;

use super::torch_script_file::{
    archive, constants, data, forward, members, module, object, pickle, tensor, zipped,
};

/// Reads hostile bytes; what matters is that it returns, and when.
fn read(bytes: &[u8]) -> Result<Model, ModelError> {
    let start = Instant::now();
    let result = Model::from_bytes(bytes);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(1), "took {took:?}: {:?}", result.map(|_| ()));
    result
}

fn error(bytes: &[u8], part: &str) {
    let error = read(bytes).expect_err(part).to_string();
    assert!(error.contains(part), "expected '{part}' in: {error:.300}");
    assert!(!error.contains('\n') && error.len() < 2000, "{error:.300}");
}

/// The archive with another content of one of its members.
fn with(member: &str, content: &[u8]) -> Vec<u8> {
    let mut members = members();
    let place = members.iter_mut().find(|(name, _)| *name == member).unwrap();
    place.1 = content.to_vec();
    zipped(&members)
}

fn without(member: &str) -> Vec<u8> {
    let mut members = members();
    members.retain(|(name, _)| *name != member);
    zipped(&members)
}

#[test]
fn an_archive_cut_anywhere_is_an_error() {
    let bytes = zipped(&members());
    assert!(read(&bytes).is_ok());
    for length in 0..bytes.len() {
        assert!(read(&bytes[..length]).is_err(), "cut at {length}");
    }
}

/// Code with something of everything that the code of real archives has.
fn code() -> String {
    module(
        "f = __torch__.act\nif torch.ne(torch.dim(x), 2):\n  _0 = torch.format(\"{}D\", \
         torch.dim(x))\n  ops.prim.RaiseException(_0, \"E\")\nelse:\n  pass\nw = self.w\nb, v, = \
         (self.b, self.v, )\ny = torch.view(x, [torch.size(x, 0), -1])\ny0 = torch.linear(y, w, \
         b)\ny1 = torch.batch_norm(y0, None, None, b, v, False, 0.1, 1e-05, True)\n_1 = \
         getattr(self, \"sub\")\nreturn torch.softmax(f(y1, 0.5, ), 1)",
    ) + "def act(x: Tensor,\n    slope: float=0.01,\n    inplace: bool=False) -> Tensor:\n  if \
         inplace:\n    r = torch.leaky_relu_(x, slope)\n  else:\n    r = \
         torch.leaky_relu(x, slope)\n  return r\n"
}

#[test]
fn flipped_bytes_never_panic() {
    let mut random = Random(1);
    let bytes = zipped(&members());
    let code = code();
    assert!(read(&archive(&code)).is_ok());
    for _ in 0..1000 {
        let _ = read(&random.damaged(&bytes));
        // Checksums hide what lies inside from most flips of the zip.
        let _ = read(&with("code/__torch__.py", &random.damaged(code.as_bytes())));
        let _ = read(&with("data.pkl", &random.damaged(&data())));
        let _ = read(&with("constants.pkl", &random.damaged(&constants())));
    }
}

#[test]
fn code_cut_anywhere_never_panics() {
    let code = code();
    for length in 0..code.len() {
        let _ = read(&archive(&code[..length]));
    }
    for member in ["data.pkl", "constants.pkl"] {
        let content = &members().iter().find(|(name, _)| *name == member).unwrap().1.clone();
        for length in 0..content.len() {
            assert!(read(&with(member, &content[..length])).is_err(), "{member} cut at {length}");
        }
    }
}

#[test]
fn members_that_are_missing_or_lie() {
    for (member, part) in [
        ("constants.pkl", "expected a member constants.pkl, got none"),
        ("code/__torch__.py", "expected a member code/__torch__.py, got none"),
        ("data/0", "expected a member data/0, got none"),
    ] {
        error(&without(member), part);
    }
    assert!(read(&without("byteorder")).is_ok());
    error(&with("byteorder", b"big"), "byteorder: expected little, got big");
    error(&with("data/0", &[0; 23]), "tensor 'data/0': expected numbers within 23 bytes");
    error(&with("data/0", &f32::NAN.to_le_bytes().repeat(6)), "finite numbers");
    error(&with("code/__torch__.py", b"\xff"), "code/__torch__.py: expected UTF-8");
    error(&with("data.pkl", &pickle(b"N")), "data.pkl: expected a module, got None");
    error(&with("data.pkl", &pickle(b"}")), "expected a module");
    error(&with("data.pkl", &pickle(&object("__torch__", "Q", &[]))), "a definition of Q");
    error(&with("data.pkl", &pickle(&object("os", "system", &[]))), "os");
}

#[test]
fn tensors_that_lie() {
    let of = |kind, shape: &[i32], stride: &[i32], offset| {
        let attributes = [("w", tensor(kind, "0", shape, stride, offset))];
        let mut members = members();
        members[0].1 = pickle(&object("__torch__", "M", &attributes));
        members[2].1 = module("return torch.linear(x, self.w)").into_bytes();
        zipped(&members)
    };
    assert!(read(&of("FloatStorage", &[2, 3], &[3, 1], 0)).is_ok());
    assert!(read(&of("HalfStorage", &[2, 3], &[1, 2], 6)).is_ok());
    let big = i32::MAX;
    error(&of("FloatStorage", &[2, 3], &[3, 1], 1), "expected numbers within 24 bytes");
    error(&of("FloatStorage", &[2, 3], &[big, big], 0), "expected numbers within 24 bytes");
    error(&of("FloatStorage", &[big, big], &[big, 1], big), "expected numbers within 24 bytes");
    error(&of("FloatStorage", &[big, big], &[0, 0], 0), "bytes of transposed or expanded tensors");
    error(&of("FloatStorage", &[20_000, 1], &[0, 0], 0), "bytes of transposed or expanded");
    error(&of("FloatStorage", &[big, big, big, big], &[0; 4], 0), "expected numbers within");
    error(&of("FloatStorage", &[0, 3], &[3, 1], 0), "expected at least 1, got 0");
    error(&of("QInt8Storage", &[2, 3], &[3, 1], 0), "(qint8): only tensors of floating-point");
}

#[test]
fn depth_is_bounded() {
    for (open, close) in [("(", ")"), ("[", "]"), ("torch.relu(", ")"), ("(x).", "a"), ("-", "1")] {
        let lines = format!("return {}x{}", open.repeat(100_000), close.repeat(100_000));
        assert!(read(&forward(&lines)).is_err(), "{open}");
    }
    let attributes = format!("return x{}", ".a".repeat(100_000));
    error(&forward(&attributes), "depth of TorchScript code");
    // A tuple in a tuple in a tuple, a statement each.
    let lists = format!("x = (x, )\n{}return x", "x = (x, x, )\n".repeat(10_000));
    error(&forward(&lists), "it must return one tensor");
}

#[test]
fn calls_are_bounded() {
    let own = module("return (self).forward(x, )");
    error(&archive(&own), "depth of calls at code/__torch__.py");
    let mutual = module("return __torch__.f(x, )")
        + "def f(x: Tensor):\n  return __torch__.g(x, )\n\
           def g(x: Tensor):\n  return __torch__.f(x, )\n";
    error(&archive(&mutual), "depth of calls");
    let default = "class M(Module):\n  def forward(self: M,\n    x: Tensor,\n    y: \
                   Tensor=__torch__.f()):\n    return x\n\
                   def f(a: int=__torch__.f()):\n  return a\n";
    error(&archive(default), "depth of calls");
    // Two calls of the function before, forty times over.
    let twice = |n: usize| {
        let before = n + 1;
        format!(
            "def f{n}(x: Tensor):\n  y = __torch__.f{before}(x, )\n  \
             return __torch__.f{before}(x, )\n"
        )
    };
    let tree: String = (0..40).map(twice).collect();
    let leaf = |line: &str| {
        let code = module("return __torch__.f0(x, )") + &tree;
        archive(&(code + &format!("def f40(x: Tensor):\n  return {line}\n")))
    };
    error(&leaf("x"), "steps of the TorchScript code");
    error(&leaf("torch.relu(x)"), "the TorchScript code");
}

#[test]
fn sizes_are_bounded() {
    let huge = "9".repeat(1 << 20);
    error(&forward(&format!("return {huge}")), "expected an integer of 64 bits");
    error(&forward(&format!("return torch.mul(x, {huge}.)")), "no layer is before it");
    error(&forward(&format!("return {}", "n".repeat(1 << 20))), "bytes of a name");
    error(&forward(&format!("return \"{}\"", "t".repeat(1 << 20))), "it returns a text");
    let text = "t".repeat(1 << 20);
    error(
        &forward(&format!("ops.prim.RaiseException(\"{text}\", \"E\")")),
        "refuses such an input",
    );
    error(&forward(&format!("return [{}]", "1,".repeat(1 << 19))), "parts of the TorchScript code");
    error(&forward(&" ".repeat(1 << 22)), "bytes of TorchScript code");
    error(&forward(&"y = torch.relu(x)\n".repeat(40_000)), "operators that the TorchScript code");
    let long = (0..400).map(|n| format!("{n:0>1000}")).collect::<Vec<_>>().join(".a");
    assert!(read(&forward(&format!("return a{long}"))).is_err());
}

#[test]
fn one_tensor_used_again_and_again_is_held_once() {
    // A thousand layers of one shared matrix, and as many normalisations without own numbers.
    let layer = "x = torch.batch_norm(torch.linear(x, self.w), None, None, self.m, self.m, \
                 False, 0., 1., True)\n";
    let mut members = members();
    let width = 64;
    let attributes = [
        ("w", tensor("FloatStorage", "0", &[width, width], &[width, 1], 0)),
        ("m", tensor("FloatStorage", "0", &[width], &[1], 0)),
    ];
    members[0].1 = pickle(&object("__torch__", "M", &attributes));
    members[2].1 = module(&format!("{}return x", layer.repeat(1000))).into_bytes();
    members[3].1 = 0.5_f32.to_le_bytes().repeat((width * width) as usize);
    error(&zipped(&members), "numbers in constants, each use counted");
}
