//! A batch as the caller holds it.

use std::ops::Range;

use half::{bf16, f16};

use super::BackendError;
use crate::plan::{InputType, Plan};

/// Rows of a batch, `[n, inputs]` row-major, in the type they are planned for.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Rows<'a> {
    /// Values as 32-bit floats.
    F32(&'a [f32]),
    /// Values as bytes.
    U8(&'a [u8]),
    /// Values as IEEE halves.
    F16(&'a [f16]),
    /// Values as bfloat16.
    Bf16(&'a [bf16]),
}

impl<'a> Rows<'a> {
    /// The type of the values.
    pub fn input(&self) -> InputType {
        match self {
            Rows::F32(_) => InputType::F32,
            Rows::U8(_) => InputType::U8,
            Rows::F16(_) => InputType::F16,
            Rows::Bf16(_) => InputType::Bf16,
        }
    }

    /// Values in all rows together.
    pub fn values(&self) -> usize {
        match self {
            Rows::F32(values) => values.len(),
            Rows::U8(values) => values.len(),
            Rows::F16(values) => values.len(),
            Rows::Bf16(values) => values.len(),
        }
    }

    /// The bytes of all rows, in the machine's own order.
    pub fn bytes(&self) -> &'a [u8] {
        match self {
            Rows::F32(values) => bytemuck::cast_slice(values),
            Rows::U8(values) => values,
            Rows::F16(values) => bytemuck::cast_slice(values),
            Rows::Bf16(values) => bytemuck::cast_slice(values),
        }
    }

    /// The rows that these bytes are, in the machine's own order.
    ///
    /// # Panics
    /// Where they are no whole number of values, or do not begin where such a value may.
    pub(crate) fn of_bytes(input: InputType, bytes: &'a [u8]) -> Rows<'a> {
        match input {
            InputType::F32 => Rows::F32(bytemuck::cast_slice(bytes)),
            InputType::U8 => Rows::U8(bytes),
            InputType::F16 => Rows::F16(bytemuck::cast_slice(bytes)),
            InputType::Bf16 => Rows::Bf16(bytemuck::cast_slice(bytes)),
        }
    }

    /// The rows in `range`, of `inputs` values each.
    ///
    /// # Panics
    /// Where the range is past the rows.
    pub fn slice(&self, range: Range<usize>, inputs: usize) -> Rows<'a> {
        let values = range.start * inputs..range.end * inputs;
        match self {
            Rows::F32(all) => Rows::F32(&all[values]),
            Rows::U8(all) => Rows::U8(&all[values]),
            Rows::F16(all) => Rows::F16(&all[values]),
            Rows::Bf16(all) => Rows::Bf16(&all[values]),
        }
    }

    /// The number of rows, after checking that they are what `plan` takes.
    pub(crate) fn count(&self, plan: &Plan) -> Result<usize, BackendError> {
        if self.input() != plan.input() {
            return Err(BackendError::WrongInput { expected: plan.input(), got: self.input() });
        }
        if !self.values().is_multiple_of(plan.inputs()) {
            let (inputs, values) = (plan.inputs(), self.values());
            return Err(BackendError::WrongRowLength { inputs, values });
        }
        Ok(self.values() / plan.inputs())
    }

    /// The number of rows, after checking them and the length of the scores they are to fill.
    pub(crate) fn count_for(&self, plan: &Plan, scores: &[f32]) -> Result<usize, BackendError> {
        let rows = self.count(plan)?;
        let expected = rows * plan.classes();
        if scores.len() != expected {
            return Err(BackendError::WrongScoresLength { expected, got: scores.len() });
        }
        Ok(rows)
    }

    /// The number of rows in all pieces together, after checking that they are one batch of `plan`
    /// and none of them is empty.
    pub(crate) fn count_batch(pieces: &[Rows<'_>], plan: &Plan) -> Result<usize, BackendError> {
        let rows_max = plan.rows_max();
        let mut rows: usize = 0;
        for piece in pieces {
            match piece.count(plan)? {
                0 => return Err(BackendError::BatchSize { rows_max, rows: 0 }),
                // Pieces may be the same rows many times over: past any limit, but no panic.
                count => rows = rows.saturating_add(count),
            }
        }
        if (1..=rows_max).contains(&rows) {
            Ok(rows)
        } else {
            Err(BackendError::BatchSize { rows_max, rows })
        }
    }
}

/// What `values` are in rows of `inputs`: "784 values, got 1000: 1 row and 216 values".
pub(crate) fn width_got(inputs: usize, values: usize) -> String {
    let expected = format!("{inputs} values, got {values}");
    let count = |number: usize, what: &str| match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    };
    match (values / inputs.max(1), values % inputs.max(1)) {
        (0, _) => expected,
        (rows, 0) => format!("{expected}: {}", count(rows, "row")),
        (rows, rest) => format!("{expected}: {} and {}", count(rows, "row"), count(rest, "value")),
    }
}

/// Rows that lie apart, copied one behind the other.
pub(crate) struct Gathered {
    input: InputType,
    /// Words, so that values of every type may begin there; and how many bytes of them are rows.
    words: Vec<u32>,
    bytes: usize,
}

impl Gathered {
    /// Copies rows of the type and width that `plan` takes.
    pub(crate) fn of<'a>(
        plan: &Plan,
        rows: impl IntoIterator<Item = Rows<'a>>,
    ) -> Result<Gathered, BackendError> {
        let (input, inputs) = (plan.input(), plan.inputs());
        let mut bytes = Vec::new();
        for (row, values) in rows.into_iter().enumerate() {
            if values.input() != input {
                return Err(BackendError::WrongInput { expected: input, got: values.input() });
            }
            if values.values() != inputs {
                return Err(BackendError::WrongRow { row, inputs, values: values.values() });
            }
            bytes.extend_from_slice(values.bytes());
        }
        let mut words = vec![0; bytes.len().div_ceil(4)];
        bytemuck::cast_slice_mut(&mut words)[..bytes.len()].copy_from_slice(&bytes);
        Ok(Gathered { input, words, bytes: bytes.len() })
    }

    /// The rows, `[n, inputs]` row-major.
    pub(crate) fn rows(&self) -> Rows<'_> {
        Rows::of_bytes(self.input, &bytemuck::cast_slice(&self.words)[..self.bytes])
    }
}

/// What holds values of a type, as rows of that type.
macro_rules! from_values {
    ($value:ty, $rows:ident) => {
        impl<'a> From<&'a [$value]> for Rows<'a> {
            fn from(values: &'a [$value]) -> Rows<'a> {
                Rows::$rows(values)
            }
        }

        impl<'a> From<&'a Vec<$value>> for Rows<'a> {
            fn from(values: &'a Vec<$value>) -> Rows<'a> {
                Rows::$rows(values)
            }
        }

        impl<'a> From<&&'a [$value]> for Rows<'a> {
            fn from(values: &&'a [$value]) -> Rows<'a> {
                Rows::$rows(values)
            }
        }

        impl<'a> From<&'a Box<[$value]>> for Rows<'a> {
            fn from(values: &'a Box<[$value]>) -> Rows<'a> {
                Rows::$rows(values)
            }
        }

        impl<'a, const N: usize> From<&'a [$value; N]> for Rows<'a> {
            fn from(values: &'a [$value; N]) -> Rows<'a> {
                Rows::$rows(values)
            }
        }
    };
}

from_values!(f32, F32);
from_values!(u8, U8);
from_values!(f16, F16);
from_values!(bf16, Bf16);
