//! Rows of f32 to rows of bytes, each measured by itself.
//!
//! A byte `q` of a row stands for `(q - zero) * step`, where the row's step is a 255th of the way
//! from its least value to its largest, 0 among them, and its zero a whole number, so that 0 is
//! exact. A row's bytes follow from the row alone, whatever batch it is in.
//!
//! A row with a value that is no finite number has no step: NaN stands in for it, which every
//! output of that row becomes, and no other row's.

#![allow(unsafe_code)]

use super::dot::{Dot, LANES};
use crate::backend::cpu::simd::Kernel;

/// Vectors looked at at once: enough to hide how long a comparison takes.
const AT_ONCE: usize = 4;
/// How far ahead of what is read memory is asked for.
const AHEAD_BYTES: usize = 4096;

/// What the bytes of rows stand for.
#[derive(Clone, Copy, Debug)]
pub(in crate::backend::cpu) struct Measured<S, Z> {
    /// Each row's step.
    pub(in crate::backend::cpu) steps: S,
    /// The byte of each row that stands for 0.
    pub(in crate::backend::cpu) zeros: Z,
    /// From one row's to the next: 1, or 0 where all rows have the same.
    pub(in crate::backend::cpu) step: usize,
}

impl Measured<*const f32, *const i32> {
    /// The same behind so many rows.
    pub(in crate::backend::cpu) fn after(self, rows: usize) -> Self {
        let Measured { steps, zeros, step } = self;
        let by = rows * step;
        Measured { steps: steps.wrapping_add(by), zeros: zeros.wrapping_add(by), step }
    }
}

/// Where to write what the bytes of rows stand for.
pub(in crate::backend::cpu) type Measures = Measured<*mut f32, *mut i32>;

impl Measures {
    /// The same, to read, from row `index` on.
    pub(in crate::backend::cpu) fn row(self, index: usize) -> Measured<*const f32, *const i32> {
        let Measured { steps, zeros, step } = self;
        Measured { steps: steps.cast_const(), zeros: zeros.cast_const(), step }.after(index)
    }
}

/// Rows of f32 to turn into bytes.
#[derive(Debug)]
pub(in crate::backend::cpu) struct MeasureJob {
    /// The first row.
    pub(in crate::backend::cpu) values: *const f32,
    /// Values from one row to the next.
    pub(in crate::backend::cpu) stride: usize,
    /// Values of a row.
    pub(in crate::backend::cpu) width: usize,
    /// The number of rows.
    pub(in crate::backend::cpu) rows: usize,
    /// Whether no value is below 0.
    pub(in crate::backend::cpu) positive: bool,
    /// The first row's bytes.
    pub(in crate::backend::cpu) bytes: *mut u8,
    /// Bytes from one row to the next.
    pub(in crate::backend::cpu) bytes_stride: usize,
    /// What the bytes stand for.
    pub(in crate::backend::cpu) measures: Measures,
}

/// Reads `rows` rows of `width` values; writes as many rows of bytes, each rounded up to whole
/// [`LANES`], and what they stand for.
#[derive(Debug)]
pub(super) struct Measure;

impl<D: Dot> Kernel<D> for Measure {
    type Job = MeasureJob;

    #[inline(always)]
    unsafe fn run(dot: D, job: &MeasureJob) {
        for row in 0..job.rows {
            // SAFETY: the caller promises `rows` rows at either place.
            unsafe {
                let values = job.values.add(row * job.stride);
                let scale = Scale::of(range(dot, values, job.width, job.positive));
                let at = row * job.measures.step;
                *job.measures.steps.add(at) = scale.step;
                *job.measures.zeros.add(at) = scale.zero;
                write(dot, values, job.width, &scale, job.bytes.add(row * job.bytes_stride));
            }
        }
    }
}

