//! Values over a number.

use super::super::numbers;
use super::super::{Axis, Curve, Point, Stroke};
use super::canvas::{self, Canvas, Frame, WIDTH};
use super::palette::{Ink, Mark};
use super::scale::Scale;

const FRAME: Frame =
    Frame { left: 60.0, right: WIDTH - 26.0, top: 12.0, bottom: 308.0, height: 340.0 };
const X_TICKS_MAX: usize = 7;
const Y_TICKS_MAX: usize = 6;
/// With more points than these, marks would hide the line.
const MARKS_MAX: usize = 30;

/// The drawing; none where no point of it can be drawn.
pub(super) fn svg(names: (&str, &str), (x, y): (&Axis, &Axis), curves: &[Curve]) -> Option<String> {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let can_be = |axis: &Axis, value: f64| value.is_finite() && (!axis.is_log || value > 0.0);
    let drawn = || points().filter(|point| can_be(x, point.x) && can_be(y, point.y));
    let x = Scale::over(x, drawn().map(|point| point.x), X_TICKS_MAX)?;
    let ends = |point: &Point| {
        let (low, high) = point.range.unwrap_or((point.y, point.y));
        [low, point.y, high]
    };
    let y = Scale::over(y, drawn().flat_map(ends), Y_TICKS_MAX)?;
    let scales = (&x, &y);
    Some(canvas::svg(names, FRAME, (&x, y.ends()), |canvas| {
        canvas.across(&x, numbers::tick, (y.ends().start, y.ends().end));
        canvas.along(&y, numbers::tick, (x.ends().start, x.ends().end));
        let (ends, low) = (x.ends(), y.ends().start);
        canvas.line(vec![(ends.start, low), (ends.end, low)], Ink::Base, 1.2);
        for (curve, ink, mark) in looks(curves) {
            draw(canvas, scales, curve, (ink, mark));
        }
    }))
}

/// Every curve and how it looks, which its place among those that are no reference decides.
pub(super) fn looks(curves: &[Curve]) -> impl Iterator<Item = (&Curve, Ink, Mark)> {
    let mut next = 0;
    curves.iter().map(move |curve| match curve.stroke {
        Stroke::Reference => (curve, Ink::Reference, Mark::Disc),
        _ => {
            next += 1;
            (curve, Ink::Series(next - 1), Mark::of(next - 1))
        }
    })
}

fn draw(canvas: &Canvas<'_>, (x, y): (&Scale, &Scale), curve: &Curve, (ink, mark): (Ink, Mark)) {
    let place = |point: &Point| Some((x.at(point.x)?, y.at(point.y)?));
    let places: Vec<Option<(f64, f64)>> = curve.points.iter().map(place).collect();
    if curve.stroke != Stroke::Points {
        let width = if curve.stroke == Stroke::Reference { 1.6 } else { 2.2 };
        for part in places.split(Option::is_none) {
            canvas.line(part.iter().flatten().copied().collect(), ink, width);
        }
    }
    for (point, at) in curve.points.iter().zip(&places) {
        let (Some((low, high)), Some((at, _))) = (point.range, at) else { continue };
        if !low.is_nan() && !high.is_nan() && low < high {
            canvas.whisker((*at, y.clamped(low)), (*at, y.clamped(high)), ink);
        }
    }
    let is_marked = match curve.stroke {
        Stroke::Marked => places.len() <= MARKS_MAX,
        Stroke::Points => true,
        Stroke::Reference => false,
    };
    // A lone point makes no line.
    if is_marked || places.iter().flatten().count() == 1 {
        let size = if curve.stroke == Stroke::Points { 10.0 } else { 7.0 };
        places.iter().flatten().for_each(|place| canvas.mark(*place, mark, ink, size));
    }
}
