//! From the graph's output to its input, one step per operator; what is no step is refused.

use super::attributes::{Attributes, casts_to_float};
use super::names::{Graph, is_standard};
use super::proto::NodeProto;
use super::{direct, gated, malformed, pieces, refuse};
use crate::model::{Activation, Head, LAYERS_MAX, ModelError};

/// The most steps a chain may have: a layer takes five or six.
const STEPS_MAX: usize = 16 * LAYERS_MAX;

/// One operator of the chain, in the order of computation.
pub(super) struct Step<'a> {
    pub(super) node: &'a NodeProto,
    pub(super) kind: Kind<'a>,
}

/// What an operator does to the value that runs through the chain.
pub(super) enum Kind<'a> {
    /// `alpha * x * weight + beta * bias`
    Gemm,
    /// `x * weight`
    MatMul { weight: &'a str },
    /// `x * constant`
    Multiply(&'a str),
    /// `x / constant`
    Divide(&'a str),
    /// `x + constant`
    Add(&'a str),
    /// `x - constant`
    Subtract(&'a str),
    /// `constant - x`
    SubtractFrom(&'a str),
    /// `-x`
    Negate,
    /// `(x - offset) * scale`, as scikit-learn's pipelines have it.
    Scaler,
    /// `[1 - x, x]` of the one value of a row: the shares of two classes.
    Shares,
    /// `(x - mean) / sqrt(variance + epsilon) * scale + bias`
    BatchNorm,
    /// An activation, of one operator or of several.
    Activation(Activation),
    /// Softmax or LogSoftmax.
    Head(Head),
    /// `Flatten`, `Reshape`, `Squeeze`, `Unsqueeze` or `Transpose`.
    Shape,
    /// What leaves every value as it is.
    Nothing,
}

/// The steps of the chain, from the graph's input to its output.
pub(super) fn steps<'a>(graph: &Graph<'a>) -> Result<Vec<Step<'a>>, ModelError> {
    let mut steps = Vec::new();
    let mut value = graph.output();
    while value != graph.input().name {
        // Every step goes up by a node at least: more steps than nodes can only run in a circle.
        if steps.len() >= graph.nodes() && graph.producer(value).is_some() {
            return Err(malformed(format!("value '{value}'"), "a graph without cycles", "a cycle"));
        }
        if steps.len() >= STEPS_MAX {
            return Err(ModelError::too_large(
                "operators in the chain",
                STEPS_MAX,
                steps.len() + 1,
            ));
        }
        let (step, before) = step(graph, value)?;
        steps.push(step);
        value = before;
    }
    steps.reverse();
    Ok(steps)
}

/// The step that writes `value`, and the value it is applied to.
fn step<'a>(graph: &Graph<'a>, value: &'a str) -> Result<(Step<'a>, &'a str), ModelError> {
    if graph.constant(value).is_some() {
        let reason = "it is a constant, so that the output does not depend on the input";
        return Err(ModelError::unsupported(value, "constant", reason));
    }
    let node = graph
        .producer(value)
        .ok_or_else(|| malformed(format!("value '{value}'"), "a node that writes it", "none"))?;
    if node.domain == "ai.onnx.ml" && node.op_type == "Scaler" {
        return Ok((Step { node, kind: Kind::Scaler }, input(node, 0)?));
    }
    if !is_standard(node) {
        return Err(refuse(node, "only ONNX's own operators are known; export without fusions"));
    }
    if node.output.first().is_none_or(|output| output != value) {
        return Err(refuse(node, format!("its extra output '{value}' cannot be run")));
    }
    let decomposed = gated::activation(graph, value).or_else(|| pieces::activation(graph, value));
    if let Some((activation, before)) = decomposed {
        return Ok((Step { node, kind: Kind::Activation(activation) }, before));
    }
    if let Some(activation) = direct::activation(graph, node) {
        let kind = Kind::Activation(activation?);
        return Ok((Step { node, kind }, input(node, 0)?));
    }
    let (kind, before) = operator(graph, node)?;
    Ok((Step { node, kind }, before))
}

fn operator<'a>(graph: &Graph<'a>, node: &'a NodeProto) -> Result<(Kind<'a>, &'a str), ModelError> {
    let kind = match node.op_type.as_str() {
        "MatMul" | "Mul" | "Add" | "Sub" | "Div" => return with_constant(graph, node),
        "Concat" => return shares(graph, node),
        "Gemm" => Kind::Gemm,
        "BatchNormalization" => Kind::BatchNorm,
        "Softmax" => Kind::Head(Head::Softmax),
        "LogSoftmax" => Kind::Head(Head::LogSoftmax),
        "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" | "Transpose" => Kind::Shape,
        "Neg" => Kind::Negate,
        "Identity" => Kind::Nothing,
        "Dropout" => {
            check_dropout_is_off(graph, node)?;
            Kind::Nothing
        }
        "Cast" if casts_to_float(node)? => Kind::Nothing,
        _ => return Err(refuse(node, why_not(&node.op_type))),
    };
    Ok((kind, input(node, 0)?))
}

/// The step of an operator between the chain's value and a constant.
fn with_constant<'a>(
    graph: &Graph<'a>,
    node: &'a NodeProto,
) -> Result<(Kind<'a>, &'a str), ModelError> {
    let (left, right) = (input(node, 0)?, input(node, 1)?);
    let (on_left, on_right) = (graph.constant(left).is_some(), graph.constant(right).is_some());
    Ok(match (node.op_type.as_str(), on_left, on_right) {
        (_, false, false) => {
            return Err(refuse(
                node,
                "it joins two computed values, and is no known activation; only a chain of layers \
                 can be run",
            ));
        }
        ("MatMul", false, true) => (Kind::MatMul { weight: right }, left),
        ("Mul", true, _) => (Kind::Multiply(left), right),
        ("Mul", _, true) => (Kind::Multiply(right), left),
        ("Add", true, _) => (Kind::Add(left), right),
        ("Add", _, true) => (Kind::Add(right), left),
        ("Sub", true, _) => (Kind::SubtractFrom(left), right),
        ("Sub", _, true) => (Kind::Subtract(right), left),
        ("Div", _, true) => (Kind::Divide(right), left),
        _ => return Err(refuse(node, "the constant must stand on the right")),
    })
}

