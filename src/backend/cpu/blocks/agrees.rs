//! Whether a unit sums what it should: asked once, when a device is opened, because a unit that is
//! emulated, or not saved between threads, would answer as quickly and wrongly.

#![allow(unsafe_code)]

use super::plain::{PLAIN_INTS, PLAIN_PAIRS};
use super::{BlockJob, Blocks, LANES, ROWS, STEP_BYTES, Sums, Tail};
use crate::backend::cpu::mode::KernelMode;

/// Bytes from row to row: a step, part of another, and something between rows.
const STRIDE: usize = STEP_BYTES + 44;
/// Where the tail begins: it takes some bytes again.
const TAIL: usize = 36;
/// Rows of two blocks, and what a step may read behind the last.
const BYTES: usize = 2 * ROWS * STRIDE + STEP_BYTES;
/// Weights of two panels: a step, and the tail.
const WEIGHTS: usize = 2 * STEP_BYTES * 2 * LANES;
/// How far sums of pairs may be apart that were rounded in another order: of 64 products, each less
/// than 1.
const TOLERANCE: f32 = 1e-4;

/// Whether a unit of bytes gives the very sums of the plain one.
pub(in crate::backend::cpu) fn in_ints(unit: &Blocks) -> bool {
    agrees([unit, &PLAIN_INTS], |random| random, |sum, plain| sum == plain)
}

/// Whether a unit of pairs gives sums as near those of the plain one as roundings allow.
pub(in crate::backend::cpu) fn in_pairs(unit: &Blocks) -> bool {
    // Of either sign, from a quarter to not quite 1.
    let pairs = |random| random & 0x80ff_80ff | 0x3e80_3e80;
    let near = |sum, plain| (f32::from_bits(sum) - f32::from_bits(plain)).abs() < TOLERANCE;
    agrees([unit, &PLAIN_PAIRS], pairs, near)
}

/// Compares two units at every shape that there is a kernel of, with blocks of all rows and of few.
fn agrees(
    units: [&Blocks; 2],
    group: impl Fn(u32) -> u32,
    same: impl Fn(u32, u32) -> bool,
) -> bool {
    let _mode = KernelMode::enter();
    let mut state = 1;
    let mut groups =
        |bytes: usize| -> Vec<u32> { (0..bytes / 4).map(|_| group(next(&mut state))).collect() };
    let (x, weights) = (groups(BYTES), groups(WEIGHTS));
    [(ROWS, 1, 2, 0), (ROWS, 2, 2, 1), (5, 1, 1, 1), (7, 2, 1, 1)].into_iter().all(
        |(rows, blocks, panels, steps)| {
            let sums = units.map(|unit| sums_of(unit, rows, blocks, panels, steps, &x, &weights));
            let [sums, plain] = &sums;
            sums.iter().zip(plain).all(|(sum, plain)| same(*sum, *plain))
        },
    )
}

/// What a unit sums, row after row.
fn sums_of(
    unit: &Blocks,
    rows: usize,
    blocks: usize,
    panels: usize,
    steps: usize,
    x: &[u32],
    weights: &[u32],
) -> Vec<u32> {
    let mut sums = Sums::new();
    let weight = weights.as_ptr().cast::<u8>();
    let job = BlockJob {
        rows,
        x: x.as_ptr().cast(),
        x_stride: STRIDE,
        second: rows - 2,
        steps,
        weight,
        tail: Some(Tail { byte: TAIL, weight: weight.wrapping_add(STEP_BYTES * panels * LANES) }),
        ahead: x.as_ptr().cast(),
        ahead_lines: 1,
        sums: sums.start(),
    };
    let width = panels * LANES;
    // SAFETY: two blocks of rows and two panels' weights of two steps are there; what is read of
    // the sums was written.
    unsafe {
        unit.configure(rows).multiply(blocks, panels, &job);
        let row = |block, row| std::slice::from_raw_parts(sums.row(panels, block, row), width);
        let all = (0..blocks).flat_map(|block| (0..rows).map(move |row| (block, row)));
        all.flat_map(|(at, index)| row(at, index).iter().copied()).collect()
    }
}

/// The next number of a sequence that looks random (xorshift).
fn next(state: &mut u32) -> u32 {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    *state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_agree_with_themselves_only() {
        assert!(in_ints(&PLAIN_INTS) && in_pairs(&PLAIN_PAIRS));
        assert!(!in_ints(&PLAIN_PAIRS) && !in_pairs(&PLAIN_INTS));
        // Every kernel is looked at.
        for (block, panel) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let (mut ints, mut pairs) = (PLAIN_INTS, PLAIN_PAIRS);
            ints.multiply[block][panel] = PLAIN_PAIRS.multiply[block][panel];
            pairs.multiply[block][panel] = PLAIN_INTS.multiply[block][panel];
            assert!(!in_ints(&ints) && !in_pairs(&pairs), "{block} {panel}");
        }
    }
}
