//! ONNX: every accepted form gives the layers worked out by hand, every other is refused by name.

use fusewire::backend::cpu::oracle;
use fusewire::model::PerInput;
use fusewire::{Activation, Head, Model, Rows, U8Scale};

use super::onnx_file::{Attribute, File, Tensor, float, floats, int, int64s, ints, text, value};

/// `[outputs 2, inputs 3]`
const WEIGHT: [f32; 6] = [1.0, 2.0, 3.0, -4.0, 0.5, 6.0];
/// The same as `[inputs 3, outputs 2]`.
const WEIGHT_IN_OUT: [f32; 6] = [1.0, -4.0, 2.0, 0.5, 3.0, 6.0];
const BIAS: [f32; 2] = [0.25, -8.0];

/// An opset-17 file with input `[N, 3]`, `w`, `b`, and scalars to choose from.
fn file() -> File {
    File::new(17, &[-1, 3])
        .tensor("w", floats(&[2, 3], &WEIGHT))
        .tensor("wt", floats(&[3, 2], &WEIGHT_IN_OUT))
        .tensor("b", floats(&[2], &BIAS))
}

fn scalar(name: &str, number: f32) -> impl Fn(File) -> File {
    move |file| file.tensor(name, floats(&[], &[number]))
}

/// One layer, `y`, before whatever a test adds.
fn one_layer() -> File {
    file().node("Gemm", &["x", "w", "b"], "y", &[int("transB", 1)])
}

