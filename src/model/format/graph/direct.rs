//! Activations that are one operator.

use super::attributes::Attributes;
use super::names::Graph;
use super::proto::NodeProto;
use super::refuse;
use crate::model::{Activation, ModelError};

/// The activation a node computes, where its operator is one.
pub(super) fn activation<'a>(
    graph: &Graph<'a>,
    node: &'a NodeProto,
) -> Option<Result<Activation, ModelError>> {
    Some(match node.op_type.as_str() {
        "Relu" => plain(node, Activation::Relu),
        "Sigmoid" => plain(node, Activation::Sigmoid),
        "Tanh" => plain(node, Activation::Tanh),
        "Softplus" => plain(node, Activation::Softplus),
        "Softsign" => plain(node, Activation::Softsign),
        "HardSwish" => plain(node, Activation::HardSwish),
        "Mish" => plain(node, Activation::Mish),
        "LeakyRelu" => alpha(node, 0.01).map(|alpha| Activation::LeakyRelu { alpha }),
        "Elu" => alpha(node, 1.0).map(|alpha| Activation::Elu { alpha }),
        "Celu" => alpha(node, 1.0).map(|alpha| Activation::Celu { alpha }),
        "Selu" => selu(node),
        "HardSigmoid" => hard_sigmoid(node),
        "PRelu" => prelu(graph, node),
        "Gelu" => gelu(node),
        "Swish" => swish(node),
        "Clip" if graph.opset() < 11 => clip_by_attributes(node),
        "Clip" => clip_by_inputs(graph, node),
        _ => return None,
    })
}

fn plain(node: &NodeProto, activation: Activation) -> Result<Activation, ModelError> {
    Attributes::of(node, &[])?;
    Ok(activation)
}

fn alpha(node: &NodeProto, default: f32) -> Result<f32, ModelError> {
    Attributes::of(node, &["alpha"])?.float("alpha", default)
}

fn selu(node: &NodeProto) -> Result<Activation, ModelError> {
    let attributes = Attributes::of(node, &["alpha", "gamma"])?;
    let alpha = attributes.float("alpha", 1.673_263_2)?;
    Ok(Activation::Selu { alpha, gamma: attributes.float("gamma", 1.050_701)? })
}

fn hard_sigmoid(node: &NodeProto) -> Result<Activation, ModelError> {
    let attributes = Attributes::of(node, &["alpha", "beta"])?;
    let alpha = attributes.float("alpha", 0.2)?;
    Ok(Activation::HardSigmoid { alpha, beta: attributes.float("beta", 0.5)? })
}

/// With one slope for every feature, PRelu is LeakyRelu.
fn prelu<'a>(graph: &Graph<'a>, node: &'a NodeProto) -> Result<Activation, ModelError> {
    Attributes::of(node, &[])?;
    match node.input.get(1).and_then(|slope| graph.only_number(slope)) {
        Some(slope) => Ok(Activation::LeakyRelu { alpha: slope as f32 }),
        None => Err(refuse(node, "only one constant slope for all features can be run")),
    }
}

fn gelu(node: &NodeProto) -> Result<Activation, ModelError> {
    match Attributes::of(node, &["approximate"])?.string("approximate", "none")? {
        "none" => Ok(Activation::Gelu),
        "tanh" => Ok(Activation::GeluTanh),
        other => Err(refuse(node, format!("approximate is 'none' or 'tanh', not '{other}'"))),
    }
}

fn swish(node: &NodeProto) -> Result<Activation, ModelError> {
    match alpha(node, 1.0)? {
        1.0 => Ok(Activation::Silu),
        other => Err(refuse(node, format!("only alpha 1 can be run, not {other}"))),
    }
}

fn clip_by_attributes(node: &NodeProto) -> Result<Activation, ModelError> {
    let attributes = Attributes::of(node, &["min", "max"])?;
    let min = attributes.float("min", f32::NEG_INFINITY)?;
    Ok(Activation::Clip { min, max: attributes.float("max", f32::INFINITY)? })
}

fn clip_by_inputs<'a>(graph: &Graph<'a>, node: &'a NodeProto) -> Result<Activation, ModelError> {
    Attributes::of(node, &[])?;
    let bound = |index: usize, default: f32| match node.input.get(index).map(String::as_str) {
        None | Some("") => Ok(default),
        Some(name) => graph
            .scalar(name)
            .map(|bound| bound as f32)
            .ok_or_else(|| refuse(node, "bounds must be constant scalars")),
    };
    Ok(Activation::Clip { min: bound(1, f32::NEG_INFINITY)?, max: bound(2, f32::INFINITY)? })
}
