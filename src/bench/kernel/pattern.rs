//! Rows for batches of any size: a few that are distinct, again and again.
//!
//! The oracle scores the few, and every row of every checked batch is held against its own: a prime
//! number of them, so that a row which got the answer of one a tile further is found.

#![allow(unsafe_code)]

use std::ops::Range;
use std::slice;

use super::super::agreement::{Agreement, rows_affordable};
use super::super::compare::ORACLE_PRODUCTS_MAX;
use super::super::images::{self, OwnedRows};
use super::KernelOptions;
use crate::backend::{BackendError, Device, HostMemory, Rows, cpu};
use crate::model::Model;
use crate::plan::{InputType, Plan};

const DISTINCT: usize = 1009;

/// The distinct rows, and what they score.
pub(super) struct Pattern<'a> {
    pub(super) model: &'a Model,
    rows: OwnedRows,
    expected: Vec<f64>,
}

impl<'a> Pattern<'a> {
    pub(super) fn new(model: &'a Model, options: &KernelOptions) -> Pattern<'a> {
        let count = DISTINCT.min(rows_affordable(model, ORACLE_PRODUCTS_MAX));
        let pixels = images::pixels(count, model.inputs(), options.seed);
        let rows = OwnedRows::generated(pixels, options.plan.input, model);
        let expected = cpu::oracle(model, rows.as_rows());
        Pattern { model, rows, expected }
    }

    /// The distinct rows.
    pub(super) fn count(&self) -> usize {
        self.expected.len() / self.model.classes()
    }

    /// Holds the scores of a batch, whose first row has the number `first`, against the oracle's.
    pub(super) fn check(&self, first: usize, scores: &[f32], plan: &Plan) -> Agreement {
        let (classes, tolerance) = (self.model.classes(), plan.precision().tolerance());
        let mut agreement = Agreement::of(&[], &[], classes, tolerance);
        let (mut at, mut rest) = (first % self.count() * classes, scores);
        while !rest.is_empty() {
            let (these, others) = rest.split_at(rest.len().min(self.expected.len() - at));
            let expected = &self.expected[at..at + these.len()];
            agreement = agreement.and(Agreement::of(these, expected, classes, tolerance));
            (at, rest) = (0, others);
        }
        agreement
    }
}

/// Rows in a device's own host memory.
pub(super) struct Block {
    memory: HostMemory,
    input: InputType,
    row_bytes: usize,
}

impl Block {
    /// So many rows of the pattern.
    pub(super) fn new(
        device: &dyn Device,
        pattern: &Pattern<'_>,
        count: usize,
    ) -> Result<Block, BackendError> {
        let rows = pattern.rows.as_rows();
        let row_bytes = pattern.model.inputs() * rows.input().bytes();
        let memory = device.alloc_host(count * row_bytes)?;
        // SAFETY: the memory is so long, was zero at first, and is known to nobody else yet.
        let content = unsafe { slice::from_raw_parts_mut(memory.as_ptr(), memory.len()) };
        for part in content.chunks_mut(rows.bytes().len()) {
            part.copy_from_slice(&rows.bytes()[..part.len()]);
        }
        Ok(Block { memory, input: rows.input(), row_bytes })
    }

    /// The number of rows.
    pub(super) fn count(&self) -> usize {
        self.memory.len() / self.row_bytes
    }

    /// The rows of these numbers.
    pub(super) fn rows(&self, numbers: Range<usize>) -> Rows<'_> {
        // SAFETY: the memory is so long, and nobody writes to it any more.
        let content = unsafe { slice::from_raw_parts(self.memory.as_ptr(), self.memory.len()) };
        let bytes = numbers.start * self.row_bytes..numbers.end * self.row_bytes;
        // It begins on a page, and rows are whole numbers of values.
        Rows::of_bytes(self.input, &content[bytes])
    }
}
