//! Where values lie along an axis, and which of them it names.

use super::super::Axis;

/// What is further out is no measurement, and would leave no room for those that are.
const SIZE_MAX: f64 = 1e200;
const SIZE_MIN: f64 = 1e-200;
/// A value this little past a tick, relatively, is on it.
const ON_TICK: f64 = 1e-9;
/// Up to so many decades, a log axis has fine lines between the powers of ten.
const DECADES_WITH_LINES: i32 = 7;
/// With more of them, they would be an area.
const LINES_MAX: usize = 79;

/// An axis that has found its ends.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    is_log: bool,
    low: f64,
    high: f64,
    /// What is named.
    pub(super) ticks: Vec<f64>,
    /// What has a fine line and no name.
    pub(super) between: Vec<f64>,
}

impl Scale {
    /// The scale that has room for `values`, with `ticks_max` names at most; none where no value
    /// can be drawn.
    pub(super) fn over(
        axis: &Axis,
        values: impl Iterator<Item = f64>,
        ticks_max: usize,
    ) -> Option<Scale> {
        let drawn = values.filter(|value| is_drawn(axis.is_log, *value));
        let ends = drawn.fold(None, |ends: Option<(f64, f64)>, value| {
            let (low, high) = ends.unwrap_or((value, value));
            Some((low.min(value), high.max(value)))
        });
        let (low, high) = ends?;
        Some(if axis.is_log { log(low, high, ticks_max) } else { linear(low, high, ticks_max) })
    }

    /// Where a value lies, in units of the axis; none for what cannot be drawn.
    pub(super) fn at(&self, value: f64) -> Option<f64> {
        let place = if self.is_log { value.log10() } else { value };
        is_drawn(self.is_log, value).then_some(place)
    }

    /// The same for what is drawn as an end of something: what lies outside is at the edge.
    pub(super) fn clamped(&self, value: f64) -> f64 {
        let inside = value.clamp(self.low, self.high);
        self.at(inside).unwrap_or(self.ends().start)
    }

    /// The ends, in units of the axis.
    pub(super) fn ends(&self) -> std::ops::Range<f64> {
        match self.is_log {
            true => self.low.log10()..self.high.log10(),
            false => self.low..self.high,
        }
    }
}

fn is_drawn(is_log: bool, value: f64) -> bool {
    match is_log {
        true => (SIZE_MIN..=SIZE_MAX).contains(&value),
        false => value.abs() <= SIZE_MAX,
    }
}

/// From 0, or from below it where a value is, to the tick past the highest value.
fn linear(low: f64, high: f64, ticks_max: usize) -> Scale {
    let (low, high) = (low.min(0.0), high.max(0.0));
    let high = if high - low < SIZE_MIN { low + 1.0 } else { high };
    let least = (high - low) / ticks_max.saturating_sub(1).max(1) as f64;
    let exponent = least.log10().floor() as i32;
    let steps = (exponent..exponent + 3)
        .flat_map(|e| [1.0, 2.0, 2.5, 5.0].map(|digit| digit * 10_f64.powi(e)));
    let ends = |step: f64| {
        let below = (low / step + ON_TICK).floor();
        let above = (high / step - ON_TICK).ceil();
        (below, above.max(below + 1.0))
    };
    let fits = |step: &f64| {
        let (below, above) = ends(*step);
        (above - below + 1.0) as usize <= ticks_max
    };
    let step = steps.clone().find(fits).or(steps.last()).unwrap_or(1.0);
    let (below, above) = ends(step);
    let ticks = (0..=(above - below) as usize).map(|index| (below + index as f64) * step);
    let (low, high) = (below * step, above * step);
    Scale { is_log: false, low, high, ticks: ticks.collect(), between: Vec::new() }
}

