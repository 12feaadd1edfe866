//! What one step of a byte stands for in rows of bytes, and where that is known from.
//!
//! A network without an input transform takes values from 0 to 1 by convention. A transform may
//! take either those or the bytes themselves. Its numbers decide where only one of the two is
//! possible; else the scale is unknown, and rows of bytes are refused.

use std::fmt;

use super::{InputTransform, Model};

/// What one step of a byte stands for in rows of bytes, by where it is known from.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum U8Scale {
    /// The model's file states it, or it follows from the input transform.
    File(f32),
    /// The caller said it, with [`Model::with_u8_scale`].
    User(f32),
    /// The model has no input transform and nothing states it: [`Model::U8_SCALE`].
    Assumed,
    /// The input transform may be meant for bytes or for values from 0 to 1. Rows of bytes are
    /// refused until [`Model::with_u8_scale`] says which.
    Unknown,
}

impl U8Scale {
    /// The value of one step; `None` where it is unknown.
    pub fn value(self) -> Option<f32> {
        match self {
            U8Scale::File(scale) | U8Scale::User(scale) => Some(scale),
            U8Scale::Assumed => Some(Model::U8_SCALE),
            U8Scale::Unknown => None,
        }
    }

    /// Where it is known from, in a word for programs: `file`, `user`, `assumed` or `unknown`.
    pub fn source(self) -> &'static str {
        match self {
            U8Scale::File(_) => "file",
            U8Scale::User(_) => "user",
            U8Scale::Assumed => "assumed",
            U8Scale::Unknown => "unknown",
        }
    }

    /// What follows from a transform alone.
    pub(super) fn of_transform(transform: &InputTransform, inputs: usize) -> U8Scale {
        if transform.is_identity() {
            return U8Scale::Assumed;
        }
        let at = |index| (transform.scale.at(index).into(), transform.offset.at(index).into());
        of_affine(inputs, at).map_or(U8Scale::Unknown, U8Scale::File)
    }
}

/// The value, and whose it is: `1 (the file's)`.
impl fmt::Display for U8Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            U8Scale::File(scale) => write!(f, "{scale} (the file's)"),
            U8Scale::User(scale) => write!(f, "{scale} (the user's)"),
            U8Scale::Assumed => write!(f, "{} (assumed)", Model::U8_SCALE),
            U8Scale::Unknown => f.write_str("unknown"),
        }
    }
}

/// Steps of bytes as they are.
const RAW: f32 = 1.0;
/// The largest mean or deviation that values from 0 to 1 are taken for having, beyond the largest
/// that they can have.
const BEYOND_UNIT: f64 = 1.5;
/// The same for bytes.
const BEYOND_BYTES: f64 = 257.0;
/// Rounding of statistics around 0.
const SLACK: f64 = 0.01;

/// The scale that `(x - mean) / deviation` is meant for, where only one is possible. Input `k` has
/// the mean and the deviation `at(k)`: statistics of the data, or its least value and its range.
pub(super) fn of_statistics(inputs: usize, at: impl Fn(usize) -> (f64, f64)) -> Option<f32> {
    let all = || (0..inputs).map(&at).filter(|(_, deviation)| deviation.is_finite());
    let is_byte = |(mean, deviation): (f64, f64)| {
        (-SLACK..BEYOND_BYTES).contains(&mean) && deviation < BEYOND_BYTES
    };
    let is_beyond_unit =
        |(mean, deviation): (f64, f64)| mean > BEYOND_UNIT || deviation > BEYOND_UNIT;
    if all().any(is_beyond_unit) {
        return all().all(is_byte).then_some(RAW);
    }
    is_unit(all()).then_some(Model::U8_SCALE)
}

/// Whether these can be statistics of values from 0 to 1, and of nothing but fractions: whole
/// numbers with a mean `m` between 0 and 1 have a variance of at least `m (1 - m)`. The one
/// exception is `(x - 0.5) / 0.5`, by which pictures are usually brought from 0..1 to -1..1.
fn is_unit(statistics: impl Iterator<Item = (f64, f64)>) -> bool {
    let (mut variance, mut of_whole_numbers, mut halves) = (0.0, 0.0, true);
    for (mean, deviation) in statistics {
        // An input that is the same in all rows is usually divided by 1.
        if deviation == 1.0 && (0.0..=1.0).contains(&mean) {
            continue;
        }
        if !(-SLACK..=1.0 + SLACK).contains(&mean) || deviation > 0.5 + SLACK {
            return false;
        }
        variance += deviation * deviation;
        of_whole_numbers += (mean * (1.0 - mean)).max(0.0);
        halves &= (mean - 0.5).abs() < 1e-6 && (deviation - 0.5).abs() < 1e-6;
    }
    of_whole_numbers > 0.0 && (halves || variance < 0.9 * of_whole_numbers)
}

/// The scale that `x * scale + offset` is meant for, where only one is possible. What the numbers
/// were made of is not known: statistics, and perhaps a learned scale and offset behind them. So
/// more distance is asked for than of statistics by themselves.
pub(super) fn of_affine(inputs: usize, at: impl Fn(usize) -> (f64, f64)) -> Option<f32> {
    let (first, _) = at(0);
    let is_uniform = (1..inputs).all(|index| at(index).0 == first);
    if is_uniform && is_range_of_bytes(1.0 / first) {
        return (0..inputs).all(|index| at(index).1.abs() <= BEYOND_UNIT).then_some(RAW);
    }
    let is_used = |(scale, offset): &(f64, f64)| *scale != 0.0 && (*scale, *offset) != (1.0, 0.0);
    let used = || (0..inputs).map(&at).filter(is_used);
    let of = |(scale, offset): (f64, f64)| (-offset / scale, 1.0 / scale.abs());
    if is_unit(used().map(of)) {
        return Some(Model::U8_SCALE);
    }
    if is_uniform && used().all(|(_, offset)| offset == 0.0) {
        return None;
    }
    let deviation = median(used().map(|it| of(it).1))?;
    let mean = median(used().map(|it| of(it).0))?;
    let is_bounded = used().map(of).all(|(mean, deviation)| mean.abs().max(deviation) < 1024.0);
    (is_bounded && mean >= 0.0 && deviation >= 8.0).then_some(RAW)
}

