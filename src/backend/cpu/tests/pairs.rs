//! Pairs of bf16: this processor's against a scalar version that can be read, bit for bit.
//!
//! The portable level has pairs here, too, made of the scalar version, so that what is built on
//! them is tested wherever the tests run.

#![allow(unsafe_code)]

use std::array::from_fn;

use half::{bf16, f16};

use super::*;
use crate::backend::cpu::dots::Dots;
use crate::backend::cpu::kernels::Kernels;
use crate::backend::cpu::pairs::{PairDot, RoundJob};
use crate::backend::cpu::passes::Values;
use crate::backend::cpu::portable::{FourLanes, Portable};
use crate::backend::cpu::tile::{Ahead, Stored, TileJob};
use crate::backend::cpu::{CpuDevice, Level, detect};

/// The two of a pair, the first one first.
fn halves(pair: f32) -> [f64; 2] {
    let bits = pair.to_bits();
    [bits << 16, bits & 0xffff_0000].map(|half| f64::from(flushed(f32::from_bits(half))))
}

/// The second of both multiplied, added and rounded, then the first. A product is exact in f64, and
/// what f64 rounds in the sum of two f32 does not change how f32 rounds it again.
fn dot(sum: f32, a: f32, b: f32) -> f32 {
    let ([a0, a1], [b0, b1]) = (halves(a), halves(b));
    let sum = flushed((a1 * b1 + f64::from(flushed(sum))) as f32);
    flushed((a0 * b0 + f64::from(sum)) as f32)
}

/// Two numbers rounded to a pair.
fn round(first: f32, second: f32) -> f32 {
    let [first, second] = [first, second].map(|x| u32::from(bf16::from_f32(flushed(x)).to_bits()));
    f32::from_bits(first | second << 16)
}

impl<const N: usize> PairDot for Portable<N> {
    fn dot(self, sum: [f32; N], a: [f32; N], b: [f32; N]) -> [f32; N] {
        from_fn(|lane| dot(sum[lane], a[lane], b[lane]))
    }

    fn round(self, low: [f32; N], high: [f32; N]) -> [f32; N] {
        let all: Vec<f32> = low.into_iter().chain(high).collect();
        from_fn(|lane| round(all[2 * lane], all[2 * lane + 1]))
    }
}

/// The levels that multiply pairs, the portable one among them, and with it a unit for blocks.
fn levels_with_pairs() -> Vec<(Level, Kernels)> {
    let own = levels().into_iter().filter_map(|level| Some((level, detect::kernels(level)?)));
    let own = own.filter(|(_, kernels)| kernels.round_for(Precision::Bf16).is_some());
    let portable = Kernels::new::<FourLanes>(Dots::plain());
    let portable = portable.with_pairs::<FourLanes, FourLanes>();
    own.chain([(Level::Portable, portable), (Level::Portable, stand_in())]).collect()
}

fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}

/// Bits of any kind, of numbers near 1, and of numbers so small that products are denormal.
fn any_bits(random: &mut Random) -> f32 {
    let bits = random.next();
    let [low, high] = match bits >> 62 {
        0 => [0x8000_0000, 0x3f00_3f00],
        1 => [0x8fff_8fff, 0x2000_2000],
        _ => [0xffff_ffff, 0],
    };
    f32::from_bits(bits as u32 & low | high | bits as u32 & 0x00ff_00ff)
}

#[test]
fn products_of_pairs_are_those_of_the_scalar_version() {
    let mut random = Random(41);
    for (level, kernels) in levels_with_pairs() {
        let lanes = kernels.lanes;
        for _ in 0..50_000 {
            // Three inputs, so that sums of any size are added to.
            let x: [f32; 3] = from_fn(|_| any_bits(&mut random));
            let weights: Vec<f32> = (0..3 * lanes).map(|_| any_bits(&mut random)).collect();
            let mut y = [f32::NAN; 16];
            let job = TileJob {
                x: x.as_ptr(),
                x_stride: 3,
                weight: weights.as_ptr().cast(),
                side_by_side: 1,
                chunk: 3,
                ahead: Ahead::NONE,
                tail: 0,
                y: y.as_mut_ptr(),
                y_stride: lanes,
                begin: true,
                epilogue: None,
            };
            // SAFETY: one row of three inputs, their weights in one panel, and room for the sums.
            unsafe { (kernels.tile)(1, 1, 1, Stored::Pairs)(&job) };
            for (lane, got) in y[..lanes].iter().enumerate() {
                let weight = |k: usize| weights[k * lanes + lane];
                let expected = (0..3).fold(0.0, |sum, k| dot(sum, x[k], weight(k)));
                let weights: [f32; 3] = from_fn(weight);
                assert!(same(*got, expected), "{level:?}: {x:?} {weights:?}: {got}, {expected}");
            }
        }
    }
}

