//! Which tensor a model reads, and which it writes.

use super::bundle::element_of;
use super::malformed;
use super::proto::{SignatureEntry, TensorInfoEntry, TensorShape};
use crate::model::{Format, ModelError};

/// The signature that is meant where a model has several.
const DEFAULT: &str = "serving_default";
/// What TensorFlow adds to every model: it has no input.
const INIT: &str = "__saved_model_init_op";

/// One input, one output.
pub(super) struct Signature {
    /// The names of their tensors in the top graph.
    pub(super) input: String,
    pub(super) output: String,
    /// The axes of a row, where the file states them; `None` is one axis of any width.
    pub(super) row: Option<Vec<usize>>,
    /// The batch size the file is fixed to, where it is.
    pub(super) batch: Option<i64>,
}

impl Signature {
    pub(super) fn of(mut all: Vec<SignatureEntry>) -> Result<Signature, ModelError> {
        all.retain(|entry| entry.key != INIT);
        let at = match all.iter().position(|entry| entry.key == DEFAULT) {
            Some(at) => at,
            None if all.len() <= 1 => 0,
            None => {
                let mut names: Vec<&str> = all.iter().map(|entry| entry.key.as_str()).collect();
                names.sort_unstable();
                return Err(ModelError::undeclared(
                    Format::SavedModel,
                    format!("which of the signatures {} is meant", list(&names)),
                    format!("export the model with one called '{DEFAULT}'"),
                ));
            }
        };
        if all.is_empty() {
            return Err(malformed("signatures", format!("one, as '{DEFAULT}'"), "none"));
        }
        let entry = all.swap_remove(at);
        let signature = entry.value.unwrap_or_default();
        let input = only(signature.inputs, "input", &entry.key)?;
        let output = only(signature.outputs, "output", &entry.key)?;
        let refuse = |reason: String| ModelError::unsupported(&input.key, "input", reason);
        let of = input.value.unwrap_or_default();
        if element_of(of.dtype).is_none() {
            return Err(refuse(format!("rows must be floats, not of data type {}", of.dtype)));
        }
        let (batch, row) = match of.tensor_shape.filter(|shape| !shape.unknown_rank) {
            None => (None, None),
            Some(shape) => row(&shape).map_err(refuse)?,
        };
        let output = output.value.unwrap_or_default().name;
        Ok(Signature { input: of.name, output, row, batch })
    }
}

/// The batch size and the axes of a row, where they are stated.
type Row = (Option<i64>, Option<Vec<usize>>);

fn row(shape: &TensorShape) -> Result<Row, String> {
    let sizes: Vec<i64> = shape.dim.iter().map(|dim| dim.size).collect();
    let Some((batch, row)) = sizes.split_first().filter(|(_, row)| !row.is_empty()) else {
        return Err(String::from("a row needs a batch axis before it: [batch, features]"));
    };
    let batch = Some(*batch).filter(|batch| *batch > 0);
    let known: Option<Vec<usize>> = row.iter().map(|size| usize::try_from(*size).ok()).collect();
    match known {
        None if row.len() > 1 => Err(format!("not all axes of its shape {sizes:?} are stated")),
        known => Ok((batch, known)),
    }
}

fn only(
    mut tensors: Vec<TensorInfoEntry>,
    what: &str,
    signature: &str,
) -> Result<TensorInfoEntry, ModelError> {
    tensors.sort_by(|a, b| a.key.cmp(&b.key));
    match &tensors[..] {
        [_] => Ok(tensors.swap_remove(0)),
        [] => Err(malformed(format!("signature '{signature}'"), format!("one {what}"), "none")),
        several => {
            let names: Vec<&str> = several.iter().map(|tensor| tensor.key.as_str()).collect();
            let reason = format!("one {what} is read, and there are {}", list(&names));
            Err(ModelError::unsupported(signature, what, reason))
        }
    }
}

/// The first few names, and how many more there are.
fn list(names: &[&str]) -> String {
    let first: Vec<String> = names.iter().take(4).map(|name| format!("'{name}'")).collect();
    match names.len().saturating_sub(4) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}