/// The step that makes two classes' shares of the second's, and the value that holds it.
fn shares<'a>(graph: &Graph<'a>, node: &'a NodeProto) -> Result<(Kind<'a>, &'a str), ModelError> {
    let [first, second] = &node.input[..] else { return Err(refuse(node, why_not("Concat"))) };
    let is_rest = |rest: &NodeProto| {
        let [one, share] = &rest.input[..] else { return false };
        graph.scalar(one) == Some(1.0) && share == second && rest.attribute.is_empty()
    };
    match graph.producer_of_kind(first, "Sub") {
        Some(rest) if is_rest(rest) => Ok((Kind::Shares, second)),
        _ => Err(refuse(node, why_not("Concat"))),
    }
}

/// The name of an input that must be there.
pub(super) fn input(node: &NodeProto, index: usize) -> Result<&str, ModelError> {
    match node.input.get(index) {
        Some(name) if !name.is_empty() => Ok(name),
        _ => Err(refuse(node, format!("input {index} is missing"))),
    }
}

fn check_dropout_is_off<'a>(graph: &Graph<'a>, node: &'a NodeProto) -> Result<(), ModelError> {
    let attributes = Attributes::of(node, &["ratio", "seed", "is_test"])?;
    let tests = graph.opset() >= 7 || attributes.int("is_test", 0)? != 0;
    let trains = match node.input.get(2).filter(|name| !name.is_empty()) {
        None => false,
        Some(mode) => !matches!(graph.integers(mode), Some(Ok(mode)) if mode == [0]),
    };
    if trains || !tests {
        return Err(refuse(node, "it drops values at random; export the model in evaluation mode"));
    }
    Ok(())
}

/// Why an operator is no part of a dense chain, and what would help.
fn why_not(op: &str) -> &'static str {
    match op {
        "ArgMax" | "TopK" => "export the scores as the output; classes are found from them",
        "Concat" => "values are joined in one place only: [1 - x, x], the shares of two classes",
        "Cast" => "values would be rounded to integers",
        "Conv" | "MaxPool" | "AveragePool" | "GlobalAveragePool" | "GlobalMaxPool" => {
            "convolutions and pooling are not run, only fully-connected layers"
        }
        "DequantizeLinear"
        | "QuantizeLinear"
        | "QLinearMatMul"
        | "MatMulInteger"
        | "DynamicQuantizeLinear"
        | "QGemm" => "a quantised network; export the model before quantisation",
        "LayerNormalization"
        | "InstanceNormalization"
        | "GroupNormalization"
        | "RMSNormalization"
        | "LpNormalization" => {
            "it normalises by each row's own statistics, which cannot be folded into a layer"
        }
        "If" | "Loop" | "Scan" => "control flow cannot be run; export one straight graph",
        "Abs" | "Exp" | "Max" | "Min" | "Where" => "it makes no activation that is known here",
        "LSTM" | "GRU" | "RNN" => "recurrent layers are not run, only fully-connected ones",
        _ => "it is no part of a chain of fully-connected layers",
    }
}
