//! Numbers that a configuration states: one, or a list, or an array that was serialised.

use serde_json::Value;

use super::hdf5::Array;
use crate::model::format::numbers::element_count;

/// How deep lists of numbers may nest.
const DEPTH_MAX: usize = 16;

/// Numbers and their axes, row-major.
pub(super) struct Numbers {
    pub(super) dims: Vec<usize>,
    pub(super) values: Vec<f64>,
}

impl Numbers {
    pub(super) fn one(value: f64) -> Numbers {
        Numbers { dims: Vec::new(), values: vec![value] }
    }

    pub(super) fn of(array: &Array) -> Numbers {
        Numbers { dims: array.dims.clone(), values: array.element.decode_f64(&array.bytes) }
    }

    /// The same numbers along other axes, where they are as many; one number fits all axes.
    pub(super) fn along(self, dims: &[usize]) -> Option<Numbers> {
        let dims = if self.values.len() == 1 { &[] } else { dims };
        let fits = element_count(dims) == Some(self.values.len());
        fits.then(|| Numbers { dims: dims.to_vec(), values: self.values })
    }
}

/// A number, lists of numbers of the same length, or an array that Keras serialised.
pub(super) fn listed(value: &Value) -> Option<Numbers> {
    let value = match value {
        Value::Object(object) => object.get("config")?.get("value")?,
        value => value,
    };
    let mut dims = Vec::new();
    let mut level = value;
    while let Value::Array(values) = level {
        if dims.len() == DEPTH_MAX {
            return None;
        }
        dims.push(values.len());
        level = values.first()?;
    }
    let mut values = Vec::new();
    gather(value, &dims, &mut values)?;
    Some(Numbers { dims, values })
}

fn gather(value: &Value, dims: &[usize], values: &mut Vec<f64>) -> Option<()> {
    match (value, dims.split_first()) {
        (Value::Array(list), Some((length, inner))) if list.len() == *length => {
            list.iter().try_for_each(|value| gather(value, inner, values))
        }
        (Value::Number(number), None) => {
            values.push(number.as_f64()?);
            Some(())
        }
        _ => None,
    }
}
