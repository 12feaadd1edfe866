//! ONNX: chains without layers of their own, what a row is, and constants that are computed.

use fusewire::backend::cpu::oracle;
use fusewire::{Activation, Head, Model, ModelError, Rows};

use super::onnx_file::{File, Tensor, float, floats, int, int64s, ints, numbers};

/// `[inputs 3, outputs 2]`
const WEIGHT: [f32; 6] = [1.0, -4.0, 2.0, 0.5, 3.0, 6.0];

/// A file with an input of this shape, a matrix and numbers to choose from.
fn file(shape: &[i64]) -> File {
    File::new(17, shape)
        .tensor("w", floats(&[3, 2], &WEIGHT))
        .tensor("three", floats(&[3], &[1.0, 2.0, 3.0]))
        .tensor("two", floats(&[], &[2.0]))
}

fn load(file: &File) -> Model {
    Model::from_bytes(&file.bytes()).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(file: &File, part: &str) {
    let error = Model::from_bytes(&file.bytes()).expect_err(part);
    assert!(matches!(error, ModelError::Unsupported { .. }), "{error}");
    let error = error.to_string();
    assert!(error.contains(part), "expected '{part}' in: {error}");
}

fn check(file: &File, rows: &[f32], expected: &[f64]) -> Model {
    let model = load(file);
    let got = oracle(&model, Rows::F32(rows));
    let close = |(got, expected): (&f64, &f64)| (got - expected).abs() < 1e-6;
    assert!(
        got.len() == expected.len() && got.iter().zip(expected).all(close),
        "{got:?}, not {expected:?}"
    );
    model
}

fn remarks(model: &Model, part: &str) -> bool {
    model.notes().iter().any(|note| note.contains(part))
}

#[test]
fn activations_without_a_layer_get_one() {
    let relu = file(&[-1, 3]).node("Relu", &["x"], "y", &[]);
    let model = check(&relu, &[-1.0, 0.0, 2.0], &[0.0, 0.0, 2.0]);
    assert_eq!((model.architecture().as_str(), model.layers()[0].bias()), ("3-3", None));
    assert!(remarks(&model, "layers added where the file has none, with weights on the diagonal"));
    // relu, then 2 * min(x, 1), then + [1, 2, 3], then softsign: four layers of the file's one.
    let one = floats(&[], &[1.0]);
    let several = relu.tensor("one", one).node("Clip", &["y", "", "one"], "c", &[]);
    let several = several.node("Mul", &["c", "two"], "m", &[]);
    let several = several.node("Add", &["m", "three"], "a", &[]);
    let model = check(&several, &[-1.0, 0.5, 2.0], &[1.0, 3.0, 5.0]);
    assert_eq!((model.layers().len(), model.transform().is_identity()), (3, true));
    assert!(remarks(&model, "alone: 3;"), "{:?}", model.notes());
    let ended = several.node("Softsign", &["a"], "s", &[]);
    assert_eq!(check(&ended, &[-1.0, 0.5, 2.0], &[0.5, 0.75, 5.0 / 6.0]).layers().len(), 3);
}

#[test]
fn what_is_affine_alone_is_the_transform_and_a_layer() {
    let affine = file(&[-1, 3]).node("Mul", &["x", "three"], "m", &[]);
    let affine = affine.node("Sub", &["two", "m"], "s", &[]);
    let model = check(&affine, &[1.0, 1.0, -1.0], &[1.0, 0.0, 5.0]);
    assert_eq!(model.layers()[0].weight(), [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    let softmin = file(&[-1, 3]).node("Neg", &["x"], "n", &[]).node("Softmax", &["n"], "y", &[]);
    assert_eq!(load(&softmin).head(), Head::Softmax);
    let sum = 1.0 + (-1.0_f64).exp() + (-2.0_f64).exp();
    let shares = [1.0, (-1.0_f64).exp(), (-2.0_f64).exp()].map(|share| share / sum);
    check(&softmin, &[0.0, 1.0, 2.0], &shares);
}

#[test]
fn layers_that_are_added_are_few_and_narrow() {
    let relu = |width: i64| File::new(17, &[-1, width]).node("Relu", &["x"], "y", &[]);
    assert_eq!(load(&relu(2048)).inputs(), 2048);
    refused(&relu(2049), "a layer of 2049 by 2049 would have to be added");
    refused(&relu(i64::MAX), "would have to be added");
    let twice = relu(2048).node("Tanh", &["y"], "z", &[]);
    refused(&twice, "would have to be added");
    refused(&File::new(17, &[-1, -1]).node("Relu", &["x"], "y", &[]), "is not stated");
}

#[test]
fn rows_are_the_last_axis_where_the_first_alone_is_no_batch() {
    let sequence = file(&[-1, 4, 3]).node("MatMul", &["x", "w"], "y", &[]);
    let model = check(&sequence, &[1.0, 0.0, 0.0, 0.0, 1.0, 1.0], &[1.0, -4.0, 5.0, 6.5]);
    assert!(remarks(&model, "a row is the last axis"));
    let flat = sequence.node("Flatten", &["y"], "f", &[int("axis", 2)]);
    assert_eq!(load(&flat).architecture(), "3-2");
    let reshaped =
        file(&[-1, 4, 3]).tensor("s", int64s(&[-1, 3])).node("Reshape", &["x", "s"], "r", &[]);
    check(&reshaped.node("MatMul", &["r", "w"], "y", &[]), &[1.0, 0.0, 0.0], &[1.0, -4.0]);
    // Where the first axis is the batch, the row is all the others.
    let whole = file(&[-1, 4, 3]).node("Relu", &["x"], "y", &[]);
    assert_eq!(load(&whole).inputs(), 12);
    // Softmax over the last axis, or over both before opset 13.
    let softmax = |opset, shape: &[i64]| {
        let mut file = file(shape).node("Softmax", &["x"], "y", &[]);
        file.opset = opset;
        load(&file).inputs()
    };
    assert_eq!((softmax(17, &[-1, 4, 3]), softmax(11, &[-1, 4, 3])), (3, 12));
    // Statistics are per channel, which is the axis after the batch and no other.
    let norm = ["x", "three", "three", "three", "three"];
    let norm = file(&[-1, 3, 4]).node("BatchNormalization", &norm, "n", &[]);
    assert_eq!(load(&norm).inputs(), 12);
    let three_by_two =
        norm.tensor("v", floats(&[4, 1], &[1.0; 4])).node("MatMul", &["n", "v"], "y", &[]);
    refused(&three_by_two, "must be flattened");
}

#[test]
fn an_input_without_a_batch_is_one_row() {
    let vector = file(&[3]).node("MatMul", &["x", "w"], "y", &[]);
    let model = check(&vector, &[1.0, 2.0, 3.0], &[14.0, 15.0]);
    assert!(remarks(&model, "all of its input is one row"));
    let dot = file(&[3]).node("MatMul", &["x", "three"], "y", &[]);
    check(&dot, &[1.0, 2.0, 3.0], &[14.0]);
    // A constant for each row of a fixed batch is a constant for each value of one long row.
    let grid = file(&[2, 3]).tensor("g", floats(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
    let grid = grid.node("Add", &["x", "g"], "y", &[]);
    check(&grid, &[0.0; 6], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let mut free = grid;
    free.shape[0] = -1;
    refused(&free, "does not fit a row");
}

#[test]
fn a_batch_of_one_may_be_squeezed_and_others_may_not() {
    let squeezed = |shape: &[i64]| {
        let axes = file(shape).tensor("axes", int64s(&[0]));
        axes.node("Squeeze", &["x", "axes"], "s", &[]).node("MatMul", &["s", "w"], "y", &[])
    };
    check(&squeezed(&[1, 3]), &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0], &[1.0, -4.0, 2.0, 0.5]);
    refused(&squeezed(&[-1, 3]), "axis 0 is the batch");
    refused(&squeezed(&[2, 3]), "axis 0 is the batch");
    // An axis of 1 before the batch stays before it.
    let deeper = file(&[-1, 3]).tensor("axes", int64s(&[0]));
    let deeper = deeper.node("Unsqueeze", &["x", "axes"], "u", &[]);
    check(&deeper.node("MatMul", &["u", "w"], "y", &[]), &[1.0, 0.0, 0.0], &[1.0, -4.0]);
}

#[test]
fn axes_of_one_value_may_be_exchanged_and_others_may_not() {
    let exchanged = |shape: &[i64], order: &[i64]| {
        let file = file(shape).node("Transpose", &["x"], "t", &[ints("perm", order)]);
        file.node("Flatten", &["t"], "f", &[]).node("MatMul", &["f", "w"], "y", &[])
    };
    check(&exchanged(&[-1, 1, 3, 1], &[0, 2, 3, 1]), &[1.0, 2.0, 3.0], &[14.0, 15.0]);
    refused(&exchanged(&[-1, 3, 2], &[0, 2, 1]), "cannot be exchanged");
    refused(&exchanged(&[-1, 1, 3], &[1, 0, 2]), "cannot be exchanged");
    refused(&exchanged(&[-1, 1, 3], &[0, 0, 2]), "none of the 3 axes");
    refused(&exchanged(&[-1, 1, 3], &[0, 1]), "none of the 3 axes");
    refused(&exchanged(&[-1, 1, 3], &[0, 1, 7]), "none of the 3 axes");
}

#[test]
fn constants_are_computed_from_constants() {
    // The weight is ((w^T)^T + 1 - 1) * 2 / sqrt(4); its product with the identity is itself.
    let weight = file(&[-1, 3])
        .tensor("one", floats(&[1, 1], &[1.0]))
        .tensor("four", floats(&[], &[4.0]))
        .tensor("eye", floats(&[2, 2], &[1.0, 0.0, 0.0, 1.0]))
        .node("Transpose", &["w"], "a", &[])
        .node("Transpose", &["a"], "b", &[ints("perm", &[1, 0])])
        .node("Add", &["b", "one"], "c", &[])
        .node("Sub", &["c", "one"], "d", &[])
        .node("Mul", &["two", "d"], "e", &[])
        .node("Sqrt", &["four"], "f", &[])
        .node("Div", &["e", "f"], "g", &[])
        .node("MatMul", &["g", "eye"], "h", &[])
        .node("Identity", &["h"], "i", &[])
        .node("MatMul", &["x", "i"], "y", &[]);
    check(&weight, &[1.0, 2.0, 3.0], &[14.0, 15.0]);
    // Integers divide as integers in ONNX, and are not computed with here.
    let integers = file(&[-1, 3]).tensor("i", int64s(&[7])).node("Div", &["i", "i"], "d", &[]);
    refused(&integers.node("Add", &["x", "d"], "y", &[]), "joins two computed values");
    let alone = file(&[-1, 3]).node("Add", &["w", "two"], "y", &[]);
    refused(&alone, "the output does not depend on the input");
}

#[test]
fn computed_constants_count_as_work() {
    // A column plus a row of 4,096 numbers each would be 2^24 numbers from 32 KiB.
    let many = vec![1.0; 4096];
    let file = file(&[-1, 4096]).tensor("column", floats(&[4096, 1], &many));
    let file = file.tensor("row", floats(&[1, 4096], &many));
    let file = file.node("Add", &["column", "row"], "w", &[]).node("MatMul", &["x", "w"], "y", &[]);
    let error = Model::from_bytes(&file.bytes()).unwrap_err();
    assert!(matches!(error, ModelError::TooLarge { .. }), "{error}");
    // A constant that doubles itself 64 times over.
    let mut doubled = self::file(&[-1, 3]);
    let mut before = String::from("three");
    for level in 0..64 {
        let name = format!("d{level}");
        doubled = doubled.node("Add", &[&before, &before], &name, &[]);
        before = name;
    }
    assert!(Model::from_bytes(&doubled.node("Add", &["x", &before], "y", &[]).bytes()).is_err());
}

#[test]
fn of_several_outputs_the_only_one_of_floats_is_read() {
    let mut file = file(&[-1, 3]).node("MatMul", &["x", "w"], "y", &[]);
    file = file.node("ArgMax", &["y"], "label", &[int("axis", 1)]);
    let output = |name: &str, element| (String::from(name), element);
    file.outputs = vec![output("label", 7), output("y", 1)];
    let model = check(&file, &[1.0, 0.0, 0.0], &[1.0, -4.0]);
    assert!(remarks(&model, "of 2 outputs 'y', the only one of floats, is read"));
    file.outputs[0] = output("label", 1);
    refused(&file, "one output is read");
    file.outputs = vec![output("label", 7), output("maps", 0)];
    refused(&file, "none of the outputs holds floats");
    file.outputs.remove(1);
    refused(&file, "(ArgMax)");
}

#[test]
fn reshapes_that_state_zeros_as_sizes() {
    let reshaped = |shape: Tensor| {
        let file = file(&[-1, 1, 3]).tensor("s", shape);
        let file = file.node("Reshape", &["x", "s"], "r", &[int("allowzero", 1)]);
        file.node("MatMul", &["r", "w"], "y", &[])
    };
    check(&reshaped(int64s(&[-1, 3])), &[1.0, 2.0, 3.0], &[14.0, 15.0]);
    refused(&reshaped(int64s(&[0, 3])), "axes of no values");
}

#[test]
fn an_activation_of_two_operators_keeps_its_layer() {
    let hard = [float("alpha", 1.0 / 6.0), float("beta", 0.5)];
    let file = file(&[-1, 3]).node("HardSigmoid", &["x"], "g", &hard);
    let model = load(&file.node("Mul", &["x", "g"], "y", &[]));
    assert_eq!(model.layers()[0].activation(), Activation::HardSwish);
}

#[test]
fn scalers_of_scikit_learn() {
    let scaler = |offset: &[f32], scale: &[f32]| {
        let attributes = [numbers("offset", offset), numbers("scale", scale)];
        let mut file = file(&[-1, 3]).node("Scaler", &["x"], "s", &attributes);
        file.nodes[0].domain = "ai.onnx.ml".into();
        file.node("MatMul", &["s", "w"], "y", &[])
    };
    // ([2, 4, 5] - [1, 2, 3]) * [1, 2, 3] = [1, 4, 6]
    let each = scaler(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]);
    check(&each, &[2.0, 4.0, 5.0], &[1.0 + 8.0 + 18.0, -4.0 + 2.0 + 36.0]);
    check(&scaler(&[1.0], &[2.0]), &[1.5, 2.0, 1.0], &[1.0 + 4.0, -4.0 + 1.0]);
    refused(&scaler(&[1.0, 2.0], &[1.0]), "2 numbers do not fit a row of shape [3]");
    let mut other = scaler(&[1.0], &[1.0]);
    other.nodes[0].op_type = "Normalizer".into();
    refused(&other, "(ai.onnx.ml.Normalizer)");
}

#[test]
fn the_shares_of_two_classes() {
    let ended = |inputs: [&str; 2], axis: i64, one: f32| {
        let file = file(&[-1, 3]).tensor("v", floats(&[3, 1], &[1.0, 0.0, 0.0]));
        let file = file.tensor("one", floats(&[1], &[one])).node("MatMul", &["x", "v"], "p", &[]);
        let file = file.node("Sub", &["one", "p"], "q", &[]);
        file.node("Concat", &inputs, "y", &[int("axis", axis)])
    };
    for axis in [1, -1] {
        check(&ended(["q", "p"], axis, 1.0), &[0.25, 7.0, 7.0], &[0.75, 0.25]);
    }
    refused(&ended(["p", "q"], 1, 1.0), "the shares of two classes");
    refused(&ended(["p", "p"], 1, 1.0), "the shares of two classes");
    refused(&ended(["q", "p"], 1, 2.0), "the shares of two classes");
    refused(&ended(["q", "p"], 0, 1.0), "axis 0 is not that of a row's one value");
    // Of a row of two values they are no shares.
    let wide =
        file(&[-1, 3]).tensor("one", floats(&[], &[1.0])).node("MatMul", &["x", "w"], "p", &[]);
    let wide = wide.node("Sub", &["one", "p"], "q", &[]);
    assert!(
        Model::from_bytes(&wide.node("Concat", &["q", "p"], "y", &[int("axis", 1)]).bytes())
            .is_err()
    );
}

#[test]
fn a_batch_that_was_joined_is_not_as_long_as_the_inputs() {
    // [N, 4, 3] to [4 N, 3], and then by the input's N to [N, 12], which joins rows of 3.
    let file = File::new(17, &[-1, 4, 3])
        .tensor("v", floats(&[3, 1], &[1.0; 3]))
        .tensor("first", int64s(&[0]))
        .tensor("rest", int64s(&[-1]))
        .node("MatMul", &["x", "v"], "m", &[])
        .node("Flatten", &["m"], "f", &[int("axis", 2)])
        .node("Shape", &["x"], "shape", &[])
        .node("Gather", &["shape", "first"], "n", &[int("axis", 0)])
        .node("Concat", &["n", "rest"], "target", &[int("axis", 0)])
        .node("Reshape", &["f", "target"], "y", &[]);
    refused(&file, "must be flattened before a layer");
}

#[test]
fn constants_are_rounded_as_the_file_rounds_them() {
    let third = 1.0_f32 / 3.0;
    let file = File::new(17, &[-1, 1])
        .tensor("w", floats(&[1, 1], &[third]))
        .node("Cast", &["w"], "h", &[int("to", 10)])
        .node("Cast", &["h"], "f", &[int("to", 1)])
        .node("MatMul", &["x", "f"], "y", &[]);
    let rounded = half::f16::from_f32(third);
    assert_eq!(load(&file).layers()[0].weight(), [rounded.to_f32()]);
    let on_its_way = file.node("Cast", &["y"], "z", &[int("to", 10)]);
    assert!(remarks(&load(&on_its_way), "rounds to half precision"));
}

#[test]
fn a_decomposed_softsign() {
    let softsign = |one: f32, of: &str| {
        let file = file(&[-1, 3]).tensor("one", floats(&[], &[one])).node("Abs", &[of], "a", &[]);
        file.node("Add", &["a", "one"], "s", &[]).node("Div", &["x", "s"], "y", &[])
    };
    check(&softsign(1.0, "x"), &[-1.0, 0.0, 3.0], &[-0.5, 0.0, 0.75]);
    refused(&softsign(2.0, "x"), "joins two computed values");
    // Of a constant it is a number for each input.
    check(&softsign(1.0, "three"), &[4.0, 3.0, 8.0], &[2.0, 1.0, 2.0]);
}

#[test]
fn tensors_that_no_score_depends_on_are_noted() {
    let layer = |file: File| file.node("MatMul", &["x", "w"], "y", &[]);
    let plain = File::new(17, &[-1, 2]).tensor("w", floats(&[2, 1], &[2.0, 3.0]));
    let more = File::new(17, &[-1, 2])
        .tensor("w", floats(&[2, 1], &[2.0, 3.0]))
        .tensor("dead", floats(&[2], &[1.0, 1.0]))
        .tensor("deader", floats(&[1], &[1.0]));
    let note = "left out: 2 tensors that no score depends on, such as 'dead'";
    assert!(!remarks(&load(&layer(plain)), "left out"));
    assert!(remarks(&load(&layer(more)), note));
}