/// From the 1, 2 or 5 of a decade below the lowest value to that above the highest.
fn log(low: f64, high: f64, ticks_max: usize) -> Scale {
    let decades = low.log10().floor() as i32 - 1..=high.log10().floor() as i32 + 2;
    let of = |digits: &[f64]| -> Vec<f64> {
        let digits = decades.clone().flat_map(|e| digits.iter().map(move |digit| (*digit, e)));
        digits.map(|(digit, e)| digit * 10_f64.powi(e)).collect()
    };
    let ones = of(&[1.0]);
    let thirds = of(&[1.0, 2.0, 5.0]);
    let below = thirds.iter().rposition(|at| *at <= low * (1.0 + ON_TICK)).unwrap_or(0);
    let last = thirds.len() - 1;
    let above = thirds.iter().position(|at| *at >= high * (1.0 - ON_TICK)).unwrap_or(last);
    let (below, above) = if below == above {
        (below.saturating_sub(1), last.min(above + 1))
    } else {
        (below, above)
    };
    let (low, high) = (thirds[below], thirds[above]);
    let inside = |ticks: &[f64]| -> Vec<f64> {
        let edge = 1.0 + ON_TICK;
        let within = low / edge..=high * edge;
        ticks.iter().copied().filter(|tick| within.contains(tick)).collect()
    };
    let every = |step: usize| ones.iter().copied().skip(1).step_by(step).collect::<Vec<f64>>();
    let choices = std::iter::once(thirds.clone()).chain((1..=ones.len()).map(every));
    let mut fit = choices.map(|choice| inside(&choice)).filter(|ticks| ticks.len() <= ticks_max);
    let ticks = fit.next().filter(|ticks| ticks.len() >= 2).unwrap_or_else(|| vec![low, high]);
    let has_lines = high / low <= 10_f64.powi(DECADES_WITH_LINES);
    let all = of(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
    let mut between = if has_lines { inside(&all) } else { inside(&ones) };
    between.truncate(if between.len() > LINES_MAX { 0 } else { LINES_MAX });
    between.retain(|line| !ticks.iter().any(|tick| (tick / line - 1.0).abs() < ON_TICK));
    Scale { is_log: true, low, high, ticks, between }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(is_log: bool, values: &[f64], max: usize) -> Option<Vec<f64>> {
        let axis = Axis { label: String::new(), is_log };
        Some(Scale::over(&axis, values.iter().copied(), max)?.ticks)
    }

    fn assert_ticks(is_log: bool, values: &[f64], expected: &[f64]) {
        let found = ticks(is_log, values, 6).unwrap();
        let near = |(a, b): (&f64, &f64)| (a - b).abs() <= b.abs() * 1e-9;
        let all_near = found.iter().zip(expected).all(near);
        assert!(all_near && found.len() == expected.len(), "{values:?}: {found:?}");
    }

    #[test]
    fn linear_axes_begin_at_0_and_end_at_a_round_number() {
        assert_ticks(false, &[3.0, 9.5], &[0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_ticks(false, &[100.0], &[0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_ticks(false, &[-1.0, 3.0], &[-1.0, 0.0, 1.0, 2.0, 3.0]);
        assert_ticks(false, &[0.0, 0.0], &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        assert_ticks(false, &[1.2e6], &[0.0, 2.5e5, 5e5, 7.5e5, 1e6, 1.25e6]);
    }

    #[test]
    fn log_axes_have_powers_of_ten_or_ones_twos_and_fives() {
        assert_ticks(true, &[3.0, 9e5], &[1e1, 1e2, 1e3, 1e4, 1e5, 1e6]);
        assert_ticks(true, &[3.0, 70.0], &[2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
        assert_ticks(true, &[3.0, 3.0], &[2.0, 5.0]);
        assert_ticks(true, &[1.0], &[0.5, 1.0, 2.0]);
        assert_ticks(true, &[0.0, -1.0, 1.0, f64::NAN], &[0.5, 1.0, 2.0]);
    }

    #[test]
    fn anything_has_a_scale_with_few_ticks_or_none() {
        let values = [
            f64::NAN,
            f64::INFINITY,
            f64::MAX,
            -1e200,
            -3.0,
            0.0,
            f64::MIN_POSITIVE,
            1e-200,
            0.7,
            1.0,
            1e9,
            1e200,
        ];
        for is_log in [false, true] {
            assert_eq!(ticks(is_log, &[], 5), None);
            assert_eq!(ticks(is_log, &[f64::NAN, f64::NEG_INFINITY], 5), None);
            for (a, b) in values.iter().flat_map(|a| values.iter().map(move |b| (*a, *b))) {
                for max in [2, 4, 7] {
                    let axis = Axis { label: String::new(), is_log };
                    let Some(scale) = Scale::over(&axis, [a, b].into_iter(), max) else { continue };
                    let named = scale.ticks.len();
                    assert!(named >= 2 && named <= max.max(3), "{a} {b}: {:?}", scale.ticks);
                    let ends = scale.ends();
                    assert!(ends.start < ends.end && scale.ticks.is_sorted(), "{a} {b}: {scale:?}");
                    for place in [a, b].into_iter().filter_map(|value| scale.at(value)) {
                        let slack = (ends.end - ends.start) * 1e-6;
                        let inside = ends.start - slack..=ends.end + slack;
                        assert!(inside.contains(&place), "{place} in {scale:?}");
                    }
                    assert!(scale.between.len() < 80, "{a} {b}");
                }
            }
        }
        assert_eq!(ticks(true, &[0.0, -1.0], 5), None);
    }
}
