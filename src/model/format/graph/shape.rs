//! The shape of one row along the chain: every value is `[batch, row..]`.

use super::proto::{NodeProto, ValueInfo, data_type};
use super::refuse;
use super::tensor::AXES_MAX;
use crate::model::ModelError;
use crate::model::format::numbers::element_count;

/// The axes of a value after the first, which is the batch.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Row {
    /// Every axis is stated.
    Known(Vec<usize>),
    /// One axis of a width that the file does not state.
    Flat,
    /// Several axes not all stated, or no shape at all.
    Unknown,
}

/// What the file says about its input.
#[derive(Debug)]
pub(super) struct InputShape {
    pub(super) row: Row,
    /// The batch size the file is fixed to, where it is.
    pub(super) batch: Option<i64>,
    /// Whether rows are bytes.
    pub(super) bytes: bool,
}

impl InputShape {
    pub(super) fn of(input: &ValueInfo) -> Result<InputShape, ModelError> {
        let unsupported = |reason: String| ModelError::unsupported(&input.name, "input", reason);
        let tensor = input.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
        let element = tensor.map_or(data_type::FLOAT, |tensor| tensor.elem_type);
        let bytes = element == data_type::UINT8;
        if !bytes && !is_float(element) {
            return Err(unsupported(format!(
                "rows must be floats or uint8, and these are of data type {element}"
            )));
        }
        let Some(shape) = tensor.and_then(|tensor| tensor.shape.as_ref()) else {
            return Ok(InputShape { row: Row::Unknown, batch: None, bytes });
        };
        if shape.dim.len() > AXES_MAX {
            return Err(ModelError::too_large("axes of the input", AXES_MAX, shape.dim.len()));
        }
        let sizes: Vec<Option<i64>> =
            shape.dim.iter().map(|dim| dim.dim_value.filter(|size| *size > 0)).collect();
        let Some((batch, row)) = sizes.split_first().filter(|(_, row)| !row.is_empty()) else {
            return Err(unsupported(String::from(
                "a row needs a batch axis before it; export with an input of [batch, features]",
            )));
        };
        let known: Option<Vec<usize>> =
            row.iter().map(|size| usize::try_from((*size)?).ok()).collect();
        let row = match known {
            Some(row) => Row::Known(row),
            None if row.len() == 1 => Row::Flat,
            None => Row::Unknown,
        };
        Ok(InputShape { row, batch: *batch, bytes })
    }
}

pub(super) fn is_float(element: i32) -> bool {
    let floats = [data_type::FLOAT, data_type::DOUBLE, data_type::FLOAT16, data_type::BFLOAT16];
    floats.contains(&element)
}

impl Row {
    /// The axes, where all are stated.
    pub(super) fn known(&self) -> Option<&[usize]> {
        match self {
            Row::Known(row) => Some(row),
            Row::Flat | Row::Unknown => None,
        }
    }

    /// How many values a row has, where it is stated and fits.
    pub(super) fn width(&self) -> Option<usize> {
        element_count(self.known()?)
    }

    /// The rank of the value, batch included, where it is known.
    pub(super) fn rank(&self) -> Option<usize> {
        match self {
            Row::Known(row) => Some(row.len() + 1),
            Row::Flat => Some(2),
            Row::Unknown => None,
        }
    }

    /// An axis counted from the front, where it is inside the value.
    pub(super) fn axis(&self, axis: i64) -> Option<usize> {
        let rank = i64::try_from(self.rank()?).ok()?;
        let axis = if axis < 0 { axis + rank } else { axis };
        usize::try_from(axis).ok().filter(|_| axis < rank)
    }

    /// Whether all values of a row stand along the last axis.
    pub(super) fn is_vector(&self) -> bool {
        match self {
            Row::Known(row) => {
                row.split_last().is_some_and(|(_, rest)| rest.iter().all(|n| *n == 1))
            }
            Row::Flat => true,
            Row::Unknown => false,
        }
    }

    /// The row after `Flatten`.
    pub(super) fn flattened(&self, node: &NodeProto, axis: i64) -> Result<Row, ModelError> {
        let is_first = axis == 1 || self.axis(axis) == Some(1);
        match (is_first, self.known()) {
            (false, _) => Err(refuse(node, format!("axis 1 keeps rows apart; {axis} does not"))),
            (true, None) => Ok(Row::Flat),
            (true, Some(_)) => self.reshaped(node, &[-1]),
        }
    }

    /// The row after a `Reshape` that keeps the batch axis and asks for `axes` after it.
    pub(super) fn reshaped(&self, node: &NodeProto, axes: &[i64]) -> Result<Row, ModelError> {
        let does_not_fit = || refuse(node, format!("a row of {self} does not fit shape {axes:?}"));
        let mut row = Vec::with_capacity(axes.len());
        let mut inferred = None;
        for (index, axis) in axes.iter().enumerate() {
            row.push(match *axis {
                -1 if inferred.is_none() => {
                    inferred = Some(index);
                    1
                }
                0 => *self.known().and_then(|row| row.get(index)).ok_or_else(does_not_fit)?,
                axis => usize::try_from(axis).map_err(|_| does_not_fit())?,
            });
        }
        let Some(width) = self.width() else {
            // Without the row's own width only a batch axis that is copied keeps rows apart.
            return match (inferred, &row[..]) {
                (Some(_), [_]) => Ok(Row::Flat),
                (None, [_, ..]) => Ok(Row::Known(row)),
                _ => Err(does_not_fit()),
            };
        };
        let stated = row.iter().try_fold(1_usize, |product, n| product.checked_mul(*n));
        match (inferred, stated) {
            (None, Some(stated)) if stated == width => {}
            (Some(index), Some(stated)) if stated > 0 && width.is_multiple_of(stated) => {
                row[index] = width / stated;
            }
            _ => return Err(does_not_fit()),
        }
        if row.is_empty() {
            return Err(does_not_fit());
        }
        Ok(Row::Known(row))
    }

    /// The row after `Squeeze` (axes leave) or `Unsqueeze` (axes of 1 enter).
    pub(super) fn with_axes(
        &self,
        node: &NodeProto,
        axes: &[i64],
        enter: bool,
    ) -> Result<Row, ModelError> {
        let row = self.known().ok_or_else(|| refuse(node, "the shape of a row is not stated"))?;
        let mut shape = vec![0];
        shape.extend(row);
        let rank = shape.len() + if enter { axes.len() } else { 0 };
        if rank > AXES_MAX {
            return Err(ModelError::too_large("axes of a value", AXES_MAX, rank));
        }
        let mut places = Vec::with_capacity(axes.len());
        for axis in axes {
            let place = if *axis < 0 { *axis + rank as i64 } else { *axis };
            match usize::try_from(place) {
                Ok(place) if (1..rank).contains(&place) => places.push(place),
                _ => return Err(refuse(node, format!("axis {axis} is the batch, or outside"))),
            }
        }
        places.sort_unstable();
        if places.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(refuse(node, "an axis is named twice"));
        }
        if enter {
            places.iter().for_each(|place| shape.insert(*place, 1));
        } else {
            for place in places.iter().rev() {
                if shape.remove(*place) != 1 {
                    return Err(refuse(node, format!("axis {place} holds more than one value")));
                }
            }
        }
        if shape.len() < 2 {
            return Err(refuse(node, "a row without axes cannot be run"));
        }
        Ok(Row::Known(shape.split_off(1)))
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Row::Known(row) => write!(f, "shape {row:?}"),
            Row::Flat | Row::Unknown => f.write_str("a shape that is not stated"),
        }
    }
}
