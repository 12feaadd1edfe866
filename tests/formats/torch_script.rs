//! TorchScript archives: what their code computes, and what of it is refused.

use fusewire::backend::cpu::oracle;
use fusewire::model::LoadOptions;
use fusewire::{Activation, Head, Model, ModelError, Rows};

use super::torch_script_file::{archive, forward, members, module, zipped};

/// The layer that every archive here has, and what follows it.
fn after_layer(lines: &str) -> Result<Model, ModelError> {
    Model::from_bytes(&forward(&format!("y = torch.linear(x, self.w, self.b)\n{lines}")))
}

/// The scores of the row 1, 2, 3, of which the layer makes 14.5 and 31.5.
fn scores(lines: &str) -> Vec<f64> {
    let model = after_layer(lines).unwrap_or_else(|error| panic!("{lines}: {error}"));
    oracle(&model, Rows::F32(&[1.0, 2.0, 3.0]))
}

fn error(bytes: &[u8], part: &str) {
    let error = Model::from_bytes(bytes).expect_err(part).to_string();
    assert!(error.contains(part), "expected '{part}' in: {error}");
    assert!(!error.contains('\n') && error.len() < 1000, "{error}");
}

#[test]
fn activations_by_their_operators() {
    let clip = |min, max| Activation::Clip { min, max };
    let (low, high) = (f32::NEG_INFINITY, f32::INFINITY);
    for (call, expected) in [
        ("relu(y)", Activation::Relu),
        ("relu6(y)", clip(0.0, 6.0)),
        ("leaky_relu(y)", Activation::LeakyRelu { alpha: 0.01 }),
        ("leaky_relu(y, negative_slope=0.5)", Activation::LeakyRelu { alpha: 0.5 }),
        ("prelu(y, self.slope)", Activation::LeakyRelu { alpha: 0.5 }),
        ("rrelu(y, 0.1, 0.3, False)", Activation::LeakyRelu { alpha: 0.2 }),
        ("elu(y)", Activation::Elu { alpha: 1.0 }),
        ("elu(y, 2, 1, 1.)", Activation::Elu { alpha: 2.0 }),
        ("selu(y)", Activation::Selu { alpha: 1.673_263_2, gamma: 1.050_701 }),
        ("celu(y, 0.5)", Activation::Celu { alpha: 0.5 }),
        ("gelu(y)", Activation::Gelu),
        ("gelu(y, approximate=\"none\")", Activation::Gelu),
        ("gelu(y, approximate=\"tanh\")", Activation::GeluTanh),
        ("sigmoid(y)", Activation::Sigmoid),
        ("hardsigmoid(y)", Activation::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 }),
        ("tanh(y)", Activation::Tanh),
        ("softplus(y)", Activation::Softplus),
        ("softplus(y, 1, 30.)", Activation::Softplus),
        ("div(y, torch.add(torch.abs(y), 1))", Activation::Softsign),
        ("div(y, torch.add(CONSTANTS.c0, torch.abs(y)))", Activation::Softsign),
        ("silu(y)", Activation::Silu),
        ("mul(torch.sigmoid(y), y)", Activation::Silu),
        ("hardswish(y)", Activation::HardSwish),
        ("mish(y)", Activation::Mish),
        ("hardtanh(y)", clip(-1.0, 1.0)),
        ("hardtanh(y, -0.5, inf)", clip(-0.5, high)),
        ("clamp(y, None, CONSTANTS.c0)", clip(low, 1.0)),
        ("clamp(y, max=2)", clip(low, 2.0)),
        ("clamp_min(y, 0.5)", clip(0.5, high)),
        ("clamp_max_(y, 0.5)", clip(low, 0.5)),
        ("threshold(y, 0, 0.)", Activation::Relu),
        ("to(y, 6, False, False, None)", Activation::Identity),
        ("to(y, torch.device(\"cpu\"), 7)", Activation::Identity),
        ("dropout(y, 0.5, False)", Activation::Identity),
    ] {
        let model = after_layer(&format!("return torch.{call}"));
        let model = model.unwrap_or_else(|error| panic!("{call}: {error}"));
        assert_eq!(model.layers()[0].activation(), expected, "{call}");
    }
}

