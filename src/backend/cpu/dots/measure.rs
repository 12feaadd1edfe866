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

/// Rows whose steps are worth computing together: with fewer, each by itself is quicker.
const TOGETHER_MIN: usize = 4;

/// Reads `rows` rows of `width` values; writes as many rows of bytes, each rounded up to whole
/// [`LANES`], and what they stand for.
///
/// Up to [`LANES`] rows are measured together: their largest values become one vector, and so do
/// their steps, with one division for all.
#[derive(Debug)]
pub(super) struct Measure;

impl<D: Dot> Kernel<D> for Measure {
    type Job = MeasureJob;

    #[inline(always)]
    unsafe fn run(dot: D, job: &MeasureJob) {
        for first in (0..job.rows).step_by(LANES) {
            let rows = (job.rows - first).min(LANES);
            // SAFETY: the caller promises `rows` rows at either place.
            unsafe {
                if rows < TOGETHER_MIN {
                    for row in first..first + rows {
                        measure_one(dot, job, row);
                    }
                } else {
                    measure_together(dot, job, first, rows);
                }
            }
        }
    }
}

/// Measures a row.
///
/// # Safety
/// The job has the row.
#[inline(always)]
unsafe fn measure_one<D: Dot>(dot: D, job: &MeasureJob, row: usize) {
    // SAFETY: the caller promises the row at either place.
    unsafe {
        let values = job.values.add(row * job.stride);
        let scale = Scale::of(range(dot, values, job.width, job.positive).ends());
        let at = row * job.measures.step;
        *job.measures.steps.add(at) = scale.step;
        *job.measures.zeros.add(at) = scale.zero;
        write(dot, values, job.width, &scale, job.bytes.add(row * job.bytes_stride));
    }
}

/// Measures `rows` rows from `first` on, at most [`LANES`]: as [`measure_one`], to the last bit.
///
/// # Safety
/// The job has the rows.
#[inline(always)]
unsafe fn measure_together<D: Dot>(dot: D, job: &MeasureJob, first: usize, rows: usize) {
    let zero = dot.splat(0.0);
    let (mut low, mut high) = ([zero; LANES], [zero; LANES]);
    let mut spoilt = [0.0; LANES];
    for row in 0..rows {
        // SAFETY: the caller promises the row.
        let values = unsafe { job.values.add((first + row) * job.stride) };
        // SAFETY: as above.
        let range = unsafe { range(dot, values, job.width, job.positive) };
        [low[row], high[row]] = range.vectors();
        spoilt[row] = if range.is_nan { f32::NAN } else { 0.0 };
    }
    // The least of numbers is the largest of those from below, turned around.
    for low in &mut low {
        *low = dot.sub(zero, *low);
    }
    let low = if job.positive { zero } else { dot.largest_of_each(&low) };
    // SAFETY: the array holds one vector.
    let high = dot.add(dot.largest_of_each(&high), unsafe { dot.load(spoilt.as_ptr()) });
    let scales = Scales::of(dot, dot.sub(zero, low), high);
    for row in 0..rows {
        let scale = scales.of_row(row);
        // SAFETY: the caller promises the row at either place.
        unsafe {
            let at = (first + row) * job.measures.step;
            *job.measures.steps.add(at) = scale.step;
            *job.measures.zeros.add(at) = scale.zero;
            let values = job.values.add((first + row) * job.stride);
            let bytes = job.bytes.add((first + row) * job.bytes_stride);
            write(dot, values, job.width, &scale, bytes);
        }
    }
}

/// The range of a row's values, 0 among them.
///
/// # Safety
/// `width` values may be read.
#[inline(always)]
unsafe fn range<D: Dot>(dot: D, values: *const f32, width: usize, positive: bool) -> Range<D> {
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
    range
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

    /// A vector whose least lane is the least value, and one whose largest is the largest.
    #[inline(always)]
    fn vectors(&self) -> [D::V; 2] {
        let (mut low, mut high) = (self.low[0], self.high[0]);
        for at in 1..AT_ONCE {
            low = self.dot.min(self.low[at], low);
            high = self.dot.max(self.high[at], high);
        }
        [low, high]
    }

    /// The least value and the largest; NaN where a value was.
    #[inline(always)]
    fn ends(self) -> [f32; 2] {
        if self.is_nan {
            return [f32::NAN; 2];
        }
        let [low, high] = self.vectors();
        [if self.positive { 0.0 } else { self.dot.least(low) }, self.dot.largest(high)]
    }
}

/// A 255th, of which a step is one of the row's range.
const SHARE: f32 = 1.0 / 255.0;
/// Steps below this are computed from the range itself, of which no part counts as 0.
const SMALL: f32 = 1e-30;

/// How a row becomes bytes.
struct Scale {
    step: f32,
    inverse: f32,
    zero: i32,
}

impl Scale {
    #[inline(always)]
    fn of([low, high]: [f32; 2]) -> Scale {
        // The range itself may be past the largest f32.
        let step = high * SHARE - low * SHARE;
        if !step.is_finite() {
            return Scale { step: f32::NAN, inverse: 0.0, zero: 0 };
        }
        let step = match step < SMALL {
            true => ((high - low) * SHARE).max(f32::MIN_POSITIVE),
            false => step,
        };
        let inverse = 1.0 / step;
        Scale { step, inverse, zero: (-low * inverse).round_ties_even() as i32 }
    }
}

/// How rows become bytes, each in a lane.
struct Scales {
    steps: [f32; LANES],
    inverses: [f32; LANES],
    zeros: [i32; LANES],
}

impl Scales {
    /// As [`Scale::of`].
    #[inline(always)]
    fn of<D: Dot>(dot: D, low: D::V, high: D::V) -> Scales {
        let (share, none) = (dot.splat(SHARE), dot.splat(0.0));
        let step = dot.sub(dot.mul(high, share), dot.mul(low, share));
        let small = dot.max(dot.splat(f32::MIN_POSITIVE), dot.mul(dot.sub(high, low), share));
        let step = dot.if_less(step, dot.splat(SMALL), small, step);
        let (size, infinity) = (dot.abs(step), dot.splat(f32::INFINITY));
        let inverse = dot.if_less(size, infinity, dot.div(dot.splat(1.0), step), none);
        let zero = dot.mul(dot.sub(none, low), inverse);
        let zero = dot.to_ints(dot.if_less(size, infinity, zero, none));
        let step = dot.if_less(size, infinity, step, dot.splat(f32::NAN));
        let mut scales = Scales { steps: [0.0; LANES], inverses: [0.0; LANES], zeros: [0; LANES] };
        // SAFETY: each array holds one vector.
        unsafe {
            dot.store(scales.steps.as_mut_ptr(), step);
            dot.store(scales.inverses.as_mut_ptr(), inverse);
            dot.store_i(scales.zeros.as_mut_ptr(), zero);
        }
        scales
    }

    #[inline(always)]
    fn of_row(&self, row: usize) -> Scale {
        let (step, inverse) = (self.steps[row], self.inverses[row]);
        Scale { step, inverse, zero: self.zeros[row] }
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