/// A row's value at a place, of memory that holds values of one type.
type ValueAt = fn(&[f32], usize) -> f32;

/// Every width, of every type, into rows of their own and in place; with zeros behind the last.
#[test]
fn rounding_is_that_of_the_scalar_version() {
    let mut random = Random(42);
    let bits: Vec<f32> = (0..3 * 80).map(|_| f32::from_bits(random.next() as u32)).collect();
    for (level, kernels) in levels_with_pairs() {
        let kernel = kernels.round_for(Precision::Bf16).unwrap();
        for width in 1..=80 {
            let types: [(Values, ValueAt); 4] = [
                (Values::F32(bits.as_ptr()), |bits, at| bits[at]),
                (Values::U8(bits.as_ptr().cast()), |bits, at| {
                    f32::from(bytemuck::cast_slice::<f32, u8>(bits)[at])
                }),
                (Values::F16(bits.as_ptr().cast()), |bits, at| {
                    bytemuck::cast_slice::<f32, f16>(bits)[at].to_f32()
                }),
                (Values::Bf16(bits.as_ptr().cast()), |bits, at| {
                    bytemuck::cast_slice::<f32, bf16>(bits)[at].to_f32()
                }),
            ];
            for ((values, value), far) in types.into_iter().zip([true, false, true, false]) {
                let mut pairs = [f32::NAN; 3 * 48];
                let (rows, stride) = (3, width);
                let to = pairs.as_mut_ptr();
                let job =
                    RoundJob { values, stride, width, rows, far, pairs: to, pairs_stride: 48 };
                // SAFETY: three rows of at most 80 values, and room for 48 pairs each.
                unsafe { kernel(&job) };
                check_pairs(&pairs, 48, width, |row, at| value(&bits, row * width + at), level);
            }
            let mut rows = bits.clone();
            let values = Values::F32(rows.as_ptr());
            let (pairs, far) = (rows.as_mut_ptr(), false);
            let job = RoundJob { values, stride: 80, width, rows: 3, far, pairs, pairs_stride: 80 };
            // SAFETY: three rows of 80 values, whole vectors of any level.
            unsafe { kernel(&job) };
            check_pairs(&rows, 80, width, |row, at| bits[row * 80 + at], level);
        }
    }
}

fn check_pairs(
    pairs: &[f32],
    stride: usize,
    width: usize,
    value: impl Fn(usize, usize) -> f32,
    level: Level,
) {
    for (row, pairs) in pairs.chunks(stride).enumerate() {
        let value = |at: usize| if at < width { value(row, at) } else { 0.0 };
        for (at, got) in pairs[..width.div_ceil(2)].iter().enumerate() {
            let expected = round(value(2 * at), value(2 * at + 1));
            let halves = halves(*got)
                .iter()
                .zip(halves(expected))
                .all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan());
            let what = format!("{level:?}, {width} values, pair {at}: {got} {expected}");
            assert!(halves, "{what}");
        }
    }
}

/// The sum of a layer's products in its chunks' order, as the documentation of tiles defines it.
fn sum(x: &[f32], weights: &[f32]) -> f32 {
    let pairs = x.len();
    let at_once = [4, 2, 1][usize::from(pairs < 128) + usize::from(pairs < 16)];
    let count = at_once * pairs.div_ceil(at_once * 256);
    let chunk = |index: usize| {
        let start = index * (pairs / count);
        let end = if index + 1 == count { pairs } else { start + pairs / count };
        (start..end).fold(0.0, |sum, k| dot(sum, x[k], weights[k]))
    };
    (1..count).fold(chunk(0), |sum, index| sum + chunk(index))
}

fn pairs_of(values: &[f32]) -> Vec<f32> {
    values.chunks(2).map(|two| round(two[0], two.get(1).copied().unwrap_or(0.0))).collect()
}

/// The sum of a layer's products where a unit multiplies blocks: 16 pairs at a time, the first of
/// each pair apart from the second.
fn sum_in_blocks(x: &[f32], weights: &[f32]) -> f32 {
    let add = |a: f32, b: f32| flushed((f64::from(a) + f64::from(b)) as f32);
    x.chunks(16).zip(weights.chunks(16)).fold(0.0, |sum, (x, weights)| {
        let mut apart = [0.0_f32; 2];
        for (x, weight) in x.iter().zip(weights) {
            let (x, weight) = (halves(*x), halves(*weight));
            apart = from_fn(|at| flushed((x[at] * weight[at] + f64::from(apart[at])) as f32));
        }
        add(sum, add(apart[0], apart[1]))
    })
}

