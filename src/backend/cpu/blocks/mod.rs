//! Products of blocks: what a unit for matrices multiplies at once, 16 rows of 64 bytes by as many
//! bytes of weights for each of 16 outputs.
//!
//! Bytes are of whole numbers or of pairs of bf16, four to a group either way, so that the same
//! walk over rows and panels serves both. What such a unit sums goes to memory, and is made outputs
//! of by the vector instructions that the processor has beside it.
//!
//! A unit is configured for the rows of its blocks before it multiplies, and released afterwards,
//! so that a switch to another thread has nothing of it to save: [`Configured`].

#![allow(unsafe_code)]

#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))] // No other has a unit so far.
pub(super) mod agrees;
mod plain;
mod sums;
mod walk;

#[cfg(test)]
pub(super) use plain::{PLAIN_INTS, PLAIN_PAIRS};
pub(super) use sums::Sums;
pub(super) use walk::{Step, Walk};

use std::marker::PhantomData;

/// The most rows of a block.
pub(super) const ROWS: usize = 16;
/// Groups of four bytes that a step takes of each row.
pub(super) const GROUPS: usize = 16;
/// Bytes that a step takes of each row.
pub(super) const STEP_BYTES: usize = 4 * GROUPS;
/// Outputs of a panel.
pub(super) const LANES: usize = 16;

/// What one call multiplies: one or two blocks of rows by one or two panels.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockJob {
    /// Rows of a block: as many as the unit was configured for.
    pub(super) rows: usize,
    /// The first row of the first block.
    pub(super) x: *const u8,
    /// Bytes from one row to the next.
    pub(super) x_stride: usize,
    /// Rows from the first block's first to the second's.
    pub(super) second: usize,
    /// Whole steps.
    pub(super) steps: usize,
    /// Their weights, `[step][group][panel][lane][byte]`.
    pub(super) weight: *const u8,
    /// One more step.
    pub(super) tail: Option<Tail>,
    /// What to bring near meanwhile.
    pub(super) ahead: *const u8,
    /// Cache lines of that a step.
    pub(super) ahead_lines: usize,
    /// Where sums of 32 bits go, `[block][row][panel][lane]`, with room for [`ROWS`] rows a block.
    pub(super) sums: *mut u32,
}

/// What is left of rows that are no whole steps: a step of its own, which may take bytes again that
/// others took, or that are behind a row's end, times weights of 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tail {
    /// Where it begins in each row.
    pub(super) byte: usize,
    /// Its weights, `[group][panel][lane][byte]`.
    pub(super) weight: *const u8,
}

/// Multiplies blocks.
///
/// Reads `STEP_BYTES` of each row a step, whole steps of weights, and as much for the tail; writes
/// the sums.
pub(super) type MultiplyFn = unsafe fn(&BlockJob);

/// A unit that multiplies blocks, which the processor was seen to have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blocks {
    /// What the level's name does not tell of the processor, behind a plus.
    pub(super) beside: &'static str,
    /// Makes the unit ready for blocks of so many rows, on this thread.
    pub(super) configure: unsafe fn(usize),
    /// Makes the unit idle again.
    pub(super) release: unsafe fn(),
    /// Multiplies one or two blocks (the first index, from 0) by one or two panels.
    pub(super) multiply: [[MultiplyFn; 2]; 2],
}

impl Blocks {
    /// Makes the unit ready for a batch of at least one row.
    pub(super) fn configure(&self, batch: usize) -> Configured<'_> {
        let rows = batch.min(ROWS);
        // SAFETY: the processor was seen to have the unit; from 1 to 16 rows.
        unsafe { (self.configure)(rows) };
        Configured { blocks: self, rows, _of_this_thread: PhantomData }
    }
}

/// A unit ready to multiply, until this is dropped.
#[derive(Debug)]
pub(super) struct Configured<'a> {
    blocks: &'a Blocks,
    rows: usize,
    _of_this_thread: PhantomData<*const ()>,
}

impl Configured<'_> {
    /// How rows split into blocks.
    pub(super) fn walk(&self, rows: usize) -> Walk {
        Walk::new(rows, self.rows)
    }

    /// Rows of a block.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Multiplies so many blocks by so many panels, one or two of either.
    ///
    /// # Safety
    /// All that [`MultiplyFn`] reads and writes is there.
    pub(super) unsafe fn multiply(&self, blocks: usize, panels: usize, job: &BlockJob) {
        debug_assert_eq!(job.rows, self.rows);
        // SAFETY: the caller's promise; the unit is configured for as many rows.
        unsafe { (self.blocks.multiply[blocks - 1][panels - 1])(job) }
    }
}

impl Drop for Configured<'_> {
    fn drop(&mut self) {
        // SAFETY: it was configured on this thread.
        unsafe { (self.blocks.release)() }
    }
}

/// Tiles of rows are a multiple of this, so that every tile of a batch has a block's rows: where a
/// batch is more than a tile, the least of its tiles is at least half of one.
pub(super) const TILE_ROWS: usize = 2 * ROWS;
