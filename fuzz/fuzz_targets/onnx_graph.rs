//! A sound ONNX file of any small graph gives a model that can be run, or a typed error.
//!
//! Every byte chooses something: an operator, what it is applied to, an attribute. Nothing is lost
//! to protobuf, so that the fuzzer gets to the chain at once.

#![no_main]

use fusewire::backend::cpu::oracle;
use fusewire::{Model, Rows};
use libfuzzer_sys::fuzz_target;

#[path = "../../tests/formats/onnx_file.rs"]
#[allow(dead_code)]
mod onnx_file;

use onnx_file::{Attribute, File, float, floats, int, int64s, ints, text};

const OPERATORS: [&str; 41] = [
    "Gemm", "MatMul", "Add", "Sub", "Mul", "Div", "Neg", "Sqrt", "Reciprocal", "Pow", "Erf",
    "Relu", "LeakyRelu", "Elu", "Selu", "Celu", "Gelu", "Sigmoid", "HardSigmoid", "Tanh",
    "Softplus", "Softsign", "HardSwish", "Mish", "Swish", "PRelu", "Clip", "Softmax", "LogSoftmax",
    "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Cast", "Dropout",
    "BatchNormalization", "Concat", "Shape", "Scaler",
];
const OPSETS: [i64; 8] = [6, 7, 9, 11, 13, 17, 20, 28];
const SHAPES: [&[i64]; 12] = [
    &[-1, 4], &[1, 4], &[2, 4], &[4], &[-1, 2, 2], &[2, 2, 2], &[-1, 1, 4], &[1, 1, 2, 2],
    &[-1, -1], &[-1, 2, -1], &[1, 1, 1], &[],
];

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.iter().copied();
    let mut next = || bytes.next().map(usize::from);
    let (Some(opset), Some(shape)) = (next(), next()) else { return };
    let mut file = constants(File::new(OPSETS[opset % OPSETS.len()], SHAPES[shape % SHAPES.len()]));
    let mut values: Vec<String> = vec!["x".into()];
    values.extend(file.tensors.iter().map(|tensor| tensor.name.clone()));
    while let (Some(op), Some(count)) = (next(), next()) {
        let op = OPERATORS[op % OPERATORS.len()];
        let mut inputs = Vec::new();
        for _ in 0..count % 6 {
            // The last value more often than any other, so that chains come about.
            inputs.push(match next() {
                Some(choice) if choice < 128 => values[values.len() - 1].clone(),
                Some(choice) => values[choice % values.len()].clone(),
                None => return,
            });
        }
        let Some(attribute) = next() else { return };
        let name = format!("v{}", values.len());
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        file = file.node(op, &inputs, &name, &attributes(attribute));
        if op == "Scaler" {
            file.nodes.last_mut().expect("just added").domain = "ai.onnx.ml".into();
        }
        values.push(name);
    }
    if let Ok(model) = Model::from_bytes(&file.bytes()) {
        let scores = oracle(&model, Rows::F32(&vec![0.5; model.inputs()]));
        assert_eq!(scores.len(), model.classes());
    }
});

fn constants(file: File) -> File {
    file.tensor("one", floats(&[], &[1.0]))
        .tensor("half", floats(&[1], &[0.5]))
        .tensor("vector", floats(&[4], &[1.0, 2.0, 3.0, 4.0]))
        .tensor("pair", floats(&[2], &[1.0, 2.0]))
        .tensor("matrix", floats(&[4, 4], &[0.5; 16]))
        .tensor("narrow", floats(&[4, 2], &[0.25; 8]))
        .tensor("square", floats(&[2, 2], &[0.25; 4]))
        .tensor("cube", floats(&[1, 2, 4], &[0.25; 8]))
        .tensor("flat", int64s(&[-1, 4]))
        .tensor("kept", int64s(&[0, -1]))
        .tensor("deep", int64s(&[0, 2, 2]))
        .tensor("first", int64s(&[0]))
        .tensor("second", int64s(&[1]))
}

fn attributes(choice: usize) -> Vec<Attribute> {
    match choice % 16 {
        0 => vec![float("alpha", 0.5)],
        1 => vec![int("transB", 1)],
        2 => vec![int("transA", 1)],
        3 => vec![int("axis", 1)],
        4 => vec![int("axis", -1)],
        5 => vec![int("axis", 2)],
        6 => vec![ints("axes", &[1])],
        7 => vec![ints("axes", &[0, -1])],
        8 => vec![ints("perm", &[1, 0])],
        9 => vec![ints("perm", &[0, 2, 1])],
        10 => vec![int("to", 1)],
        11 => vec![text("approximate", "tanh")],
        12 => vec![int("allowzero", 1)],
        13 => vec![float("min", 0.0), float("max", 6.0)],
        _ => vec![],
    }
}
