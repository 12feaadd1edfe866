//! What units for matrices sum, in plain Rust: their definition, which they are compared with when
//! a device is opened, and a stand-in for them in tests.

#![allow(unsafe_code)]

use std::mem::MaybeUninit;

use super::sums::place;
use super::{BlockJob, Blocks, GROUPS, LANES, MultiplyFn, STEP_BYTES};

/// A unit of bytes times signed bytes.
pub(in crate::backend::cpu) const PLAIN_INTS: Blocks = plain([
    [multiply::<Ints, 1, 1>, multiply::<Ints, 1, 2>],
    [multiply::<Ints, 2, 1>, multiply::<Ints, 2, 2>],
]);

/// A unit of pairs of bf16.
pub(in crate::backend::cpu) const PLAIN_PAIRS: Blocks = plain([
    [multiply::<Pairs, 1, 1>, multiply::<Pairs, 1, 2>],
    [multiply::<Pairs, 2, 1>, multiply::<Pairs, 2, 2>],
]);

const fn plain(multiply: [[MultiplyFn; 2]; 2]) -> Blocks {
    Blocks { beside: "+blocks", configure: |_| {}, release: || {}, multiply }
}

/// A group of a row: four bytes, which nobody may have written where no weight counts them.
type Group = MaybeUninit<[u8; 4]>;

/// How a unit adds the groups of a step to a sum.
trait Unit {
    /// The sum, and the products of the groups of a row by those of an output's weights.
    fn add(sum: u32, x: impl Fn(usize) -> Group, weight: impl Fn(usize) -> [u8; 4]) -> u32;
}

struct Ints;

impl Unit for Ints {
    fn add(sum: u32, x: impl Fn(usize) -> Group, weight: impl Fn(usize) -> [u8; 4]) -> u32 {
        (0..GROUPS).fold(sum, |sum, group| {
            let weight = weight(group);
            if weight == [0; 4] {
                return sum;
            }
            // SAFETY: what a weight counts was written.
            let x = unsafe { x(group).assume_init() };
            let products = x.into_iter().zip(weight);
            let products = products.map(|(x, w)| i32::from(x) * i32::from(w.cast_signed()));
            sum.wrapping_add_signed(products.sum())
        })
    }
}

struct Pairs;

impl Unit for Pairs {
    fn add(sum: u32, x: impl Fn(usize) -> Group, weight: impl Fn(usize) -> [u8; 4]) -> u32 {
        // SAFETY: rows of pairs are written in whole steps.
        let x = |group| u32::from_le_bytes(unsafe { x(group).assume_init() });
        let weight = |group| u32::from_le_bytes(weight(group));
        dot_of_pairs(f32::from_bits(sum), (0..GROUPS).map(|group| (x(group), weight(group))))
            .to_bits()
    }
}

/// A sum, and the products of pairs, each the bits of two bf16: first those of the first of each
/// pair, one after the other, and those of the second; then both; then all.
///
/// From Intel's description of TDPBF16PS: every product and sum is rounded once, to the nearest,
/// ties to even, and what is denormal, given or made, is 0.
fn dot_of_pairs(sum: f32, pairs: impl Iterator<Item = (u32, u32)>) -> f32 {
    let (mut first, mut second) = (0.0, 0.0);
    for (x, weight) in pairs {
        let half = |bits: u32| flushed(f32::from_bits(bits & 0xffff_0000));
        first = flushed(half(x << 16).mul_add(half(weight << 16), first));
        second = flushed(half(x).mul_add(half(weight), second));
    }
    flushed(flushed(sum) + flushed(first + second))
}

/// A number, or 0 with its sign where it is denormal.
fn flushed(x: f32) -> f32 {
    if x.is_subnormal() { 0.0_f32.copysign(x) } else { x }
}

/// Multiplies `B` blocks by `P` panels.
///
/// # Safety
/// As [`MultiplyFn`].
unsafe fn multiply<U: Unit, const B: usize, const P: usize>(job: &BlockJob) {
    for block in 0..B {
        for row in 0..job.rows {
            let x = job.x.wrapping_add((block * job.second + row) * job.x_stride);
            let to = job.sums.wrapping_add(place(P, block, row));
            for output in 0..P * LANES {
                // SAFETY: rows, weights and room for sums as the caller promises.
                unsafe {
                    let mut sum = 0;
                    for step in 0..job.steps {
                        let weight = job.weight.add(step * STEP_BYTES * P * LANES);
                        sum = add::<U, P>(sum, x.add(step * STEP_BYTES), weight, output);
                    }
                    if let Some(tail) = job.tail {
                        sum = add::<U, P>(sum, x.add(tail.byte), tail.weight, output);
                    }
                    to.add(output).write(sum);
                }
            }
        }
    }
}

/// Adds a step of one row and one output.
///
/// # Safety
/// The step's bytes of the row and its weights may be read.
unsafe fn add<U: Unit, const P: usize>(
    sum: u32,
    x: *const u8,
    weight: *const u8,
    output: usize,
) -> u32 {
    let (x, weight) = (x.cast::<Group>(), weight.cast::<[u8; 4]>());
    U::add(
        sum,
        // SAFETY: as the caller promises; bytes need no alignment.
        |group| unsafe { x.add(group).read_unaligned() },
        // SAFETY: as above.
        |group| unsafe { weight.add(group * P * LANES + output).read() },
    )
}
