//! What a `Reshape` asks for: the batch axis, and the axes of a row after it.

use super::attributes::Attributes;
use super::names::Graph;
use super::proto::NodeProto;
use super::refuse;
use super::shape::{InputShape, Row};
use super::tensor::AXES_MAX;
use crate::model::ModelError;

/// The first axis a `Reshape` asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum BatchAxis {
    /// That of the value, by a 0 or by its computed size.
    Copied,
    /// Whatever is left after the other axes.
    Inferred,
    /// A number.
    Fixed(i64),
}

/// The row after a `Reshape`, which must keep rows apart.
pub(super) fn reshape<'a>(
    graph: &Graph<'a>,
    node: &'a NodeProto,
    input: &InputShape,
    row: &Row,
) -> Result<Row, ModelError> {
    if Attributes::of(node, &["allowzero"])?.int("allowzero", 0)? != 0 {
        return Err(refuse(node, "a shape with axes of no values cannot be run"));
    }
    let (batch, axes) = target(graph, node)?;
    match batch {
        BatchAxis::Copied => {}
        BatchAxis::Fixed(size) if input.batch == Some(size) => {}
        BatchAxis::Fixed(size) => {
            let reason = format!("a first axis of {size} mixes rows; keep the batch axis first");
            return Err(refuse(node, reason));
        }
        // The batch stays what it is where the other axes hold exactly one row.
        BatchAxis::Inferred if !axes.contains(&-1) && row.width().is_some() => {}
        BatchAxis::Inferred => {
            return Err(refuse(node, format!("{axes:?} may mix rows; keep the batch axis first")));
        }
    }
    row.reshaped(node, &axes)
}

fn target<'a>(graph: &Graph<'a>, node: &'a NodeProto) -> Result<(BatchAxis, Vec<i64>), ModelError> {
    let computed = || refuse(node, "the shape must be constant, or computed as a flatten");
    let [data, shape] = &node.input[..] else {
        return Err(refuse(node, "a value and a shape are needed"));
    };
    let shape = without_casts(graph, shape);
    let (batch, axes) = if let Some(shape) = graph.integers(shape) {
        match shape?.split_first() {
            Some((-1, axes)) => (BatchAxis::Inferred, axes.to_vec()),
            Some((0, axes)) => (BatchAxis::Copied, axes.to_vec()),
            Some((size, axes)) => (BatchAxis::Fixed(*size), axes.to_vec()),
            None => return Err(refuse(node, "a shape without axes cannot be run")),
        }
    } else {
        let concat = graph.producer_of_kind(shape, "Concat").ok_or_else(computed)?;
        let (first, rest) = concat.input.split_first().ok_or_else(computed)?;
        if !is_batch_size(graph, first, data) {
            return Err(computed());
        }
        let mut axes = Vec::new();
        for part in rest.iter().take(AXES_MAX) {
            axes.extend(graph.integers(part).ok_or_else(computed)??);
        }
        (BatchAxis::Copied, axes)
    };
    if axes.len() > AXES_MAX {
        return Err(ModelError::too_large("axes of a shape", AXES_MAX, axes.len()));
    }
    Ok((batch, axes))
}

fn without_casts<'a>(graph: &Graph<'a>, value: &'a str) -> &'a str {
    let cast = graph.producer_of_kind(value, "Cast");
    cast.and_then(|cast| cast.input.first()).map_or(value, String::as_str)
}

/// Whether `value` is a vector of one number, the batch size of `data` or of the graph's input:
/// what exporters compute to flatten "all axes but the first".
fn is_batch_size<'a>(graph: &Graph<'a>, value: &'a str, data: &str) -> bool {
    batch_size(graph, value, data, 0) == Some(1)
}

/// The rank (0 or 1) of `value` where it holds the batch size and nothing else.
fn batch_size<'a>(graph: &Graph<'a>, value: &'a str, data: &str, depth: usize) -> Option<usize> {
    let node = graph.producer(value).filter(|_| depth < 6)?;
    let input = node.input.first()?;
    let constant = |index: usize| graph.integers(node.input.get(index)?)?.ok();
    let of_input = || batch_size(graph, input, data, depth + 1);
    let axes = || match node.attribute.iter().find(|attribute| attribute.name == "axes") {
        Some(axes) => Some(axes.ints.clone()),
        None => constant(1),
    };
    match node.op_type.as_str() {
        "Cast" | "Identity" => of_input(),
        "Squeeze" if of_input()? == 1 => Some(0),
        "Unsqueeze" if of_input()? == 0 && axes()? == [0] => Some(1),
        "Shape" => (is_shape_of(node, data, graph, true)).then_some(1),
        "Gather" => {
            let shape = graph.producer_of_kind(input, "Shape")?;
            let axis_is_0 = node.attribute.iter().all(|axis| axis.name == "axis" && axis.i == 0);
            let first = constant(1)? == [0] && axis_is_0;
            let indices = graph.constant(node.input.get(1)?)?;
            let rank = indices.source.dims(indices.name).ok()?.len();
            (first && rank <= 1 && is_shape_of(shape, data, graph, false)).then_some(rank)
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
            (first && is_shape_of(shape, data, graph, false)).then_some(1)
        }
        _ => None,
    }
}

/// Whether `node` is the shape of `data` or of the graph's input, whose batch axes are the same;
/// `first_only`: of its first axis alone.
fn is_shape_of(node: &NodeProto, data: &str, graph: &Graph<'_>, first_only: bool) -> bool {
    let attribute = |name: &str| node.attribute.iter().find(|a| a.name == name).map(|a| a.i);
    let range = (attribute("start").unwrap_or(0), attribute("end"));
    let of = node.input.first().map(String::as_str);
    let is_whole = range == (0, None) && !first_only;
    (of == Some(data) || of == Some(graph.input().name.as_str()))
        && (is_whole || range == (0, Some(1)))
}
