//! TensorFlow's operators, one by one, in those of the matcher.
//!
//! What an operator says beside its inputs is an attribute, and left out where it is the default.

use std::rc::Rc;

use super::body::Node;
use super::bundle::Stored;
use super::constant::Constant;
use super::draft::{Draft, Value, refuse};
use super::proto::{AttrValue, data_type};
use crate::model::format::graph::{Numbers, int};
use crate::model::{Activation, Head, ModelError};

/// The slope below 0 of a `LeakyRelu` that does not state it.
const LEAKY_RELU_ALPHA: f32 = 0.2;
/// TensorFlow's `Selu`, in single precision.
const SELU: Activation = Activation::Selu { alpha: 1.673_263_2, gamma: 1.050_701 };

/// The value that a node makes of its operands, one of which at least is computed.
pub(super) fn lower(
    graph: &mut Draft,
    node: &Node,
    operands: &[Value],
) -> Result<Value, ModelError> {
    let mut call = Call { graph, node, operands };
    if let Some(op) = same(&node.op) {
        return call.plain(op, arity(op));
    }
    if let Some(activation) = call.activation()? {
        let x = call.value(0)?;
        let builder = &mut call.graph.builder;
        return Ok(Value::Computed(builder.activation(&node.name, &x, activation)));
    }
    match node.op.as_str() {
        "MatMul" => call.mat_mul("transpose_a", "transpose_b"),
        "BatchMatMul" | "BatchMatMulV2" | "BatchMatMulV3" => call.mat_mul("adj_x", "adj_y"),
        "BiasAdd" => call.bias_add(),
        "Softmax" => call.head(Head::Softmax),
        "LogSoftmax" => call.head(Head::LogSoftmax),
        "Cast" => call.cast(),
        "Rsqrt" => {
            let x = call.value(0)?;
            let root = call.node("Sqrt", &[&x]);
            call.write("Reciprocal", &[&root])
        }
        "Square" => {
            let x = call.value(0)?;
            call.write("Mul", &[&x, &x])
        }
        "Erfc" => call.erfc(),
        "Expm1" => {
            let x = call.value(0)?;
            let exp = call.node("Exp", &[&x]);
            let one = call.graph.builder.scalar(1.0);
            call.write("Sub", &[&exp, &one])
        }
        "Reshape" => call.reshape(),
        "ExpandDims" => call.expand_dims(),
        "Squeeze" => call.squeeze(),
        "StridedSlice" => call.strided_slice(),
        "Pack" => call.pack(),
        other => Err(refuse(node, why_not(other))),
    }
}

/// Operators that are the same under another name, or under the same.
fn same(op: &str) -> Option<&'static str> {
    Some(match op {
        "Add" | "AddV2" => "Add",
        "Sub" => "Sub",
        "Mul" => "Mul",
        "RealDiv" | "Div" => "Div",
        "Pow" => "Pow",
        "Neg" => "Neg",
        "Sqrt" => "Sqrt",
        "Reciprocal" | "Inv" => "Reciprocal",
        "Abs" => "Abs",
        "Exp" => "Exp",
        "Log" => "Log",
        "Erf" => "Erf",
        "Maximum" => "Max",
        "Minimum" => "Min",
        "Greater" => "Greater",
        "GreaterEqual" => "GreaterOrEqual",
        "Less" => "Less",
        "LessEqual" => "LessOrEqual",
        "SelectV2" | "Select" => "Where",
        "Shape" => "Shape",
        _ => return None,
    })
}

fn arity(op: &str) -> usize {
    match op {
        "Where" => 3,
        "Neg" | "Sqrt" | "Reciprocal" | "Abs" | "Exp" | "Log" | "Erf" | "Shape" => 1,
        _ => 2,
    }
}

/// A node that is being told, and what its inputs are.
struct Call<'c> {
    graph: &'c mut Draft,
    node: &'c Node,
    operands: &'c [Value],
}

