//! The kernels of one instruction set behind plain function pointers, chosen once.

#![allow(unsafe_code)]

use super::blocks::{self, Blocks};
use super::dots::Dots;
use super::pairs::{PairDot, Round, RoundJob};
use super::passes::{Activate, ActivateJob, ApplyHead, HeadJob, Widen, WidenJob};
use super::probes::{MultiplyAdd, MultiplyAddJob, ReadJob, ReadMemory};
use super::simd::Simd;
use super::tile::{self, FindTile, Finish, FinishJob};
use crate::plan::Precision;

/// What rounds numbers to pairs of bf16.
pub(super) type RoundFn = unsafe fn(&RoundJob);

/// The kernels of one instruction set, which the processor was seen to have.
///
/// All of them are unsafe to call for one reason only: the memory their job points to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kernels {
    /// Values in a vector, which is also the number of outputs in a panel.
    pub(super) lanes: usize,
    /// The most rows of a register tile.
    pub(super) rows: usize,
    /// The most panels of a register tile, whose weights lie side by side.
    pub(super) panels: usize,
    /// Vectors a register tile may sum in.
    pub(super) sums: usize,
    /// Finds a register tile.
    pub(super) tile: FindTile,
    /// Rounds numbers to pairs of bf16, where there are tiles of such.
    round: Option<RoundFn>,
    /// What multiplies blocks of such pairs.
    blocks: Option<Blocks>,
    /// Turns sums in memory into outputs.
    pub(super) finish: unsafe fn(&FinishJob),
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
            panels: S::PANELS,
            sums: S::SUMS,
            tile: tile::tile::<S>,
            round: None,
            blocks: None,
            finish: S::enter::<Finish>,
            activate: S::enter::<Activate>,
            widen: S::enter::<Widen>,
            head: S::enter::<ApplyHead>,
            multiply_add: S::enter::<MultiplyAdd>,
            read_memory: S::enter::<ReadMemory>,
            dots,
        }
    }

    /// The same with the pairs of bf16 of `D`, which is the level of `S` and more; the caller has
    /// seen that the processor has those instructions, too.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))] // No other has pairs so far.
    pub(super) fn with_pairs<S: Simd, D: PairDot>(self) -> Kernels {
        const { assert!(S::LANES == D::LANES && S::SUMS == D::SUMS && S::ROWS == D::ROWS) };
        const { assert!(S::PANELS == D::PANELS) };
        Kernels { tile: tile::tile_or_pairs::<S, D>, round: Some(D::enter::<Round>), ..self }
    }

    /// The same with a unit that multiplies blocks of pairs, for a level that makes such.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))] // No other has one so far.
    pub(super) fn with_blocks(self, unit: Option<Blocks>) -> Kernels {
        let fits = self.lanes == blocks::LANES && self.round.is_some();
        Kernels { blocks: unit.filter(|_| fits), ..self }
    }

    /// What the processor multiplies beside f32, as the level's name goes on.
    pub(super) fn beside(&self) -> String {
        let pairs = if self.round.is_some() { "+bf16" } else { "" };
        let units = [self.dots.blocks, self.blocks].map(|unit| unit.map_or("", |unit| unit.beside));
        format!("{}{pairs}{}", self.dots.beside, units.concat())
    }

    /// What multiplies blocks of pairs, for plans that are computed so.
    pub(super) fn blocks_for(&self, precision: Precision) -> Option<Blocks> {
        self.blocks.filter(|_| precision == Precision::Bf16)
    }

    /// What rounds the rows that a layer reads to pairs, for plans that are computed so.
    pub(super) fn round_for(&self, precision: Precision) -> Option<RoundFn> {
        self.round.filter(|_| precision == Precision::Bf16)
    }
}
