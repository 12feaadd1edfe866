//! A drawing with what stands around it: caption, names of the axes, legend.

use super::super::numbers;
use super::super::{Chart, Curve, Drawing, Stroke};
use super::markup::{element, escaped};
use super::palette::{Ink, Mark};
use super::{bars, curves};

/// The chart as a figure.
pub(super) fn figure(chart: &Chart) -> String {
    let description = describe(&chart.drawing);
    let names = (&*chart.title, &*description);
    let (above, drawing, below, legend) = match &chart.drawing {
        Drawing::Curves { x, y, curves } => {
            let drawing = curves::svg(names, (x, y), curves);
            (Some(y), drawing, x, legend_of_curves(curves))
        }
        Drawing::Bars { value, parts, bars } => {
            let drawing = bars::bars(names, value, bars);
            (None, drawing, value, legend_of_parts(parts))
        }
        Drawing::Ratios { value, ratios } => {
            (None, bars::ratios(names, value, ratios), value, String::new())
        }
    };
    let mut figure = String::from("<figure>\n");
    figure += &element("figcaption", &chart.title);
    if let Some(axis) = above {
        figure += &format!("<p class=\"axis\">{}</p>\n", escaped(&axis.label));
    }
    match drawing {
        Some(drawing) => figure += &drawing,
        None => figure += "<p class=\"empty\">There is no value to draw.</p>\n",
    }
    figure += &format!("<p class=\"axis below\">{}</p>\n", escaped(&below.label));
    figure += &legend;
    figure + "</figure>\n"
}

/// The drawing in words, for who does not see it; the numbers are in the tables.
fn describe(drawing: &Drawing) -> String {
    let log = |is_log: bool| if is_log { ", a log axis" } else { "" };
    match drawing {
        Drawing::Curves { x, y, curves } => {
            let (x_log, y_log) = (log(x.is_log), log(y.is_log));
            let names: Vec<_> = curves.iter().map(describe_curve).collect();
            format!("{}{y_log} over {}{x_log}. {}", y.label, x.label, names.join("; "))
        }
        Drawing::Bars { value, parts, bars } => {
            let total = |values: &[f64]| numbers::figure(values.iter().sum());
            let bars: Vec<_> =
                bars.iter().map(|bar| format!("{} {}", bar.name, total(&bar.values))).collect();
            format!("{}, of {}: {}", value.label, parts.join(", "), bars.join("; "))
        }
        Drawing::Ratios { value, ratios } => {
            let ratios: Vec<_> = ratios
                .iter()
                .map(|ratio| format!("{} {}", ratio.name, numbers::figure(ratio.value)))
                .collect();
            format!("{}: {}", value.label, ratios.join("; "))
        }
    }
}

fn describe_curve(curve: &Curve) -> String {
    match (curve.points.first(), curve.points.last()) {
        (Some(first), Some(last)) => {
            let [from, at_x, to, x] = [first.y, first.x, last.y, last.x].map(numbers::figure);
            format!("{}: {from} at {at_x}, {to} at {x}", curve.name)
        }
        _ => format!("{}: no points", curve.name),
    }
}

fn legend_of_curves(curves: &[Curve]) -> String {
    let entries = curves::looks(curves).map(|(curve, ink, mark)| {
        let line = curve.stroke != Stroke::Points;
        let mark = (curve.stroke != Stroke::Reference).then_some(mark);
        (&*curve.name, key(ink, line, mark))
    });
    legend(entries.collect())
}

fn legend_of_parts(parts: &[String]) -> String {
    let parts = parts.iter().enumerate();
    let entries =
        parts.map(|(index, name)| (&**name, key(Ink::Series(index), false, Some(Mark::Square))));
    legend(entries.collect())
}

fn legend(entries: Vec<(&str, String)>) -> String {
    if entries.is_empty() {
        return String::new();
    }
    let entries = entries.iter().map(|(name, key)| format!("<li>{key}{}</li>\n", escaped(name)));
    format!("<ul class=\"legend\">\n{}</ul>\n", entries.collect::<String>())
}

/// The sample before a name in a legend.
fn key(ink: Ink, has_line: bool, mark: Option<Mark>) -> String {
    let colour = ink.hex();
    let (width, radius) = if has_line { (280.0, 45.0) } else { (160.0, 60.0) };
    let middle = width / 2.0;
    let mut shapes = String::new();
    if has_line {
        let ends = format!("x1=\"0\" y1=\"80\" x2=\"{width}\" y2=\"80\"");
        shapes += &format!("<line {ends} stroke=\"{colour}\" stroke-width=\"22\"/>");
    }
    match mark {
        Some(Mark::Disc) => {
            let place = format!("cx=\"{middle}\" cy=\"80\" r=\"{radius}\"");
            shapes += &format!("<circle {place} fill=\"{colour}\"/>");
        }
        Some(mark) => {
            let corner = |(x, y): &(f64, f64)| {
                format!("{:.0},{:.0}", middle + x * radius, 80.0 + y * radius)
            };
            let corners: Vec<_> = mark.corners().iter().map(corner).collect();
            shapes += &format!("<polygon points=\"{}\" fill=\"{colour}\"/>", corners.join(" "));
        }
        None => {}
    }
    format!("<svg class=\"key\" aria-hidden=\"true\" viewBox=\"0 0 {width} 160\">{shapes}</svg>")
}