#[test]
fn arithmetic_by_hand() {
    for (lines, expected) in [
        ("return y", [14.5, 31.5]),
        ("return torch.matmul(x, torch.t(self.w))", [14.0, 32.0]),
        ("return torch.mm(x, torch.transpose(self.sub.w, 0, -1))", [14.0, 32.0]),
        (
            "return torch.addmm(self.b, x, torch.permute(self.w, [1, 0]), beta=2, alpha=3.)",
            [43.0, 95.0],
        ),
        ("return torch.add(y, self.v)", [14.75, 35.5]),
        ("return torch.add(y, 2, alpha=3)", [20.5, 37.5]),
        ("return torch.add(2., y, alpha=3)", [45.5, 96.5]),
        ("return torch.sub(y, self.n)", [12.5, 34.5]),
        ("return torch.rsub(y, 1, 2)", [-28.0, -62.0]),
        ("return torch.neg(torch.mul(y, CONSTANTS.c1))", [-1.8125, -252.0]),
        ("return torch.div(torch.sub(CONSTANTS.c0, y), 2)", [-6.75, -15.25]),
        ("return torch.add_(torch.mul_(y, 2), torch.unsqueeze(self.v, 0))", [29.25, 67.0]),
        // (14.5 - 0.5) / sqrt(0.25 + 0.75) and (31.5 + 0.5) / sqrt(4 + 0.75)
        (
            "return torch.batch_norm(y, None, None, self.b, self.v, False, 0.1, 0.75, True)",
            [14.0, 32.0 / 4.75_f64.sqrt()],
        ),
        (
            "return torch.batch_norm(y, self.v, self.n, self.b, self.v, training=False, eps=0.)",
            [9.0, 61.0],
        ),
    ] {
        let scores = scores(lines);
        let close = scores.iter().zip(expected).all(|(score, want)| (score - want).abs() < 1e-4);
        assert!(close && scores.len() == 2, "{lines}: {scores:?}, not {expected:?}");
    }
}

#[test]
fn shapes_that_keep_rows_apart() {
    for lines in [
        "return torch.flatten(y, 1)",
        "return torch.view(y, [-1, 2])",
        "return torch.reshape(y, [torch.size(y, 0), -1])",
        "_0 = ops.prim.NumToTensor(torch.size(x, 0))\nreturn torch.view(y, [int(_0), 2])",
        "b, c, = torch.size(y)\nreturn torch.view(y, [b, c])",
        "return torch.view(y, [(torch.size(y))[0], (torch.size(y))[-1]])",
        "return torch.view(torch.view(y, [torch.len(y), 1, 2]), [-1, 2])",
        "return torch.contiguous(torch.clone(torch.detach(ops.prim.data(y))))",
    ] {
        assert_eq!(scores(lines), [14.5, 31.5], "{lines}");
    }
    let model = Model::from_bytes(&forward("return torch.linear(torch.view(x, [-1, 3]), self.w)"));
    assert!(model.unwrap().notes()[0].contains("a row is taken to have"));
    let heads = [("softmax(y, 1)", Head::Softmax), ("log_softmax(y, -1, 7)", Head::LogSoftmax)];
    for (call, head) in heads {
        assert_eq!(after_layer(&format!("return torch.{call}")).unwrap().head(), head);
    }
}

#[test]
fn what_is_known_is_computed() {
    for lines in [
        "t = self.training\nif t:\n  z = torch.conv1d(y)\nelse:\n  z = torch.relu(y)\nreturn z",
        "if torch.__is__(self.none, None):\n  z = torch.relu(y)\nelse:\n  z = y\nreturn z",
        "if torch.__isnot__(y, None):\n  return torch.relu(unchecked_cast(Tensor, y))\nreturn y",
        "k = self.k\nif torch.eq(torch.add(k[0], k[-1]), torch.mul(3, 1)):\n  \
         return torch.relu(y)\nelse:\n  return y",
        "if torch.ne(torch.dim(x), 2):\n  ops.prim.RaiseException(\"axes\")\nelse:\n  pass\n\
         return torch.relu(y)",
        "a, b, = (torch.relu, annotate(Optional[int], None))\nreturn a(y)",
        "if torch.__not__(bool(float(int(CONSTANTS.c0)))):\n  return y\nelse:\n  \
         return torch.relu(y)",
        "u = uninitialized(int)\nreturn torch.relu(y)",
        "if torch.eq(torch.size(y, 1), 2):\n  return torch.relu(y)\nreturn y",
        "if torch.gt(0.5, 1):\n  return y\nelse:\n  return torch.relu(getattr(self, \"sub\").w)",
    ] {
        let result = after_layer(lines);
        if lines.contains("sub") {
            assert!(result.unwrap_err().to_string().contains("computed from the input"));
        } else {
            assert_eq!(result.unwrap().layers()[0].activation(), Activation::Relu, "{lines}");
        }
    }
}