fn load(file: &File) -> Model {
    Model::from_bytes(&file.bytes()).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(file: &File, part: &str) {
    let error = Model::from_bytes(&file.bytes()).expect_err(part).to_string();
    assert!(error.contains(part), "expected '{part}' in: {error}");
}

fn check_layer(file: &File, weight: [f32; 6], bias: Option<[f32; 2]>) {
    let model = load(file);
    assert_eq!(model.architecture(), "3-2");
    assert_eq!(model.layers()[0].weight(), weight);
    assert_eq!(model.layers()[0].bias(), bias.as_ref().map(|bias| &bias[..]));
    assert!(model.transform().is_identity());
}

fn check_scores(file: &File, row: &[f32], expected: &[f64]) {
    let got = oracle(&load(file), Rows::F32(row));
    let close =
        |(got, expected): (&f64, &f64)| (got - expected).abs() <= 1e-5 * expected.abs().max(1.0);
    assert!(
        got.len() == expected.len() && got.iter().zip(expected).all(close),
        "{got:?}, not {expected:?}"
    );
}

#[test]
fn gemm_in_every_form() {
    let gemm = |file: File, input: &[&str], attributes: &[Attribute]| {
        file.node("Gemm", input, "y", attributes)
    };
    check_layer(&gemm(file(), &["x", "w", "b"], &[int("transB", 1)]), WEIGHT, Some(BIAS));
    check_layer(&gemm(file(), &["x", "wt", "b"], &[]), WEIGHT, Some(BIAS));
    check_layer(&gemm(file(), &["x", "wt"], &[]), WEIGHT, None);
    check_layer(&gemm(file(), &["x", "wt", ""], &[int("transA", 0)]), WEIGHT, None);
    let scaled = [float("alpha", 2.0), float("beta", -0.5)];
    let doubled = WEIGHT.map(|weight| 2.0 * weight);
    check_layer(&gemm(file(), &["x", "wt", "b"], &scaled), doubled, Some([-0.125, 4.0]));
    for (dims, numbers, bias) in [
        (&[1, 2][..], &BIAS[..], BIAS),
        (&[], &[3.0], [3.0, 3.0]),
        (&[1], &[3.0], [3.0, 3.0]),
        (&[1, 1], &[3.0], [3.0, 3.0]),
    ] {
        let file = file().tensor("c", floats(dims, numbers));
        check_layer(&gemm(file, &["x", "wt", "c"], &[]), WEIGHT, Some(bias));
    }
    refused(&gemm(file(), &["x", "wt"], &[int("transA", 1)]), "transA");
    refused(&gemm(file(), &["x", "w"], &[]), "expected rows of 2 values, got shape [3]");
    refused(&gemm(file(), &["w", "x"], &[]), "it is a constant");
    let wide = file().tensor("c", floats(&[3], &[0.0; 3]));
    refused(&gemm(wide, &["x", "wt", "c"], &[]), "does not fit");
    let tall = file().tensor("c", floats(&[2, 2], &[0.0; 4]));
    refused(&gemm(tall, &["x", "wt", "c"], &[]), "does not fit");
    refused(&gemm(file(), &["x", "wt"], &[int("new", 0)]), "attribute 'new'");
    refused(&gemm(file(), &["x", "wt"], &[int("alpha", 1)]), "wrong type");
}

#[test]
fn matmul_and_add() {
    let product = || file().node("MatMul", &["x", "wt"], "m", &[]);
    check_layer(&product(), WEIGHT, None);
    check_layer(&product().node("Add", &["m", "b"], "y", &[]), WEIGHT, Some(BIAS));
    check_layer(&product().node("Add", &["b", "m"], "y", &[]), WEIGHT, Some(BIAS));
    let transposed = |perm: &[Attribute]| {
        file().node("Transpose", &["w"], "t", perm).node("MatMul", &["x", "t"], "y", &[])
    };
    check_layer(&transposed(&[]), WEIGHT, None);
    check_layer(&transposed(&[ints("perm", &[1, 0])]), WEIGHT, None);
    refused(&transposed(&[ints("perm", &[0, 1])]), "expected rows of 2 values");
    refused(&file().node("MatMul", &["w", "x"], "y", &[]), "must stand on the right");
    let twice = file().node("MatMul", &["x", "wt"], "m", &[]);
    let square = twice.tensor("s", floats(&[2, 2], &[1.0, 2.0, 3.0, 4.0]));
    let square = square.node("MatMul", &["m", "s"], "y", &[]);
    assert_eq!(load(&square).architecture(), "3-2-2");
}

#[test]
fn activations_with_their_defaults_and_attributes() {
    let selu = Activation::from_name("selu").unwrap();
    let cases: [(&str, &[Attribute], Activation); 24] = [
        ("Relu", &[], Activation::Relu),
        ("LeakyRelu", &[], Activation::LeakyRelu { alpha: 0.01 }),
        ("LeakyRelu", &[float("alpha", 0.3)], Activation::LeakyRelu { alpha: 0.3 }),
        ("Elu", &[], Activation::Elu { alpha: 1.0 }),
        ("Elu", &[float("alpha", 0.3)], Activation::Elu { alpha: 0.3 }),
        ("Selu", &[], selu),
        ("Selu", &[float("gamma", 2.0)], selu.with_parameters([selu.parameters()[0], 2.0])),
        ("Celu", &[], Activation::Celu { alpha: 1.0 }),
        ("Celu", &[float("alpha", 0.3)], Activation::Celu { alpha: 0.3 }),
        ("Gelu", &[], Activation::Gelu),
        ("Gelu", &[text("approximate", "none")], Activation::Gelu),
        ("Gelu", &[text("approximate", "tanh")], Activation::GeluTanh),
        ("Sigmoid", &[], Activation::Sigmoid),
        ("HardSigmoid", &[], Activation::HardSigmoid { alpha: 0.2, beta: 0.5 }),
        ("HardSigmoid", &[float("alpha", 0.3)], Activation::HardSigmoid { alpha: 0.3, beta: 0.5 }),
        ("Tanh", &[], Activation::Tanh),
        ("Softplus", &[], Activation::Softplus),
        ("Softsign", &[], Activation::Softsign),
        ("HardSwish", &[], Activation::HardSwish),
        ("Swish", &[], Activation::Silu),
        ("Swish", &[float("alpha", 1.0)], Activation::Silu),
        ("Mish", &[], Activation::Mish),
        ("Clip", &[], Activation::Clip { min: f32::NEG_INFINITY, max: f32::INFINITY }),
        ("Identity", &[], Activation::Identity),
    ];
    for (op, attributes, expected) in cases {
        let model = load(&one_layer().node(op, &["y"], "z", attributes));
        assert_eq!(model.layers()[0].activation(), expected, "{op}");
    }
    refused(&one_layer().node("Gelu", &["y"], "z", &[text("approximate", "sigmoid")]), "sigmoid");
    refused(&one_layer().node("Swish", &["y"], "z", &[float("alpha", 2.0)]), "only alpha 1");
    refused(&one_layer().node("ThresholdedRelu", &["y"], "z", &[]), "ThresholdedRelu");
}

#[test]
fn clip_and_prelu_by_inputs() {
    let bounds = |file| scalar("high", 6.0)(scalar("low", -1.0)(file));
    let clip = |inputs: &[&str]| load(&bounds(one_layer()).node("Clip", inputs, "z", &[]));
    let activation = |model: Model| model.layers()[0].activation();
    let (low, high) = (f32::NEG_INFINITY, f32::INFINITY);
    for (inputs, min, max) in [
        (&["y", "low", "high"][..], -1.0, 6.0),
        (&["y", "", "high"], low, 6.0),
        (&["y", "low"], -1.0, high),
    ] {
        assert_eq!(activation(clip(inputs)), Activation::Clip { min, max });
    }
    let mut old = one_layer().node("Clip", &["y"], "z", &[float("min", 0.0), float("max", 6.0)]);
    old.opset = 9;
    assert_eq!(activation(load(&old)), Activation::Clip { min: 0.0, max: 6.0 });
    refused(&one_layer().node("Clip", &["y"], "z", &[float("min", 0.0)]), "attribute 'min'");
    let slope = scalar("slope", 0.2)(one_layer()).node("PRelu", &["y", "slope"], "z", &[]);
    assert_eq!(activation(load(&slope)), Activation::LeakyRelu { alpha: 0.2 });
    refused(&one_layer().node("PRelu", &["y", "b"], "z", &[]), "one constant slope");
}

/// The nodes of one activation: operator, inputs, output.
type Nodes<'a> = &'a [(&'a str, &'a [&'a str], &'a str)];

/// A layer, scalars to choose from, and these nodes.
fn decomposed(parts: &[Nodes<'_>]) -> File {
    let constants = [
        ("half", 0.5),
        ("one", 1.0),
        ("two", 2.0),
        ("three", 3.0),
        ("six", 6.0),
        ("zero", 0.0),
        ("sqrt2", std::f32::consts::SQRT_2),
        ("k", 0.797_884_6),
        ("c", 0.044715),
    ];
    let file = constants.iter().fold(one_layer(), |f, (name, n)| scalar(name, *n)(f));
    let nodes = parts.iter().flat_map(|nodes| nodes.iter());
    nodes.fold(file, |file, (op, input, output)| file.node(op, input, output, &[]))
}

const ERF: Nodes<'_> =
    &[("Div", &["y", "sqrt2"], "d"), ("Erf", &["d"], "g"), ("Add", &["g", "one"], "a")];
/// As `torch.nn.GELU` writes it.
const TANH_OF_A_POWER: Nodes<'_> = &[
    ("Pow", &["y", "three"], "p"),
    ("Mul", &["p", "c"], "pc"),
    ("Add", &["y", "pc"], "s"),
    ("Mul", &["s", "k"], "i"),
    ("Tanh", &["i"], "g"),
    ("Add", &["one", "g"], "a"),
    ("Mul", &["half", "y"], "h"),
    ("Mul", &["h", "a"], "z"),
];
/// As language models write it.
const TANH_OF_PRODUCTS: Nodes<'_> = &[
    ("Mul", &["y", "k"], "yk"),
    ("Mul", &["c", "y"], "cy"),
    ("Mul", &["cy", "y"], "cyy"),
    ("Add", &["cyy", "one"], "s"),
    ("Mul", &["yk", "s"], "i"),
    ("Tanh", &["i"], "g"),
    ("Add", &["g", "one"], "a"),
    ("Mul", &["a", "half"], "h"),
    ("Mul", &["y", "h"], "z"),
];
const SIX: Nodes<'_> = &[("Add", &["y", "three"], "s"), ("Clip", &["s", "zero", "six"], "g")];
const MISH: Nodes<'_> =
    &[("Softplus", &["y"], "s"), ("Tanh", &["s"], "g"), ("Mul", &["y", "g"], "z")];

#[test]
fn decomposed_activations() {
    let cases: [(Activation, &[Nodes<'_>]); 9] = [
        (Activation::Gelu, &[ERF, &[("Mul", &["y", "a"], "m"), ("Mul", &["m", "half"], "z")]]),
        (Activation::Gelu, &[ERF, &[("Mul", &["half", "y"], "m"), ("Mul", &["m", "a"], "z")]]),
        (Activation::Gelu, &[ERF, &[("Mul", &["a", "half"], "m"), ("Mul", &["y", "m"], "z")]]),
        (Activation::GeluTanh, &[TANH_OF_A_POWER]),
        (Activation::GeluTanh, &[TANH_OF_PRODUCTS]),
        (Activation::Silu, &[&[("Sigmoid", &["y"], "g"), ("Mul", &["y", "g"], "z")]]),
        (Activation::Silu, &[&[("Sigmoid", &["y"], "g"), ("Mul", &["g", "y"], "z")]]),
        (Activation::Mish, &[MISH]),
        (Activation::HardSwish, &[SIX, &[("Mul", &["y", "g"], "m"), ("Div", &["m", "six"], "z")]]),
    ];
    for (index, (activation, parts)) in cases.iter().enumerate() {
        let model = load(&decomposed(parts));
        assert_eq!(model.layers()[0].activation(), *activation, "case {index}");
        assert_eq!(model.layers()[0].bias(), Some(&BIAS[..]), "case {index}");
    }
}

#[test]
fn what_is_nearly_an_activation_is_refused() {
    let scaled: Nodes<'_> = &[("Mul", &["y", "two"], "t"), ("Sigmoid", &["t"], "g")];
    let per_feature: Nodes<'_> = &[("Sigmoid", &["y"], "g"), ("Mul", &["b", "y"], "o")];
    let cases: [&[Nodes<'_>]; 6] = [
        &[ERF, &[("Mul", &["y", "a"], "m"), ("Mul", &["m", "two"], "z")]],
        &[ERF, &[("Mul", &["y", "a"], "m"), ("Mul", &["m", "m"], "z")]],
        &[SIX, &[("Mul", &["y", "g"], "z")]],
        &[scaled, &[("Mul", &["y", "g"], "z")]],
        &[per_feature, &[("Mul", &["o", "g"], "z")]],
        &[&[("Add", &["y", "y"], "z")]],
    ];
    for parts in cases {
        refused(&decomposed(parts), "it joins two computed values");
    }
}

#[test]
fn a_decomposed_hard_swish_by_attribute() {
    let gate = [float("alpha", 1.0 / 6.0), float("beta", 0.5)];
    let file = one_layer().node("HardSigmoid", &["y"], "g", &gate);
    let file = file.node("Mul", &["y", "g"], "z", &[]);
    assert_eq!(load(&file).layers()[0].activation(), Activation::HardSwish);
    let other = one_layer().node("HardSigmoid", &["y"], "g", &[]);
    refused(&other.node("Mul", &["y", "g"], "z", &[]), "it joins two computed values");
}

/// Adds statistics for `width` channels: scale, shift, mean, variance (so that with epsilon 0.5 the
/// standard deviation is 2).
fn with_statistics(file: File, width: i64) -> File {
    let numbers = |first: f32| (0..width).map(|n| first + n as f32).collect::<Vec<_>>();
    file.tensor("gamma", floats(&[width], &numbers(2.0)))
        .tensor("beta", floats(&[width], &numbers(1.0)))
        .tensor("mean", floats(&[width], &numbers(-1.0)))
        .tensor("var", floats(&[width], &vec![3.5; width as usize]))
}

fn norm(file: File, input: &str, name: &str) -> File {
    file.node(
        "BatchNormalization",
        &[input, "gamma", "beta", "mean", "var"],
        name,
        &[float("epsilon", 0.5)],
    )
}

#[test]
fn batch_normalisation_after_a_layer() {
    // y = x W^T + b at x = [1, 1, 1]: [6.25, -5.5]; (y - mean) / 2 * gamma + beta.
    let file = norm(with_statistics(one_layer(), 2), "y", "n");
    check_scores(
        &file,
        &[1.0; 3],
        &[(6.25 + 1.0) / 2.0 * 2.0 + 1.0, (-5.5 - 0.0) / 2.0 * 3.0 + 2.0],
    );
    let model = load(&file.node("Relu", &["n"], "z", &[]));
    assert_eq!(model.layers()[0].activation(), Activation::Relu);
    assert!(model.notes().iter().any(|note| note.contains("BatchNormalization")));
}

#[test]
fn batch_normalisation_after_an_activation_and_before_the_first_layer() {
    // relu(y) = [6.25, 0]; normalised [8.25, 2]; times [[1, 1], [1, -1]].
    let file = with_statistics(one_layer(), 2).node("Relu", &["y"], "r", &[]);
    let file = norm(file, "r", "n").tensor("v", floats(&[2, 2], &[1.0, 1.0, 1.0, -1.0]));
    check_scores(&file.node("MatMul", &["n", "v"], "z", &[]), &[1.0; 3], &[10.25, 6.25]);
    // x = [3, 4, 5] normalised: (3 + 1) / 2 * 2 + 1, (4 - 0) / 2 * 3 + 2, (5 - 1) / 2 * 4 + 3.
    let first = norm(with_statistics(file_without_nodes(), 3), "x", "n");
    let first = first.node("MatMul", &["n", "wt"], "y", &[]);
    check_scores(&first, &[3.0, 4.0, 5.0], &[5.0 + 16.0 + 33.0, -20.0 + 4.0 + 66.0]);
    let transform = load(&first).transform().clone();
    assert_eq!(transform.scale, PerInput::Each(vec![1.0, 1.5, 2.0]));
    assert_eq!(transform.offset, PerInput::Each(vec![2.0, 2.0, 1.0]));
    refused(&norm(with_statistics(one_layer(), 3), "y", "n"), "does not fit a row");
    let mut training = norm(with_statistics(one_layer(), 2), "y", "n");
    training.nodes[1].attribute.push(int("training_mode", 1));
    refused(&training, "training mode");
}

fn file_without_nodes() -> File {
    file()
}

#[test]
fn elementwise_constants_fold() {
    let scaled = |op: &str, input: &[&str]| scalar("s", 4.0)(one_layer()).node(op, input, "z", &[]);
    check_layer(&scaled("Mul", &["y", "s"]), WEIGHT.map(|w| 4.0 * w), Some([1.0, -32.0]));
    check_layer(&scaled("Div", &["y", "s"]), WEIGHT.map(|w| w / 4.0), Some([0.0625, -2.0]));
    check_layer(&scaled("Add", &["s", "y"]), WEIGHT, Some([4.25, -4.0]));
    check_layer(&scaled("Sub", &["y", "s"]), WEIGHT, Some([-3.75, -12.0]));
    check_layer(&scaled("Sub", &["s", "y"]), WEIGHT.map(|w| -w), Some([3.75, 12.0]));
    check_layer(&one_layer().node("Neg", &["y"], "z", &[]), WEIGHT.map(|w| -w), Some([-0.25, 8.0]));
    refused(&scaled("Div", &["s", "y"]), "must stand on the right");
    // Past an activation a scale belongs to the next layer, and past the last to one of its own.
    let relu = scalar("s", 4.0)(one_layer()).node("Relu", &["y"], "r", &[]);
    let relu = relu.node("Mul", &["r", "s"], "z", &[]);
    assert_eq!(load(&relu).layers()[1].weight(), [4.0, 0.0, 0.0, 4.0]);
    let next = relu.tensor("v", floats(&[2, 1], &[1.0, 2.0])).node("MatMul", &["z", "v"], "q", &[]);
    assert_eq!(load(&next).layers()[1].weight(), [4.0, 8.0]);
}

#[test]
fn normalisation_becomes_the_input_transform() {
    let per_channel = File::new(17, &[-1, 2, 1, 2])
        .tensor("mean", floats(&[2, 1, 1], &[1.0, 2.0]))
        .tensor("std", floats(&[1, 2, 1, 1], &[2.0, 4.0]))
        .tensor("w", floats(&[1, 4], &[1.0; 4]))
        .node("Sub", &["x", "mean"], "s", &[])
        .node("Div", &["s", "std"], "d", &[])
        .node("Flatten", &["d"], "f", &[])
        .node("Gemm", &["f", "w"], "y", &[int("transB", 1)]);
    let transform = load(&per_channel).transform().clone();
    assert_eq!(transform.scale, PerInput::Each(vec![0.5, 0.5, 0.25, 0.25]));
    assert_eq!(transform.offset, PerInput::Uniform(-0.5));
    check_scores(&per_channel, &[3.0, 5.0, 6.0, 10.0], &[1.0 + 2.0 + 1.0 + 2.0]);

    let by_255 = scalar("s", 255.0)(file()).node("Div", &["x", "s"], "d", &[]);
    let by_255 = load(&by_255.node("MatMul", &["d", "wt"], "y", &[]));
    assert_eq!(by_255.transform().scale, PerInput::Uniform(1.0 / 255.0));
    assert_eq!(by_255.u8_scale(), U8Scale::File(1.0), "bytes are divided once, by the transform");
    assert_eq!(load(&one_layer()).u8_scale(), U8Scale::Assumed);
}

#[test]
fn bytes_as_input() {
    let mut file =
        file().node("Cast", &["x"], "c", &[int("to", 1)]).node("MatMul", &["c", "wt"], "y", &[]);
    file.element = 2;
    assert_eq!(load(&file).u8_scale(), U8Scale::File(1.0));
    file.element = 7;
    refused(&file, "data type 7");
    let rounding = one_layer().node("Cast", &["y"], "c", &[int("to", 7)]);
    refused(&rounding, "rounded to integers");
}

#[test]
fn constants_in_every_place_and_type() {
    let half = |n: f32| i32::from(half::f16::from_f32(n).to_bits());
    let brain = |n: f32| i32::from(half::bf16::from_f32(n).to_bits());
    let typed = |data_type| Tensor { dims: vec![2, 3], data_type, ..Tensor::default() };
    let doubles = WEIGHT.map(f64::from).to_vec();
    let raw = |bytes: Vec<u8>, kind| Tensor { raw_data: bytes, ..typed(kind) };
    let stored = [
        Tensor { float_data: WEIGHT.to_vec(), ..typed(1) },
        Tensor { double_data: doubles.clone(), ..typed(11) },
        Tensor { int32_data: WEIGHT.map(half).to_vec(), ..typed(10) },
        Tensor { int32_data: WEIGHT.map(brain).to_vec(), ..typed(16) },
        raw(doubles.iter().flat_map(|n| n.to_le_bytes()).collect(), 11),
        raw(WEIGHT.iter().flat_map(|n| half::f16::from_f32(*n).to_le_bytes()).collect(), 10),
        raw(WEIGHT.iter().flat_map(|n| half::bf16::from_f32(*n).to_le_bytes()).collect(), 16),
    ];
    for tensor in stored {
        let gemm = |file: File| file.node("Gemm", &["x", "v"], "y", &[int("transB", 1)]);
        check_layer(&gemm(file().tensor("v", tensor.clone())), WEIGHT, None);
        check_layer(&gemm(file().node("Constant", &[], "v", &[value(tensor)])), WEIGHT, None);
    }
    let mut old = one_layer();
    old.tensors_are_inputs = true;
    check_layer(&old, WEIGHT, Some(BIAS));
    let seen_through =
        file().node("Identity", &["b"], "i", &[]).node("Cast", &["i"], "c", &[int("to", 1)]);
    let seen_through = seen_through.node("Gemm", &["x", "wt", "c"], "y", &[]);
    check_layer(&seen_through, WEIGHT, Some(BIAS));
}

/// An image model, `[N, 1, 1, 3]`, whose flatten a test adds as node `f`.
fn image() -> File {
    let mut file = file();
    file.shape = vec![-1, 1, 1, 3];
    file
}

fn then_layer(file: File) -> File {
    file.node("Gemm", &["f", "w", "b"], "y", &[int("transB", 1)])
}

#[test]
fn every_way_to_flatten() {
    let flatten = |attributes: &[Attribute]| image().node("Flatten", &["x"], "f", attributes);
    check_layer(&then_layer(flatten(&[])), WEIGHT, Some(BIAS));
    check_layer(&then_layer(flatten(&[int("axis", -3)])), WEIGHT, Some(BIAS));
    refused(&then_layer(flatten(&[int("axis", 2)])), "axis 1 keeps rows apart");
    for shape in [&[-1, 3][..], &[0, -1], &[0, 3], &[-1, 1, 3]] {
        let reshape = image().tensor("s", int64s(shape)).node("Reshape", &["x", "s"], "r", &[]);
        let layer =
            reshape.node("MatMul", &["r", "wt"], "m", &[]).node("Add", &["m", "b"], "y", &[]);
        check_layer(&layer, WEIGHT, Some(BIAS));
    }
    for shape in [&[1, -1][..], &[3, -1], &[-1], &[-1, 6], &[1, 3]] {
        let reshape = image().tensor("s", int64s(shape)).node("Reshape", &["x", "s"], "f", &[]);
        assert!(Model::from_bytes(&then_layer(reshape).bytes()).is_err(), "{shape:?}");
    }
    let squeezed = image().node("Squeeze", &["x"], "f", &[ints("axes", &[1, 2])]);
    check_layer(&then_layer(squeezed), WEIGHT, Some(BIAS));
    let by_input = image().tensor("a", int64s(&[-2, 1])).node("Squeeze", &["x", "a"], "f", &[]);
    check_layer(&then_layer(by_input), WEIGHT, Some(BIAS));
    refused(&then_layer(image().node("Squeeze", &["x"], "f", &[ints("axes", &[0])])), "the batch");
    refused(&then_layer(image().node("Identity", &["x"], "f", &[])), "flatten before the layer");
}

#[test]
fn the_exporters_computed_flatten() {
    let gathered = |index: Tensor, through: &[(&str, &[&str], &str, &[Attribute])]| {
        let file =
            image().tensor("i", index).tensor("rest", int64s(&[-1])).tensor("zero", int64s(&[0]));
        let file = file.node("Shape", &["x"], "shape", &[]).node(
            "Gather",
            &["shape", "i"],
            "n",
            &[int("axis", 0)],
        );
        let file =
            through.iter().fold(file, |f, (op, input, output, a)| f.node(op, input, output, a));
        let file = file.node("Concat", &["u", "rest"], "target", &[int("axis", 0)]);
        then_layer(file.node("Reshape", &["x", "target"], "f", &[]))
    };
    let index = |number: i64| Tensor { dims: vec![], ..int64s(&[number]) };
    let by_attribute = gathered(index(0), &[("Unsqueeze", &["n"], "u", &[ints("axes", &[0])])]);
    check_layer(&by_attribute, WEIGHT, Some(BIAS));
    let by_input = gathered(index(0), &[("Unsqueeze", &["n", "zero"], "u", &[])]);
    check_layer(&by_input, WEIGHT, Some(BIAS));
    let vector = gathered(int64s(&[0]), &[("Cast", &["n"], "u", &[int("to", 7)])]);
    check_layer(&vector, WEIGHT, Some(BIAS));
    refused(&gathered(index(1), &[("Unsqueeze", &["n", "zero"], "u", &[])]), "the shape must be");
    let newer = image().tensor("rest", int64s(&[-1]));
    let newer = newer.node("Shape", &["x"], "n", &[int("start", 0), int("end", 1)]);
    let newer = newer.node("Concat", &["n", "rest"], "target", &[int("axis", 0)]);
    check_layer(&then_layer(newer.node("Reshape", &["x", "target"], "f", &[])), WEIGHT, Some(BIAS));
}

#[test]
fn a_batch_fixed_at_1_takes_any_number_of_rows() {
    let mut file = image().tensor("s", int64s(&[1, -1])).node("Reshape", &["x", "s"], "f", &[]);
    file.shape[0] = 1;
    let model = load(&then_layer(file.clone()));
    assert!(model.notes()[0].contains("fixed at 1"), "{:?}", model.notes());
    assert_eq!(oracle(&model, Rows::F32(&[1.0; 6])).len(), 4);
    file.shape[0] = 2;
    refused(&then_layer(file), "may be mixed");
}

#[test]
fn heads_and_their_axes_by_opset() {
    let head = |opset, op: &str, attributes: &[Attribute]| {
        let mut file = one_layer().node(op, &["y"], "z", attributes);
        file.opset = opset;
        file
    };
    for opset in [9, 11, 13, 17] {
        assert_eq!(load(&head(opset, "Softmax", &[])).head(), Head::Softmax);
        assert_eq!(load(&head(opset, "LogSoftmax", &[int("axis", 1)])).head(), Head::LogSoftmax);
        assert_eq!(load(&head(opset, "Softmax", &[int("axis", -1)])).head(), Head::Softmax);
        refused(&head(opset, "Softmax", &[int("axis", 0)]), "all classes of a row");
    }
    refused(&head(17, "Softmax", &[]).node("Relu", &["z"], "q", &[]), "nothing can follow");
}

#[test]
fn dropout_and_old_opsets() {
    check_layer(
        &one_layer().node("Dropout", &["y"], "z", &[float("ratio", 0.5)]),
        WEIGHT,
        Some(BIAS),
    );
    let mode = |on: u8| {
        let flag = Tensor { data_type: 9, raw_data: vec![on], ..Tensor::default() };
        scalar("ratio", 0.5)(one_layer()).tensor("mode", flag).node(
            "Dropout",
            &["y", "ratio", "mode"],
            "z",
            &[],
        )
    };
    check_layer(&mode(0), WEIGHT, Some(BIAS));
    refused(&mode(1), "evaluation mode");
    let mut old = file().node("MatMul", &["x", "wt"], "m", &[]);
    old = old.node("Add", &["m", "b"], "y", &[int("broadcast", 1), int("axis", 1)]);
    old.opset = 6;
    check_layer(&old, WEIGHT, Some(BIAS));
    old.opset = 5;
    refused(&old, "opset 5");
    old.opset = 99;
    refused(&old, "opsets 6 to");
}

#[test]
fn what_is_no_dense_chain_is_refused_by_name() {
    for (op, part) in [
        ("Conv", "node 'z' (Conv): convolutions"),
        ("ArgMax", "export the scores"),
        ("LayerNormalization", "each row's own statistics"),
        ("Transpose", "cannot be exchanged"),
        ("DequantizeLinear", "quantisation"),
        ("Unheard", "node 'z' (Unheard)"),
    ] {
        refused(&one_layer().node(op, &["y"], "z", &[]), part);
    }
    let mut foreign = one_layer().node("Gelu", &["y"], "z", &[]);
    foreign.nodes[1].domain = "com.microsoft".into();
    refused(&foreign, "(com.microsoft.Gelu)");
    refused(&one_layer().node("Add", &["y", "x"], "z", &[]), "joins two computed values");
    refused(&one_layer().node("Relu", &["nothing"], "z", &[]), "value 'nothing': expected a node");
    refused(&file().node("Relu", &["w"], "z", &[]), "node 'z' (constant)");
    refused(&file(), "it is the input itself");
    let mut flat = one_layer();
    flat.shape = vec![3];
    refused(&flat, "a row must have one axis");
    flat.shape = vec![];
    refused(&flat, "a row needs an axis");
}

#[test]
fn a_model_is_named_by_its_graph_unless_every_export_has_that_name() {
    let mut file = one_layer();
    assert_eq!(load(&file).name(), "unnamed");
    file.name = "digits".into();
    assert_eq!(load(&file).name(), "digits");
}
