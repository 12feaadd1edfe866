//! Every percentile of a latency at once.

use super::super::load::Durations;
use super::{Axis, Chart, Curve, Drawing, Point, Stroke};

const POINTS_PER_DECADE: i32 = 10;
/// A billionth: what an hour of times at full speed can tell apart.
const DECADES_MAX: i32 = 9;

/// Latency over percentile, with as much room for the slowest thousandth as for the slowest tenth:
/// horizontally `1 / (1 - q)` for a quantile `q`, on a log axis. A curve ends where its longest
/// time is the only one left.
pub fn spectrum(curves: &[(String, &Durations)]) -> Chart {
    let curves = curves.iter().map(|(name, times)| Curve {
        name: name.clone(),
        stroke: Stroke::Marked,
        points: points(times),
    });
    Chart {
        title: String::from("Latency at every percentile"),
        drawing: Drawing::Curves {
            x: Axis::log("percentile, as 1 / (1 - q): 10 = p90, 100 = p99, 1\u{a0}K = p99.9"),
            y: Axis::log("latency, us"),
            curves: curves.collect(),
        },
    }
}

fn points(times: &Durations) -> Vec<Point> {
    let count = times.count() as f64;
    let places = (0..=DECADES_MAX * POINTS_PER_DECADE)
        .map(|step| 10_f64.powf(f64::from(step) / f64::from(POINTS_PER_DECADE)));
    // So near the longest, a point of its own would say the same.
    let inside = places.take_while(|x| *x * 1.1 < count);
    let last = (count > 0.0).then_some(count);
    let y_us = |x: f64| times.histogram().value_at_quantile(1.0 - 1.0 / x) as f64 / 1e3;
    let point = |x: f64| Point { x, y: y_us(x), range: None };
    inside
        .map(point)
        .chain(last.map(|x| Point { y: times.percentiles().max_us, ..point(x) }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_is_p90_and_the_last_is_the_longest() {
        let mut times = Durations::default();
        (1..=1000).for_each(|us| times.add_ns(us * 1_000));
        let chart = spectrum(&[(String::from("a"), &times)]);
        let Drawing::Curves { x, curves, .. } = chart.drawing else { panic!("no curves") };
        assert!(x.is_log && x.label.contains("10 = p90"));
        let points = &curves[0].points;
        let at = |x: f64| points.iter().find(|point| (point.x / x - 1.0).abs() < 1e-9).unwrap().y;
        assert!((at(10.0) - 900.0).abs() < 2.0, "{}", at(10.0));
        assert!((at(100.0) - 990.0).abs() < 2.0, "{}", at(100.0));
        assert_eq!((points.len(), at(1000.0)), (31, times.percentiles().max_us));
        assert!(points.is_sorted_by(|a, b| a.x < b.x && a.y <= b.y));
    }

    #[test]
    fn few_times_make_short_curves() {
        let mut one = Durations::default();
        let empty = Durations::default();
        one.add_ns(5_000);
        let points = |times| points(times).iter().map(|point| point.x).collect::<Vec<_>>();
        assert_eq!((points(&empty), points(&one)), (vec![], vec![1.0]));
    }
}
