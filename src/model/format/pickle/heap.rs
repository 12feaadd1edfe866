//! The values of a pickle in the making, and the limits on what it may make.

use std::fmt::Display;

use super::{Id, Reader, Value};
use crate::model::ModelError;

/// The most values that are held: a thousand layers with their optimizer's state take a tenth.
const VALUES_MAX: usize = 1 << 19;
/// The most tensors and storages that are held.
const TENSORS_MAX: usize = 1 << 16;
/// The most work: instructions, and items that they copy.
const STEPS_MAX: usize = 1 << 21;

/// Values by id.
pub(super) struct Heap<'a, 'n> {
    reader: Reader<'n>,
    values: Vec<Value<'a>>,
    tensors: usize,
    steps: usize,
    /// Where the instruction that is being executed begins.
    at: usize,
}

impl<'a, 'n> Heap<'a, 'n> {
    pub(super) fn new(reader: Reader<'n>) -> Heap<'a, 'n> {
        Heap { reader, values: Vec::new(), tensors: 0, steps: 0, at: 0 }
    }

    /// Begins the instruction at this byte.
    pub(super) fn begin(&mut self, at: usize) -> Result<(), ModelError> {
        self.at = at;
        self.charge(1)
    }

    /// Counts work against its limit.
    pub(super) fn charge(&mut self, steps: usize) -> Result<(), ModelError> {
        self.steps = self.steps.saturating_add(steps);
        self.check("instructions", STEPS_MAX, self.steps)
    }

    pub(super) fn add(&mut self, value: Value<'a>) -> Result<Id, ModelError> {
        self.tensors += usize::from(matches!(value, Value::Tensor(_) | Value::Storage(_)));
        self.check("tensors", TENSORS_MAX, self.tensors)?;
        self.check("values", VALUES_MAX, self.values.len() + 1)?;
        // Below 2^19, as was just checked.
        let id = Id(self.values.len() as u32);
        self.values.push(value);
        Ok(id)
    }

    fn check(&self, what: &str, limit: usize, got: usize) -> Result<(), ModelError> {
        if got > limit {
            return Err(ModelError::too_large(format!("{what} of the pickle"), limit, got));
        }
        Ok(())
    }

    pub(super) fn get(&self, id: Id) -> &Value<'a> {
        &self.values[id.0 as usize]
    }

    pub(super) fn get_mut(&mut self, id: Id) -> &mut Value<'a> {
        &mut self.values[id.0 as usize]
    }

    pub(super) fn into_values(self) -> Vec<Value<'a>> {
        self.values
    }

    pub(super) fn reader(&self) -> &Reader<'n> {
        &self.reader
    }

    fn here(&self) -> String {
        format!("{} at byte {}", self.reader.source, self.at)
    }

    /// The error of an instruction that finds something else than it needs.
    pub(super) fn malformed(&self, expected: impl Display, got: impl Display) -> ModelError {
        ModelError::malformed(self.reader.format, self.here(), expected, got)
    }

    /// The refusal of something that a pickle may ask for and that is never done.
    pub(super) fn refuse(&self, what: impl Display, reason: impl Display) -> ModelError {
        ModelError::unsupported(self.here(), what, reason)
    }
}