#[test]
fn functions_and_methods_are_run() {
    let code = module(
        "f = __torch__.help\ny = (self.sub).apply(x, bias=self.b)\nreturn f((self).pick(y, ), 0.5)",
    ) + "  def pick(self: __torch__.M,\n    y: Tensor) -> Tensor:\n    return y\n\
         class S(Module):\n  def apply(self: __torch__.S,\n    x: Tensor,\n    bias: \
         Optional[Tensor]=None) -> Tensor:\n    return torch.linear(x, self.w, bias)\n\
         def help(x: Tensor,\n    slope: float,\n    inplace: bool=True) -> Tensor:\n  \
         if inplace:\n    return torch.leaky_relu_(x, slope)\n  return x\n";
    let model = Model::from_bytes(&archive(&code)).unwrap();
    assert_eq!(model.layers()[0].activation(), Activation::LeakyRelu { alpha: 0.5 });
    assert_eq!(model.layers()[0].bias(), Some(&[0.5, -0.5][..]));
}

#[test]
fn changes_in_place_are_seen_under_every_name() {
    let relu = |lines: &str| after_layer(lines).map(|model| model.layers()[0].activation());
    assert_eq!(relu("z = torch.relu_(y)\nreturn y"), Ok(Activation::Relu));
    assert_eq!(relu("z = torch.clone(y)\n_0 = torch.relu_(z)\nreturn y"), Ok(Activation::Identity));
    assert_eq!(relu("z = torch.relu(y)\nreturn z"), Ok(Activation::Relu));
    assert_eq!(relu("z = torch.dropout_(y, 0.5, False)\nreturn y"), Ok(Activation::Identity));
    for stale in ["detach(y)", "flatten(y, 1)", "to(y, 6)", "view(y, [-1, 2])"] {
        let lines = format!("z = torch.{stale}\n_0 = torch.relu_(y)\nreturn torch.tanh(z)");
        let error = relu(&lines).unwrap_err().to_string();
        assert!(error.contains("changed in place under another name"), "{error}");
        let back = format!("z = torch.{stale}\n_0 = torch.relu_(z)\nreturn torch.tanh(y)");
        assert!(relu(&back).unwrap_err().to_string().contains("in place"), "{back}");
    }
}

#[test]
fn what_is_no_step_of_a_chain_is_refused_by_name_and_line() {
    for (lines, part) in [
        ("return torch.conv1d(y)", "node 'code/__torch__.py:6' (torch.conv1d): convolutions"),
        ("return torch.layer_norm(y, [2])", "(torch.layer_norm): it normalises by each row's own"),
        ("return torch.add(y, x)", "it joins two computed values"),
        ("return ops.quantized.linear(y)", "(ops.quantized.linear): save the model before quanti"),
        ("return ops.mkldnn._linear(y)", "(ops.mkldnn._linear): only PyTorch's own"),
        ("return torch.to(y, CONSTANTS.c0)", "(torch.to): values would be rounded to integers"),
        ("return torch.type_as(y, self.n)", "(torch.type_as): values would be rounded"),
        ("return torch.quantize_per_tensor(y, 1., 0)", "before quantisation"),
        ("return torch.to(y, 4)", "rounded to integers"),
        ("return torch.to(y, dtype=3)", "rounded to integers"),
        ("return torch.flatten(y)", "axes 1 to -1 keep rows apart and whole; 0 to -1 do not"),
        ("return torch.view(y, [1, 2])", "a first axis of 1 may mix rows"),
        ("return torch.view(y, [-1, -1])", "a first axis of -1 may mix rows"),
        ("return torch.view(y, [-1, 1])", "may be mixed by [0, 1]"),
        ("return torch.view(y, [-1, 0])", "axes of no values"),
        ("return torch.view(y, [])", "a batch axis and one more"),
        ("return torch.view(y, 6)", "only a shape can be asked for"),
        ("return torch.softmax(y, 0)", "axis 0 does not hold all classes"),
        ("return torch.softplus(y, 2.)", "only beta 1"),
        ("return torch.softplus(y, 1., 5.)", "a threshold from 20 up"),
        ("return torch.elu(y, 1., 2.)", "only a scale of 1"),
        ("return torch.threshold(y, 1, 0)", "only a threshold and a value of 0"),
        ("return torch.prelu(y, self.b)", "only one constant slope"),
        ("return torch.relu(y, 1)", "it is called with 2 arguments, not 1"),
        ("return torch.relu(y, out=y)", "'out' is not known here"),
        ("return torch.leaky_relu(y, 1., negative_slope=1.)", "'negative_slope' is given twice"),
        ("return torch.leaky_relu(y, \"a\")", "'negative_slope' must be a known number"),
        ("return torch.div(y, 2, rounding_mode=\"floor\")", "rounded"),
        ("return torch.dropout(y, 0.5, True)", "call .eval() before saving"),
        ("return torch.rrelu(y, 0.1, 0.3, True)", "call .eval() before saving"),
        ("return torch.batch_norm(y, None, None, self.b, self.v, True, 0., 0., True)", ".eval()"),
        ("return torch.batch_norm(y, None, None, None, None, False, 0., 0., True)", ".eval()"),
        ("_0 = torch.add_(self.b, 1)\nreturn y", "changes a tensor of the file in place"),
        ("return torch.linear(y, torch.mul(self.w, 2))", "cannot be computed with each other"),
        ("return torch.linear(y, y)", "'weight' must be a tensor of the file"),
        ("return torch.linear(y, self.w)", "expected rows of 3 values"),
    ] {
        let lines = format!("y = torch.linear(x, self.w, self.b)\n{lines}");
        error(&forward(&lines), part);
    }
}

