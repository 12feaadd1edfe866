//! The kernels of one instruction set behind plain function pointers, chosen once.

#![allow(unsafe_code)]

use super::dots::Dots;
use super::passes::{Activate, ActivateJob, ApplyHead, HeadJob, Widen, WidenJob};
use super::probes::{MultiplyAdd, MultiplyAddJob, ReadJob, ReadMemory};
use super::simd::Simd;
use super::tile::{self, TileFn};
use crate::plan::Precision;

/// The kernels of one instruction set, which the processor was seen to have.
///
/// All of them are unsafe to call for one reason only: the memory their job points to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kernels {
    /// Values in a vector, which is also the number of outputs in a panel.
    pub(super) lanes: usize,
    /// The most rows of a register tile.
    pub(super) rows: usize,
    /// Vectors a register tile may sum in.
    pub(super) sums: usize,
    /// The register tile of so many rows, panels and chunks, of weights stored so.
    pub(super) tile: fn(usize, usize, usize, Precision) -> TileFn,
    /// Puts rows through an activation.
    pub(super) activate: unsafe fn(&ActivateJob),
    /// Turns narrow numbers into f32.
    pub(super) widen: unsafe fn(&WidenJob),
    /// Turns outputs into scores.
    pub(super) head: unsafe fn(&HeadJob),
    /// Multiplies and adds in registers, for its time.
    pub(super) multiply_add: unsafe fn(&MultiplyAddJob),
    /// Reads memory, for its time.
    pub(super) read_memory: unsafe fn(&ReadJob),
    /// Those of whole numbers.
    pub(super) dots: Dots,
}

impl Kernels {
    /// The kernels of `S`; the caller has seen that the processor has its instructions.
    pub(super) fn new<S: Simd>(dots: Dots) -> Kernels {
        Kernels {
            lanes: S::LANES,
            rows: S::ROWS,
            sums: S::SUMS,
            tile: tile::tile::<S>,
            activate: S::enter::<Activate>,
            widen: S::enter::<Widen>,
            head: S::enter::<ApplyHead>,
            multiply_add: S::enter::<MultiplyAdd>,
            read_memory: S::enter::<ReadMemory>,
            dots,
        }
    }
}
