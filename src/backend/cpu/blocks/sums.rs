//! Room for the sums of two blocks.

#![allow(unsafe_code)]

use std::mem::MaybeUninit;

use super::{LANES, ROWS};

/// Sums of two blocks and two panels: `[block][row][panel][lane]`, on cache lines.
#[derive(Debug)]
#[repr(align(64))]
pub(in crate::backend::cpu) struct Sums([MaybeUninit<u32>; 4 * ROWS * LANES]);

impl Sums {
    /// Room that nothing was written to.
    pub(in crate::backend::cpu) fn new() -> Sums {
        Sums([MaybeUninit::uninit(); 4 * ROWS * LANES])
    }

    /// The first sum.
    pub(in crate::backend::cpu) fn start(&mut self) -> *mut u32 {
        self.0.as_mut_ptr().cast()
    }

    /// The first sum of a row of a block, where sums are of so many panels.
    pub(in crate::backend::cpu) fn row(
        &self,
        panels: usize,
        block: usize,
        row: usize,
    ) -> *const u32 {
        self.0.as_ptr().wrapping_add(place(panels, block, row)).cast()
    }
}

/// Where the sums of a row of a block lie.
pub(super) fn place(panels: usize, block: usize, row: usize) -> usize {
    (block * ROWS + row) * panels * LANES
}
