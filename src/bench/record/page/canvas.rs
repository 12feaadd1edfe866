//! A drawing under way: shapes on a plane of values, with names beside it.

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::drawing::IntoDrawingArea;
use plotters::element::{Circle, EmptyElement, PathElement, Polygon, Rectangle, Text};
use plotters::prelude::{Cartesian2d, Color, DrawingArea, SVGBackend, ShapeStyle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontFamily, TextStyle};

use super::markup::escaped;
use super::palette::{Ink, Mark};
use super::scale::Scale;

/// The backend draws on whole numbers only; this many of them to a unit make lines smooth.
const FINENESS: f64 = 10.0;
/// The backend writes sizes divided by this.
const BACKEND_FONT_FACTOR: f64 = 1.24;

/// The width of every drawing, in its own units; at 360 pixels, text of 17 units is small and
/// clear.
pub(super) const WIDTH: f64 = 520.0;
/// The size of names and numbers; the page's style makes them larger where the drawing is small.
const TEXT: f64 = 14.0;
/// The largest size the page's style gives them.
pub(super) const TEXT_MAX: f64 = 17.0;

/// Where on a drawing the plane lies, in the drawing's units.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
    /// The height of the drawing.
    pub(super) height: f64,
}

/// Where text stands beside its place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    Left,
    Right,
    Below,
}

/// The plane, for as long as it is drawn on.
pub(super) struct Canvas<'a> {
    plane: DrawingArea<SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>,
}

/// A drawing as markup, of what `draw` puts on a plane of `x` and `y`.
pub(super) fn svg(
    (title, description): (&str, &str),
    frame: Frame,
    (x, y): (&Scale, std::ops::Range<f64>),
    draw: impl FnOnce(&Canvas<'_>),
) -> String {
    let (width, height) = (fine(WIDTH), fine(frame.height));
    let mut drawn = String::new();
    {
        let size = (width.unsigned_abs(), height.unsigned_abs());
        let area: DrawingArea<_, Shift> =
            SVGBackend::with_string(&mut drawn, size).into_drawing_area();
        let place = (fine(frame.left)..fine(frame.right), fine(frame.bottom)..fine(frame.top));
        let plane = area.apply_coord_spec(Cartesian2d::new(x.ends(), y, place));
        draw(&Canvas { plane });
    }
    // The backend opens the drawing with a tag of its own, and ends it.
    let shapes = drawn.split_once('>').map_or("", |(_, shapes)| shapes);
    let (title, description) = (escaped(title), escaped(description));
    format!(
        "<svg role=\"img\" viewBox=\"0 0 {width} {height}\">\n\
         <title>{title}</title>\n<desc>{description}</desc>{shapes}"
    )
}

fn fine(units: f64) -> i32 {
    (units * FINENESS).round() as i32
}

fn style(ink: Ink, width: f64) -> ShapeStyle {
    ShapeStyle {
        color: ink.colour().to_rgba(),
        filled: true,
        stroke_width: fine(width).unsigned_abs(),
    }
}

impl Canvas<'_> {
    /// Lines from place to place.
    pub(super) fn line(&self, places: Vec<(f64, f64)>, ink: Ink, width: f64) {
        if places.len() > 1 {
            // A drawing in memory takes everything.
            let _ = self.plane.draw(&PathElement::new(places, style(ink, width)));
        }
    }

    /// A point, `size` units across.
    pub(super) fn mark(&self, place: (f64, f64), mark: Mark, ink: Ink, size: f64) {
        let radius = size / 2.0;
        let corner = |(x, y): &(f64, f64)| (fine(x * radius), fine(y * radius));
        let corners: Vec<_> = mark.corners().iter().map(corner).collect();
        let style = style(ink, 1.0);
        let _ = match mark {
            Mark::Disc => self.plane.draw(&Circle::new(place, fine(radius), style)),
            _ => self.plane.draw(&(EmptyElement::at(place) + Polygon::new(corners, style))),
        };
    }

    /// How far rounds lay apart: a line between two places, with ends across it.
    pub(super) fn whisker(&self, from: (f64, f64), to: (f64, f64), ink: Ink) {
        const HALF: f64 = 4.0;
        let across = if from.0 == to.0 { (fine(HALF), 0) } else { (0, fine(HALF)) };
        self.line(vec![from, to], ink, 1.3);
        for end in [from, to] {
            let ends = vec![(-across.0, -across.1), across];
            let element = EmptyElement::at(end) + PathElement::new(ends, style(ink, 1.3));
            let _ = self.plane.draw(&element);
        }
    }

    /// A bar between two values of `x`, `height` units high, around `y`.
    pub(super) fn bar(&self, (from, to): (f64, f64), y: f64, height: f64, ink: Ink) {
        let (left, _) = self.plane.map_coordinate(&(from, y));
        let (right, _) = self.plane.map_coordinate(&(to, y));
        let half = fine(height / 2.0);
        // A hair of paper between one part and the next.
        let gap = fine(1.0).min((right - left) / 2);
        let corners = [(0, -half), (right - left - gap, half)];
        let shape = EmptyElement::at((from, y)) + Rectangle::new(corners, style(ink, 0.0));
        if right > left {
            let _ = self.plane.draw(&shape);
        }
    }

    /// Text beside a place; `by` moves it, in units, rightwards and downwards.
    pub(super) fn text(&self, text: &str, place: (f64, f64), by: (f64, f64), side: Side) {
        let anchor = match side {
            Side::Left => Pos::new(HPos::Right, VPos::Center),
            Side::Right => Pos::new(HPos::Left, VPos::Center),
            Side::Below => Pos::new(HPos::Center, VPos::Top),
        };
        let size = TEXT * FINENESS * BACKEND_FONT_FACTOR;
        let colour = Ink::Text.colour();
        let text_style = TextStyle::from((FontFamily::SansSerif, size)).color(&colour).pos(anchor);
        let label = Text::new(text.to_owned(), (fine(by.0), fine(by.1)), text_style);
        let _ = self.plane.draw(&(EmptyElement::at(place) + label));
    }

    /// Lines and names along the horizontal axis, from `low` to `high` of the vertical one.
    pub(super) fn across(&self, scale: &Scale, name: fn(f64) -> String, (low, high): (f64, f64)) {
        let lines = |values: &[f64], ink| {
            for at in values.iter().filter_map(|value| scale.at(*value)) {
                self.line(vec![(at, low), (at, high)], ink, 1.0);
            }
        };
        lines(&scale.between, Ink::Fine);
        lines(&scale.ticks, Ink::Grid);
        for value in &scale.ticks {
            if let Some(at) = scale.at(*value) {
                self.text(&name(*value), (at, low), (0.0, 8.0), Side::Below);
            }
        }
    }

    /// The same along the vertical one.
    pub(super) fn along(&self, scale: &Scale, name: fn(f64) -> String, (low, high): (f64, f64)) {
        let lines = |values: &[f64], ink| {
            for at in values.iter().filter_map(|value| scale.at(*value)) {
                self.line(vec![(low, at), (high, at)], ink, 1.0);
            }
        };
        lines(&scale.between, Ink::Fine);
        lines(&scale.ticks, Ink::Grid);
        for value in &scale.ticks {
            if let Some(at) = scale.at(*value) {
                self.text(&name(*value), (low, at), (-7.0, 0.0), Side::Left);
            }
        }
    }
}