/// What a network of clamps makes of one row. `fused` where a scale and a bias are one rounding.
fn by_hand(
    model: &Model,
    row: &[f32],
    first_scale: f32,
    sum: fn(&[f32], &[f32]) -> f32,
    fused: bool,
) -> Vec<f32> {
    let (mut values, mut scale) = (row.to_vec(), first_scale);
    for layer in model.layers() {
        let x = pairs_of(&values);
        let neuron = |output: usize| {
            let weights = pairs_of(&layer.weight()[output * layer.inputs()..][..layer.inputs()]);
            let bias = layer.bias().map_or(0.0, |bias| bias[output]);
            let sum = sum(&x, &weights);
            let value = if fused { sum.mul_add(scale, bias) } else { sum * scale + bias };
            let (floor, ceiling) = match layer.activation() {
                Activation::Relu => (0.0, f32::INFINITY),
                Activation::Clip { min, max } => (min, max),
                _ => (f32::NEG_INFINITY, f32::INFINITY),
            };
            let raised = if floor > value { floor } else { value };
            if ceiling < raised { ceiling } else { raised }
        };
        values = (0..layer.outputs()).map(neuron).collect();
        scale = 1.0;
    }
    values
}

/// Fails where scores are not those of the scalar version, to the last bit.
fn assert_same(model: &Model, rows: Rows<'_>, what: &str) {
    let floats: Vec<f32> = match rows {
        Rows::F32(values) => values.to_vec(),
        Rows::F16(values) => values.iter().map(|value| value.to_f32()).collect(),
        Rows::Bf16(values) => values.iter().map(|value| value.to_f32()).collect(),
        Rows::U8(bytes) => bytes.iter().map(|byte| f32::from(*byte)).collect(),
    };
    let scale = if matches!(rows, Rows::U8(_)) { model.u8_scale().value().unwrap() } else { 1.0 };
    for (level, kernels) in levels_with_pairs() {
        let in_blocks = kernels.blocks_for(Precision::Bf16).is_some();
        let sum = if in_blocks { sum_in_blocks } else { sum };
        let device = CpuDevice::new(level, kernels);
        let executable = load(&device, model, &options(rows.input(), Precision::Bf16));
        let got = scores(&*executable, rows);
        let of_rows = got.chunks(model.classes()).zip(floats.chunks(model.inputs()));
        for (index, (got, row)) in of_rows.enumerate() {
            let expected = by_hand(model, row, scale, sum, level != Level::Portable);
            let same = got.iter().zip(&expected).all(|(a, b)| same(*a, *b));
            assert!(same, "{level:?}, {what}: row {index} is {got:?}, not {expected:?}");
        }
    }
}

/// Odd widths, one chunk and many, layers that are fused and that are not, few rows and many.
#[test]
fn networks_are_those_of_the_scalar_version() {
    let mut random = Random(43);
    let clip = Activation::Clip { min: -0.5, max: 0.75 };
    let shapes: [(&[usize], Activation); 7] = [
        (&[1, 1], Activation::Identity),
        (&[33, 17, 9, 5], clip),
        (&[784, 32, 32, 10], Activation::Relu),
        (&[255, 65, 3], Activation::Relu),
        (&[1025, 40, 7], clip),
        (&[31, 700, 3, 5], Activation::Relu),
        (&[2100, 50], Activation::Identity),
    ];
    for (widths, activation) in shapes {
        let model = network(&mut random, widths, activation);
        for count in [1, 2, 3, 13, 25] {
            let floats = random.units(count * widths[0]);
            let bytes: Vec<u8> = floats.iter().map(|value| (value * 900.0) as u8).collect();
            let halves: Vec<f16> = floats.iter().copied().map(f16::from_f32).collect();
            let brains: Vec<bf16> = floats.iter().copied().map(bf16::from_f32).collect();
            let batches =
                [Rows::F32(&floats), Rows::U8(&bytes), Rows::F16(&halves), Rows::Bf16(&brains)];
            for rows in batches {
                let what = format!("{widths:?} {activation:?}, {count} {:?}", rows.input());
                assert_same(&model, rows, &what);
            }
        }
    }
}

/// NaN, infinities, what rounds to one, and denormals, in layers of odd widths: what is beside a
/// row's last value is multiplied by nothing that counts.
#[test]
fn rows_of_any_bits_are_those_of_the_scalar_version() {
    let mut random = Random(44);
    for widths in [&[5, 3, 3][..], &[33, 21, 4], &[64, 32, 10]] {
        let model = network(&mut random, widths, Activation::Relu);
        let mut values = random.units(widths[0] * 20);
        let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 1e-40, -1e-40, 3e38];
        for (row, odd) in odd.into_iter().enumerate() {
            values[row * widths[0] + random.between(0, widths[0] - 1)] = odd;
            values[(row + 8) * widths[0] + widths[0] - 1] = odd;
        }
        assert_same(&model, Rows::F32(&values), &format!("{widths:?}"));
    }
}
