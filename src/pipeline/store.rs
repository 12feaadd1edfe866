//! The rows' values and scores, under the ring's row numbers: one block each, so that a batch of
//! neighbouring rows is one span, which a device reads where it lies.

#![allow(unsafe_code)]

use std::ops::Range;
use std::slice;

use super::super::backend::{BackendError, Device, HostMemory, Rows};
use super::super::plan::{InputType, Plan};

/// Values and scores of every row of a ring.
#[derive(Debug)]
pub(crate) struct Store {
    values: HostMemory,
    scores: HostMemory,
    shape: Shape,
}

/// A row between its claim and its commit, as its producer holds it. Borrowing it is borrowing the
/// row's values, shared or mutably, so that the compiler checks who reads and who writes them.
#[derive(Debug)]
pub(crate) struct Claimed(u32);

impl Claimed {
    /// A row that was claimed.
    ///
    /// # Safety
    /// The caller claimed the row in the ring whose values [`Store`] keeps, touches its values
    /// through this alone, and drops it or never uses it again once the row is committed or
    /// discarded.
    pub(crate) unsafe fn new(row: u32) -> Claimed {
        Claimed(row)
    }

    /// The row's number.
    pub(crate) fn row(&self) -> u32 {
        self.0
    }
}

/// What a row is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// The type of its values.
    pub(crate) input: InputType,
    /// Its values.
    pub(crate) inputs: usize,
    /// Its scores.
    pub(crate) classes: usize,
}

impl Shape {
    /// What `plan` takes and gives.
    pub(crate) fn of(plan: &Plan) -> Shape {
        Shape { input: plan.input(), inputs: plan.inputs(), classes: plan.classes() }
    }

    /// Bytes of its values.
    pub(crate) fn row_bytes(&self) -> usize {
        self.inputs * self.input.bytes()
    }
}

impl Store {
    /// Room for so many rows, their values where the device would have them.
    pub(crate) fn new(
        device: &dyn Device,
        shape: Shape,
        rows: usize,
    ) -> Result<Store, BackendError> {
        // More bytes than there are numbers for are more than there is memory for.
        let values = device.alloc_host(rows.saturating_mul(shape.row_bytes()))?;
        let scores = HostMemory::new(rows.saturating_mul(shape.classes * size_of::<f32>()));
        let scores = scores.ok_or_else(|| BackendError::OutOfMemory {
            device: device.info().name.clone(),
            message: format!("no room for the scores of {rows} rows; take a smaller capacity"),
        })?;
        Ok(Store { values, scores, shape })
    }

    /// What a row is made of.
    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    /// The bytes of a row's values, to read.
    pub(crate) fn values<'a>(&'a self, claimed: &'a Claimed) -> &'a [u8] {
        let row = claimed.row();
        let (start, len) = self.span(&(row..row + 1), self.shape.row_bytes());
        // SAFETY: within the block; nothing but `claimed` leads to the values of a claimed row, and
        // as long as it is borrowed nothing writes to them.
        unsafe { slice::from_raw_parts(self.values.as_ptr().add(start), len) }
    }

    /// The bytes of a row's values, to write.
    pub(crate) fn values_mut<'a>(&'a self, claimed: &'a mut Claimed) -> &'a mut [u8] {
        let row = claimed.row();
        let (start, len) = self.span(&(row..row + 1), self.shape.row_bytes());
        // SAFETY: within the block; nothing but `claimed` leads to the values of a claimed row, and
        // it is borrowed mutably.
        unsafe { slice::from_raw_parts_mut(self.values.as_ptr().add(start), len) }
    }

    /// Neighbouring rows, to run.
    ///
    /// # Safety
    /// The caller holds all of them, taken and not answered, for as long as it reads them.
    pub(crate) unsafe fn rows(&self, rows: Range<u32>) -> Rows<'_> {
        let (start, len) = self.span(&rows, self.shape.row_bytes());
        // SAFETY: within the block, which was zero at first; nobody writes to taken rows.
        let bytes = unsafe { slice::from_raw_parts(self.values.as_ptr().add(start), len) };
        // The block begins on a page, and rows are whole numbers of values.
        Rows::of_bytes(self.shape.input, bytes)
    }

    /// The scores of a row, to write.
    ///
    /// # Safety
    /// The caller holds the row, taken and not answered, and has one such slice at a time.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn scores_mut(&self, row: u32) -> &mut [f32] {
        let (start, len) = self.span(&(row..row + 1), self.shape.classes * size_of::<f32>());
        // SAFETY: within the block; the answerer is the only one to touch the row's scores.
        let bytes = unsafe { slice::from_raw_parts_mut(self.scores.as_ptr().add(start), len) };
        bytemuck::cast_slice_mut(bytes)
    }

    /// The scores of a row, to read.
    ///
    /// # Safety
    /// The caller is the ticket of a completed request that the row belongs to.
    pub(crate) unsafe fn scores(&self, row: u32) -> &[f32] {
        let (start, len) = self.span(&(row..row + 1), self.shape.classes * size_of::<f32>());
        // SAFETY: within the block; the request is complete, so nobody writes its scores.
        let bytes = unsafe { slice::from_raw_parts(self.scores.as_ptr().add(start), len) };
        bytemuck::cast_slice(bytes)
    }

    fn span(&self, rows: &Range<u32>, row_bytes: usize) -> (usize, usize) {
        (rows.start as usize * row_bytes, (rows.end - rows.start) as usize * row_bytes)
    }
}