#[test]
fn code_that_is_no_chain_is_refused_by_name_and_line() {
    for (lines, part) in [
        ("while True:\n  y = y\nreturn y", "(while)"),
        ("for i in range(3):\n  y = y\nreturn y", "(for)"),
        ("if torch.gt(y, 0):\n  y = x\nreturn y", "(torch.gt)"),
        ("if bool(y):\n  pass\nreturn y", "(bool): a tensor computed from the input is no number"),
        ("if torch.gt(torch.size(y, 0), 1):\n  pass\nreturn y", "which way it goes depends on"),
        ("if torch.eq(torch.size(x, 1), 3):\n  pass\nreturn y", "which way it goes depends on"),
        ("if self.table:\n  pass\nreturn y", "which way it goes depends on a dictionary"),
        ("ops.prim.RaiseException(\"bad {}\", \"E\")", "the code refuses such an input: bad {}"),
        ("self.w = y\nreturn y", "an assignment to a part of a value"),
        ("return (y, y)", "it must return one tensor, and it returns a list or tuple"),
        ("return {\"a\": y}", "it returns a dictionary"),
        ("return self.w", "it returns a constant tensor"),
        ("pass", "it returns None"),
        ("return x", "it is the input itself"),
        ("return z", "expected the name of a variable, got 'z'"),
        ("return self.z", "expected a stored value 'z', got none"),
        ("return CONSTANTS.c2", "expected a stored value 'c2'"),
        ("return y.w", "(.w): a tensor computed from the input has no attributes"),
        ("return (self).other(y)", "(.other): the class __torch__.M has no such method"),
        ("return (self.sub).forward(y)", "expected a definition of S, got none"),
        ("return __torch__.M(y)", "classes are not called"),
        ("return __torch__.other.f(y)", "expected a member code/__torch__/other.py, got none"),
        ("return self.k(y)", "(.k): the class __torch__.M has no such method"),
        ("return y(y)", "(call): a tensor computed from the input cannot be called"),
        ("return open(\"a\")", "(open): it is no function that is known here"),
        ("a, b, = self.k[0]\nreturn y", "2 are taken from an integer"),
        ("return self.k[5]", "([]): a list or tuple has no item an integer"),
        ("return torch.len(5)", "(torch.len): it is not run on an integer"),
    ] {
        let lines = format!("y = torch.linear(x, self.w, self.b)\n{lines}");
        error(&forward(&lines), part);
    }
}

#[test]
fn one_tensor_goes_in() {
    let with = |parameters: &str| {
        let code = format!("class M(Module):\n  def forward(self: M{parameters}) -> Tensor:\n    ");
        archive(&(code + "return torch.linear(x, self.w)\n"))
    };
    assert!(Model::from_bytes(&with(", x: Tensor, n: int=3, *, y: Optional[Tensor]=None")).is_ok());
    error(&with(", x: Tensor, y: Tensor"), "(forward): one input is run, and it has 2");
    error(&with(""), "one input is run, and it has 0");
    error(&with(", x: List[Tensor]"), "its input 'x' is no tensor");
    error(&archive("class M(Module):\n  training : bool\n"), "expected a module that has a method");
}

#[test]
fn the_archive_states_its_activations_itself() {
    let options = LoadOptions { activation: Some(Activation::Relu), ..LoadOptions::default() };
    let error = Model::from_bytes_with(&zipped(&members()), &options).unwrap_err().to_string();
    assert!(error.contains("a file of format torchscript states its own"), "{error}");
}
