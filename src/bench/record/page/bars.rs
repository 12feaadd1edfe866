//! Bars and ratios: things under each other, their lengths from left to right.

use super::super::numbers;
use super::super::{Axis, Bar, Ratio};
use super::canvas::{self, Canvas, Frame, Side, TEXT_MAX, WIDTH};
use super::markup::in_lines;
use super::palette::{Ink, Mark};
use super::scale::Scale;

const TICKS_MAX: usize = 4;
/// How wide a letter is on average, as a share of its height.
const LETTER: f64 = 0.56;
const NAMES_MAX: f64 = 196.0;
const LINES_MAX: usize = 3;
const NUMBERS: f64 = 72.0;
const TOP: f64 = 10.0;
const BELOW: f64 = 32.0;

/// Rows of one height, with their names.
struct Rows {
    names: Vec<Vec<String>>,
    frame: Frame,
}

impl Rows {
    fn of<'a>(names: impl Iterator<Item = &'a str>) -> Rows {
        let letter = TEXT_MAX * LETTER;
        let letters_max = ((NAMES_MAX - 16.0) / letter) as usize;
        let names: Vec<_> = names.map(|name| in_lines(name, letters_max, LINES_MAX)).collect();
        let letters = names.iter().flatten().map(|line| line.chars().count()).max().unwrap_or(0);
        let lines = names.iter().map(Vec::len).max().unwrap_or(1);
        let row = 16.0 + (TEXT_MAX + 1.0) * lines as f64;
        let bottom = TOP + row * names.len() as f64;
        let left = (letters as f64 * letter + 16.0).min(NAMES_MAX);
        let right = WIDTH - NUMBERS;
        let frame = Frame { left, right, top: TOP, bottom, height: bottom + BELOW };
        Rows { names, frame }
    }

    /// The vertical axis: a row each, top to bottom.
    fn range(&self) -> std::ops::Range<f64> {
        self.names.len() as f64..0.0
    }

    fn middle(row: usize) -> f64 {
        row as f64 + 0.5
    }

    fn write_names(&self, canvas: &Canvas<'_>, left: f64) {
        for (row, lines) in self.names.iter().enumerate() {
            let first = (lines.len() - 1) as f64 / -2.0;
            for (index, line) in lines.iter().enumerate() {
                let down = (first + index as f64) * (TEXT_MAX + 1.0);
                canvas.text(line, (left, Rows::middle(row)), (-8.0, down), Side::Left);
            }
        }
    }
}

/// Stacked bars; none where no length of them can be drawn.
pub(super) fn bars(names: (&str, &str), value: &Axis, bars: &[Bar]) -> Option<String> {
    let lengths = |bar: &Bar| -> Vec<f64> {
        bar.values.iter().map(|value| if is_length(*value) { *value } else { 0.0 }).collect()
    };
    let total = |bar: &Bar| lengths(bar).iter().sum::<f64>();
    let is_there = |bar: &&Bar| bar.values.iter().any(|value| is_length(*value));
    let totals = bars.iter().filter(is_there).map(total);
    let firsts = bars.iter().filter_map(|bar| bar.values.first().copied().filter(|_| value.is_log));
    let scale = Scale::over(value, totals.chain(firsts), TICKS_MAX)?;
    let rows = Rows::of(bars.iter().map(|bar| &*bar.name));
    let range = rows.range();
    Some(canvas::svg(names, rows.frame, (&scale, range.clone()), |canvas| {
        canvas.across(&scale, numbers::tick, (range.start, range.end));
        let left = scale.ends().start;
        for (row, bar) in bars.iter().enumerate() {
            let (mut end, mut sum) = (scale.clamped(0.0), 0.0);
            for (part, length) in lengths(bar).into_iter().enumerate() {
                sum += length;
                let (from, to) = (end, scale.clamped(sum));
                canvas.bar((from, to), Rows::middle(row), 20.0, Ink::Series(part));
                end = to;
            }
            let total =
                if is_there(&bar) { numbers::figure(sum) } else { String::from("\u{2013}") };
            canvas.text(&total, (end, Rows::middle(row)), (6.0, 0.0), Side::Right);
        }
        let base = scale.clamped(0.0);
        canvas.line(vec![(base, range.start), (base, range.end)], Ink::Base, 1.2);
        rows.write_names(canvas, left);
    }))
}

fn is_length(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

/// Ratios beside a line at 1; none where none can be drawn.
pub(super) fn ratios(names: (&str, &str), value: &Axis, ratios: &[Ratio]) -> Option<String> {
    let is_drawn = |ratio: &&Ratio| ratio.value.is_finite() && (!value.is_log || ratio.value > 0.0);
    let ends = |ratio: &Ratio| {
        let (low, high) = ratio.interval.unwrap_or((ratio.value, ratio.value));
        [low, ratio.value, high]
    };
    ratios.iter().find(is_drawn)?;
    let values = ratios.iter().filter(is_drawn).flat_map(ends);
    let scale = Scale::over(value, values.chain([1.0]), TICKS_MAX)?;
    let rows = Rows::of(ratios.iter().map(|ratio| &*ratio.name));
    let range = rows.range();
    Some(canvas::svg(names, rows.frame, (&scale, range.clone()), |canvas| {
        canvas.across(&scale, numbers::tick, (range.start, range.end));
        let one = scale.clamped(1.0);
        canvas.line(vec![(one, range.start), (one, range.end)], Ink::Reference, 1.6);
        let (left, right) = (scale.ends().start, scale.ends().end);
        for (row, ratio) in ratios.iter().enumerate() {
            let middle = Rows::middle(row);
            if let Some((low, high)) = ratio.interval.filter(|(low, high)| low < high) {
                let (from, to) = (scale.clamped(low), scale.clamped(high));
                canvas.whisker((from, middle), (to, middle), Ink::Series(0));
            }
            if let Some(at) = scale.at(ratio.value) {
                canvas.mark((at, middle), Mark::Disc, Ink::Series(0), 9.0);
            }
            let number = numbers::figure(ratio.value);
            canvas.text(&number, (right, middle), (10.0, 0.0), Side::Right);
        }
        rows.write_names(canvas, left);
    }))
}