/// Whether a uniform divisor is the range of bytes, 255 or 256, or half of it, as files round it.
fn is_range_of_bytes(divisor: f64) -> bool {
    (253.5..257.5).contains(&divisor) || (126.75..128.75).contains(&divisor)
}

fn median(numbers: impl Iterator<Item = f64>) -> Option<f64> {
    let mut numbers: Vec<f64> = numbers.collect();
    let middle = numbers.len() / 2;
    (!numbers.is_empty()).then(|| *numbers.select_nth_unstable_by(middle, f64::total_cmp).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: Option<f32> = Some(Model::U8_SCALE);

    fn statistics(pairs: &[(f64, f64)]) -> Option<f32> {
        of_statistics(pairs.len(), |index| pairs[index])
    }

    fn affine(pairs: &[(f64, f64)]) -> Option<f32> {
        of_affine(pairs.len(), |index| pairs[index])
    }

    /// As `x * scale + offset`.
    fn folded(pairs: &[(f64, f64)]) -> Option<f32> {
        let folded = |(mean, deviation): &(f64, f64)| (1.0 / deviation, -mean / deviation);
        affine(&pairs.iter().map(folded).collect::<Vec<_>>())
    }

    #[test]
    fn statistics_of_pictures() {
        let common = [
            &[(0.1307, 0.3081)][..],
            &[(0.286, 0.353)],
            &[(0.5, 0.5)],
            &[(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)],
        ];
        for of_unit in common {
            let of_bytes: Vec<_> = of_unit.iter().map(|(m, d)| (m * 255.0, d * 255.0)).collect();
            assert_eq!((statistics(of_unit), folded(of_unit)), (UNIT, UNIT), "{of_unit:?}");
            assert_eq!((statistics(&of_bytes), folded(&of_bytes)), (Some(1.0), Some(1.0)));
        }
        // A mean that is taken away says enough.
        assert_eq!(statistics(&[(103.9, 1.0), (116.8, 1.0)]), Some(1.0));
        assert_eq!(statistics(&[(0.5, 1.0)]), None);
    }

    #[test]
    fn inputs_that_never_change_say_nothing() {
        assert_eq!(statistics(&[(0.0, 1.0); 3]), None);
        assert_eq!(statistics(&[(0.0, 1.0), (0.3, 0.3), (1.0, 1.0)]), UNIT);
        assert_eq!(statistics(&[(0.0, 1.0), (80.0, 90.0), (255.0, 1.0)]), Some(1.0));
        assert_eq!(statistics(&[(0.0, f64::INFINITY), (80.0, 90.0)]), Some(1.0));
        // A variance of 0 that became the least that is divided by.
        assert_eq!(statistics(&[(0.0, 1e-7), (0.0, 0.03), (0.3, 0.3)]), UNIT);
        assert_eq!(statistics(&[(0.0, 1e-7), (0.0, 0.03), (80.0, 90.0)]), Some(1.0));
    }

    #[test]
    fn what_is_neither_bytes_nor_fractions_is_unknown() {
        // Flags of 0 and 1 are as well rows of bytes as values from 0 to 1.
        let flag = |share: f64| (share, (share * (1.0 - share)).sqrt());
        assert_eq!(statistics(&[flag(0.1), flag(0.3), flag(0.7)]), None);
        for others in [&[(-3.0, 2.0), (4.0, 2.0)][..], &[(38.0, 13.0), (50_000.0, 9_000.0)]] {
            assert_eq!((statistics(others), folded(others)), (None, None), "{others:?}");
        }
        assert_eq!(statistics(&[(0.01, 1.0), (-0.02, 0.98)]), None);
    }

    #[test]
    fn uniform_factors() {
        for divisor in [255.0, 256.0, 127.5, 128.0, 1.0 / 0.0039] {
            for offset in [0.0, -1.0, -0.5] {
                assert_eq!(affine(&[(1.0 / divisor, offset); 2]), Some(1.0), "{divisor}");
            }
        }
        assert_eq!(affine(&[(1.0 / 255.0, -40.0)]), None);
        assert_eq!(affine(&[(2.0, -1.0)]), UNIT);
        for factor in [2.0, 0.5, 0.0625, 0.01, -1.0] {
            assert_eq!(affine(&[(factor, 0.0)]), None, "{factor}");
        }
    }

    #[test]
    fn a_learned_scale_behind_statistics_is_borne() {
        let of = |factor: f64| {
            move |index: usize| {
                let (mean, deviation) = (0.1 + 0.05 * index as f64, 0.2 + 0.02 * index as f64);
                let (gamma, beta) = (0.2 + 0.2 * index as f64, 0.1 * index as f64 - 0.3);
                let scale = gamma / (deviation * factor);
                (scale, beta - mean * factor * scale)
            }
        };
        assert_eq!(of_affine(9, of(255.0)), Some(1.0));
        assert_ne!(of_affine(9, of(1.0)), Some(1.0));
    }
}
