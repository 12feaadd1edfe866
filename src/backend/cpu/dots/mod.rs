//! Kernels of whole numbers: rows of bytes times weights of signed bytes, summed exactly, and the
//! pass that makes rows of bytes.
//!
//! Every algorithm is written once over [`Dot`], 16 outputs at once. Sums are exact, and what
//! follows them rounds each step by itself, so that rows of one model have the same bits whichever
//! processor computes them, as far as the layers' activations are clamps.

mod dot;
mod exact;
mod finish;
mod measure;
mod plain;
mod tile;

pub(super) use dot::{Dot, LANES, Outputs};
pub(super) use exact::ExactJob;
pub(super) use finish::{Epilogue, FinishJob};
pub(super) use measure::{MeasureJob, Measured, Measures};
pub(super) use tile::{DotJob, DotTileFn};

use super::blocks::Blocks;
use super::portable::Portable;
use exact::Exact;
use finish::Finish;
use measure::Measure;

/// The kernels of one instruction set, which the processor was seen to have.
///
/// All of them are unsafe to call for one reason only: the memory their job points to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dots {
    /// See [`Dot::BESIDE`].
    pub(super) beside: &'static str,
    /// The most rows of a register tile.
    pub(super) rows: usize,
    /// Sums of [`LANES`] outputs that a register tile may keep.
    pub(super) sums: usize,
    /// The register tile of so many rows, panels and chunks.
    pub(super) tile: fn(usize, usize, usize) -> DotTileFn,
    /// Turns sums of one panel, or of two, into outputs.
    pub(super) finish: [unsafe fn(&FinishJob); 2],
    /// Adds inputs whose weights are f32.
    pub(super) exact: unsafe fn(&ExactJob),
    /// Turns rows of f32 into rows of bytes.
    pub(super) measure: unsafe fn(&MeasureJob),
    /// What multiplies blocks of bytes, for batches of more rows than a register tile.
    pub(super) blocks: Option<Blocks>,
}

impl Dots {
    /// The kernels of `D`; the caller has seen that the processor has its instructions.
    pub(super) fn new<D: Dot>() -> Dots {
        const { assert!(D::LANES == LANES) };
        Dots {
            beside: D::BESIDE,
            rows: D::DOT_ROWS,
            sums: D::DOT_SUMS,
            tile: tile::tile::<D>,
            finish: [D::enter::<Finish<1>>, D::enter::<Finish<2>>],
            exact: D::enter::<Exact>,
            measure: D::enter::<Measure>,
            blocks: None,
        }
    }

    /// The same with a unit that multiplies blocks of bytes.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))] // No other has one so far.
    pub(super) fn with_blocks(self, blocks: Option<Blocks>) -> Dots {
        Dots { blocks, ..self }
    }

    /// Those of any processor.
    pub(super) fn plain() -> Dots {
        Dots::new::<Portable<LANES>>()
    }
}
