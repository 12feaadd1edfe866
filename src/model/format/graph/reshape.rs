//! What a `Reshape` asks for, stated or computed.

use super::attributes::Attributes;
use super::names::Graph;
use super::proto::NodeProto;
use super::refuse;
use super::shape::{Row, Size, View};
use super::tensor::AXES_MAX;
use crate::model::ModelError;

/// The row after a `Reshape`, which must keep rows apart.
pub(super) fn reshape<'a>(
    graph: &Graph<'a>,
    node: &'a NodeProto,
    row: &Row,
    view: View,
) -> Result<Row, ModelError> {
    let zero_is_empty = Attributes::of(node, &["allowzero"])?.int("allowzero", 0)? != 0;
    // Rows are as many everywhere, so that a batch of one axis is as long as that of the input.
    let is_batch_of_input = view == View::First && row.leading() == 1;
    let target = target(graph, node, zero_is_empty, is_batch_of_input)?;
    row.reshaped(node, &target)
}

fn target<'a>(
    graph: &Graph<'a>,
    node: &'a NodeProto,
    zero_is_empty: bool,
    is_batch_of_input: bool,
) -> Result<Vec<Size>, ModelError> {
    let computed = || refuse(node, "the shape must be constant, or computed as a flatten");
    let size = |axis: &i64| match *axis {
        -1 => Ok(Size::Inferred),
        0 if zero_is_empty => Err(refuse(node, "a shape with axes of no values cannot be run")),
        0 => Ok(Size::Copied),
        axis => match usize::try_from(axis) {
            Ok(size) => Ok(Size::Fixed(size)),
            Err(_) => Err(refuse(node, format!("an axis of {axis} is none"))),
        },
    };
    let [data, shape] = &node.input[..] else {
        return Err(refuse(node, "a value and a shape are needed"));
    };
    let shape = without_casts(graph, shape);
    if let Some(shape) = graph.integers(shape) {
        return shape?.iter().map(size).collect();
    }
    let concat = graph.producer_of_kind(shape, "Concat").ok_or_else(computed)?;
    let (first, rest) = concat.input.split_first().ok_or_else(computed)?;
    let input = graph.input().name.as_str();
    let same = [data.as_str(), if is_batch_of_input { input } else { data }];
    if !is_batch_size(graph, first, &same) {
        return Err(computed());
    }
    let mut sizes = vec![Size::Copied];
    for part in rest.iter().take(AXES_MAX) {
        for axis in graph.integers(part).ok_or_else(computed)?? {
            sizes.push(size(&axis)?);
        }
    }
    if sizes.len() > AXES_MAX {
        return Err(ModelError::too_large("axes of a shape", AXES_MAX, sizes.len()));
    }
    Ok(sizes)
}

fn without_casts<'a>(graph: &Graph<'a>, value: &'a str) -> &'a str {
    let cast = graph.producer_of_kind(value, "Cast");
    cast.and_then(|cast| cast.input.first()).map_or(value, String::as_str)
}

/// Whether `value` is a vector of one number, the first axis of one of `same`: what exporters
/// compute to flatten "all axes but the first".
fn is_batch_size<'a>(graph: &Graph<'a>, value: &'a str, same: &[&str]) -> bool {
    batch_size(graph, value, same, 0) == Some(1)
}

/// The rank (0 or 1) of `value` where it holds the batch size and nothing else.
fn batch_size<'a>(graph: &Graph<'a>, value: &'a str, same: &[&str], depth: usize) -> Option<usize> {
    let node = graph.producer(value).filter(|_| depth < 6)?;
    let input = node.input.first()?;
    let constant = |index: usize| graph.integers(node.input.get(index)?)?.ok();
    let of_input = || batch_size(graph, input, same, depth + 1);
    let axes = || match node.attribute.iter().find(|attribute| attribute.name == "axes") {
        Some(axes) => Some(axes.ints.clone()),
        None => constant(1),
    };
    match node.op_type.as_str() {
        "Cast" | "Identity" => of_input(),
        "Squeeze" if of_input()? == 1 => Some(0),
        "Unsqueeze" if of_input()? == 0 && axes()? == [0] => Some(1),
        "Shape" => (is_shape_of(node, same, true)).then_some(1),
        "Gather" => {
            let shape = graph.producer_of_kind(input, "Shape")?;
            let axis_is_0 = node.attribute.iter().all(|axis| axis.name == "axis" && axis.i == 0);
            let first = constant(1)? == [0] && axis_is_0;
            let indices = graph.constant(node.input.get(1)?)?;
            let rank = indices.dims().ok()?.len();
            (first && rank <= 1 && is_shape_of(shape, same, false)).then_some(rank)
        }
        "Slice" => {
            let shape = graph.producer_of_kind(input, "Shape")?;
            let attribute = |name: &str| {
                Some(node.attribute.iter().find(|attribute| attribute.name == name)?.ints.clone())
            };
            let starts = attribute("starts").or_else(|| constant(1))?;
            let ends = attribute("ends").or_else(|| constant(2))?;
            // A shape has but one axis, so that `axes` can say nothing else.
            let step = node.input.get(4).map_or(Some(vec![1]), |_| constant(4))?;
            let first = starts == [0] && ends == [1] && step == [1];
            (first && is_shape_of(shape, same, false)).then_some(1)
        }
        _ => None,
    }
}

/// Whether `node` is the shape of one of `same`; `first_only`: of its first axis alone.
fn is_shape_of(node: &NodeProto, same: &[&str], first_only: bool) -> bool {
    let attribute = |name: &str| node.attribute.iter().find(|a| a.name == name).map(|a| a.i);
    let range = (attribute("start").unwrap_or(0), attribute("end"));
    let of = node.input.first().map(String::as_str);
    let is_whole = range == (0, None) && !first_only;
    of.is_some_and(|of| same.contains(&of)) && (is_whole || range == (0, Some(1)))
}