impl Call<'_> {
    fn operand(&self, index: usize) -> Result<&Value, ModelError> {
        let missing = || refuse(self.node, format!("input {index} is missing"));
        self.operands.get(index).ok_or_else(missing)
    }

    /// An input as a value of the graph that is built.
    fn value(&mut self, index: usize) -> Result<String, ModelError> {
        match self.operand(index)? {
            Value::Computed(value) => Ok(value.clone()),
            Value::Constant(constant) => {
                let constant = Rc::clone(constant);
                Ok(constant.value(&mut self.graph.builder))
            }
            Value::Variable(_) => Err(refuse(self.node, "a variable must be read first")),
        }
    }

    /// An input that is a constant of integers.
    fn integers(&self, index: usize) -> Result<&[i64], ModelError> {
        self.constant(index)
            .and_then(Constant::integers)
            .ok_or_else(|| refuse(self.node, format!("input {index} must be constant integers")))
    }

    fn constant(&self, index: usize) -> Option<&Constant> {
        match self.operands.get(index) {
            Some(Value::Constant(constant)) => Some(constant),
            _ => None,
        }
    }

    fn attribute(&mut self, name: &str) -> Result<Option<AttrValue>, ModelError> {
        self.node.attribute(&mut self.graph.decoder, name)
    }

    fn flag(&mut self, name: &str) -> Result<bool, ModelError> {
        Ok(self.attribute(name)?.is_some_and(|attribute| attribute.b))
    }

    fn node(&mut self, op: &str, inputs: &[&str]) -> String {
        self.graph.builder.node(&self.node.name, op, inputs, vec![])
    }

    fn write(&mut self, op: &str, inputs: &[&str]) -> Result<Value, ModelError> {
        Ok(Value::Computed(self.node(op, inputs)))
    }

    /// A list of integers, as the matcher takes shapes and axes.
    fn list(&mut self, numbers: Vec<i64>) -> String {
        let (dims, numbers) = (vec![numbers.len()], Numbers::Integers(numbers));
        let constant = self.graph.keep(&self.node.name, Stored { dims, numbers });
        constant.value(&mut self.graph.builder)
    }

    fn plain(&mut self, op: &str, arity: usize) -> Result<Value, ModelError> {
        let inputs = (0..arity).map(|index| self.value(index)).collect::<Result<Vec<_>, _>>()?;
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        self.write(op, &inputs)
    }

    fn activation(&mut self) -> Result<Option<Activation>, ModelError> {
        Ok(Some(match self.node.op.as_str() {
            "Relu" => Activation::Relu,
            "Relu6" => Activation::Clip { min: 0.0, max: 6.0 },
            "LeakyRelu" => {
                let alpha = self.attribute("alpha")?;
                Activation::LeakyRelu { alpha: alpha.map_or(LEAKY_RELU_ALPHA, |alpha| alpha.f) }
            }
            "Elu" => Activation::Elu { alpha: 1.0 },
            "Selu" => SELU,
            "Sigmoid" => Activation::Sigmoid,
            "Tanh" => Activation::Tanh,
            "Softplus" => Activation::Softplus,
            "Softsign" => Activation::Softsign,
            _ => return Ok(None),
        }))
    }

    fn head(&mut self, head: Head) -> Result<Value, ModelError> {
        let x = self.value(0)?;
        Ok(Value::Computed(self.graph.builder.head(&self.node.name, &x, head)))
    }

    fn mat_mul(&mut self, left: &str, right: &str) -> Result<Value, ModelError> {
        if self.flag(left)? {
            return Err(refuse(self.node, "its left side is transposed: rows would be features"));
        }
        let (x, mut weight) = (self.value(0)?, self.value(1)?);
        if self.flag(right)? {
            weight = self.node("Transpose", &[&weight]);
        }
        self.write("MatMul", &[&x, &weight])
    }

    fn bias_add(&mut self) -> Result<Value, ModelError> {
        let order = self.attribute("data_format")?.unwrap_or_default().s;
        if !matches!(&order[..], b"" | b"NHWC") {
            return Err(refuse(self.node, "a bias along the first axis of a row cannot be run"));
        }
        self.plain("Add", 2)
    }

    fn cast(&mut self) -> Result<Value, ModelError> {
        let to = self.attribute("DstT")?.unwrap_or_default().r#type;
        let floats = [data_type::FLOAT, data_type::DOUBLE, data_type::HALF, data_type::BFLOAT16];
        match (self.operand(0)?, floats.contains(&to)) {
            (Value::Constant(constant), true) => {
                let (dims, numbers) = (constant.dims.clone(), Numbers::Doubles(constant.doubles()));
                let stored = Stored { dims, numbers };
                Ok(Value::Constant(self.graph.keep(&self.node.name, stored)))
            }
            (value, true) => Ok(value.clone()),
            (_, false) => Err(refuse(self.node, "values would be rounded to integers")),
        }
    }

    /// `erfc(x) = 1 + erf(-x)`, which is how gelu is recognised.
    fn erfc(&mut self) -> Result<Value, ModelError> {
        let x = self.value(0)?;
        let negated = self.node("Neg", &[&x]);
        let erf = self.node("Erf", &[&negated]);
        let one = self.graph.builder.scalar(1.0);
        self.write("Add", &[&erf, &one])
    }

    fn reshape(&mut self) -> Result<Value, ModelError> {
        // For the matcher an axis of 0 is one that is copied.
        if self.constant(1).and_then(Constant::integers).is_some_and(|axes| axes.contains(&0)) {
            return Err(refuse(self.node, "a shape with axes of no values cannot be run"));
        }
        self.plain("Reshape", 2)
    }

    fn expand_dims(&mut self) -> Result<Value, ModelError> {
        let (x, axes) = (self.value(0)?, self.integers(1)?.to_vec());
        let axes = self.list(axes);
        self.write("Unsqueeze", &[&x, &axes])
    }

    fn squeeze(&mut self) -> Result<Value, ModelError> {
        let axes = self.attribute("squeeze_dims")?.and_then(|axes| axes.list);
        let axes = axes.unwrap_or_default().i;
        if let (Some(constant), true) = (self.constant(0), axes.is_empty()) {
            let dims = constant.dims.iter().copied().filter(|axis| *axis != 1).collect();
            let stored = Stored { dims, numbers: constant.numbers.clone() };
            return Ok(Value::Constant(self.graph.keep(&self.node.name, stored)));
        }
        if axes.is_empty() {
            return Err(refuse(self.node, "it does not state which axes leave"));
        }
        let (x, axes) = (self.value(0)?, self.list(axes));
        self.write("Squeeze", &[&x, &axes])
    }

    /// The first number of a shape, which is the batch size.
    fn strided_slice(&mut self) -> Result<Value, ModelError> {
        let reason = "only the batch size is taken from a shape, and nothing else is sliced";
        for mask in ["ellipsis_mask", "new_axis_mask"] {
            if self.attribute(mask)?.is_some_and(|mask| mask.i != 0) {
                return Err(refuse(self.node, reason));
            }
        }
        let begins = self.attribute("begin_mask")?.is_some_and(|mask| mask.i == 1);
        let first = begins || self.integers(1)? == [0];
        let ends = self.attribute("end_mask")?.is_none_or(|mask| mask.i == 0);
        if !first || !ends || self.integers(2)? != [1] || self.integers(3)? != [1] {
            return Err(refuse(self.node, reason));
        }
        let shape = self.value(0)?;
        let shrinks = self.attribute("shrink_axis_mask")?.is_some_and(|mask| mask.i == 1);
        let (start, end) = (self.list(vec![0]), self.list(vec![1]));
        let first = self.node("Slice", &[&shape, &start, &end]);
        if shrinks { self.write("Squeeze", &[&first, &start]) } else { Ok(Value::Computed(first)) }
    }

    /// A shape put together of numbers.
    fn pack(&mut self) -> Result<Value, ModelError> {
        if self.attribute("axis")?.is_some_and(|axis| axis.i != 0) {
            return Err(refuse(self.node, "only shapes are put together of numbers"));
        }
        let numbers: Option<Vec<i64>> = (0..self.operands.len())
            .map(|index| match self.constant(index)?.integers()? {
                [number] => Some(*number),
                _ => None,
            })
            .collect();
        if let Some(numbers) = numbers {
            let (dims, numbers) = (vec![numbers.len()], Numbers::Integers(numbers));
            let stored = Stored { dims, numbers };
            return Ok(Value::Constant(self.graph.keep(&self.node.name, stored)));
        }
        let mut parts = Vec::with_capacity(self.operands.len());
        for index in 0..self.operands.len() {
            parts.push(match self.constant(index).and_then(Constant::integers) {
                Some([number]) if *number != 0 => {
                    let number = *number;
                    self.list(vec![number])
                }
                Some(_) => return Err(refuse(self.node, "a shape is put together of numbers")),
                None => {
                    let (part, axes) = (self.value(index)?, self.list(vec![0]));
                    self.node("Unsqueeze", &[&part, &axes])
                }
            });
        }
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let axis = vec![int("axis", 0)];
        let builder = &mut self.graph.builder;
        Ok(Value::Computed(builder.node(&self.node.name, "Concat", &parts, axis)))
    }
}

/// Why an operator is no part of a dense chain, and what would help.
fn why_not(op: &str) -> &'static str {
    match op {
        "ArgMax" | "TopKV2" => "export the scores as the output; classes are found from them",
        "AvgPool" | "Conv1D" | "Conv2D" | "DepthwiseConv2dNative" | "MaxPool" => {
            "convolutions and pooling are not run, only fully-connected layers"
        }
        "FusedBatchNorm" | "FusedBatchNormV2" | "FusedBatchNormV3" => {
            "it normalises images; only a BatchNorm of [batch, features] can be folded"
        }
        "If" | "StatelessIf" | "While" | "StatelessWhile" => {
            "control flow cannot be run; export one straight graph"
        }
        "Mean" | "Sum" | "Max" | "Min" | "Prod" => {
            "it joins the values of a row, as normalising by a row's own statistics does"
        }
        "Placeholder" => "the signature names another input; one is read",
        "ReadVariableOp" => "what it reads is no variable of this model",
        "Transpose" => "axes of a row cannot be exchanged; flatten in the order of the weights",
        "VariableV2" | "Variable" => "a variable of TensorFlow 1; export with TensorFlow 2",
        _ => "it is no part of a chain of fully-connected layers",
    }
}