/// The least and the largest value of a row, 0 among them; NaN where a value is.
///
/// # Safety
/// `width` values may be read.
#[inline(always)]
unsafe fn range<D: Dot>(dot: D, values: *const f32, width: usize, positive: bool) -> [f32; 2] {
    let mut range = Range::new(dot, positive);
    let whole = width / LANES * LANES;
    let blocks = width / (AT_ONCE * LANES) * (AT_ONCE * LANES);
    // SAFETY: the caller promises `width` values.
    unsafe {
        for start in (0..blocks).step_by(AT_ONCE * LANES) {
            for at in 0..AT_ONCE {
                let value = values.add(start + at * LANES);
                dot.prefetch(value.cast::<u8>().wrapping_add(AHEAD_BYTES));
                range.take(at, dot.load(value));
            }
        }
        for start in (blocks..whole).step_by(LANES) {
            range.take(0, dot.load(values.add(start)));
        }
        if whole < width {
            range.take(0, dot.load_some(values.add(whole), width - whole));
        }
    }
    range.ends()
}

/// The range of the values so far. Not a closure: only what is sure to be inlined is compiled for
/// the instruction set.
struct Range<D: Dot> {
    dot: D,
    positive: bool,
    low: [D::V; AT_ONCE],
    high: [D::V; AT_ONCE],
    is_nan: bool,
}

impl<D: Dot> Range<D> {
    #[inline(always)]
    fn new(dot: D, positive: bool) -> Range<D> {
        let zero = dot.splat(0.0);
        Range { dot, positive, low: [zero; AT_ONCE], high: [zero; AT_ONCE], is_nan: false }
    }

    #[inline(always)]
    fn take(&mut self, at: usize, value: D::V) {
        self.is_nan |= self.dot.is_nan(value, value);
        self.high[at] = self.dot.max(value, self.high[at]);
        if !self.positive {
            self.low[at] = self.dot.min(value, self.low[at]);
        }
    }

    /// The least value and the largest; NaN where a value was.
    #[inline(always)]
    fn ends(self) -> [f32; 2] {
        if self.is_nan {
            return [f32::NAN; 2];
        }
        let (mut low, mut high) = (self.low[0], self.high[0]);
        for at in 1..AT_ONCE {
            low = self.dot.min(self.low[at], low);
            high = self.dot.max(self.high[at], high);
        }
        [if self.positive { 0.0 } else { self.dot.least(low) }, self.dot.largest(high)]
    }
}

/// How a row becomes bytes.
struct Scale {
    step: f32,
    inverse: f32,
    zero: i32,
}

impl Scale {
    #[inline(always)]
    fn of([low, high]: [f32; 2]) -> Scale {
        const SHARE: f32 = 1.0 / 255.0;
        const SMALL: f32 = 1e-30;
        // The range itself may be past the largest f32.
        let step = high * SHARE - low * SHARE;
        if !step.is_finite() {
            return Scale { step: f32::NAN, inverse: 0.0, zero: 0 };
        }
        let step = match step < SMALL {
            // Shares may have counted as 0 for being subnormal, the range itself does not.
            true => ((high - low) * SHARE).max(f32::MIN_POSITIVE),
            false => step,
        };
        let inverse = 1.0 / step;
        Scale { step, inverse, zero: (-low * inverse).round_ties_even() as i32 }
    }
}

/// Writes a row's bytes.
///
/// # Safety
/// `width` values may be read, and as many bytes written, rounded up to whole [`LANES`].
#[inline(always)]
unsafe fn write<D: Dot>(dot: D, values: *const f32, width: usize, scale: &Scale, to: *mut u8) {
    let (inverse, zero) = (dot.splat(scale.inverse), dot.splat_i(scale.zero));
    let whole = width / LANES * LANES;
    // SAFETY: as the caller promises.
    unsafe {
        for at in (0..whole).step_by(LANES) {
            dot.store_bytes(to.add(at), dot.mul(dot.load(values.add(at)), inverse), zero);
        }
        if whole < width {
            let rest = dot.load_some(values.add(whole), width - whole);
            dot.store_bytes(to.add(whole), dot.mul(rest, inverse), zero);
        }
    }
}
