//! The drawings of a record.

use super::super::load::Durations;
use super::super::record::{
    self, Axis, Chart, Curve, Drawing, Point, Ratio, Stroke, merged, thousands,
};
use super::report::HandoffCell;
use super::taken::Taken;

/// Every percentile of what was timed.
pub(super) fn spectrum(found: &[&Taken]) -> Chart {
    let timed = found.iter().filter(|taken| !taken.times.is_empty());
    let times: Vec<_> = timed.map(|it| (name(&it.cell), merged(&it.times))).collect();
    let curves: Vec<_> = times.iter().map(|(name, times)| (name.clone(), times)).collect();
    record::spectrum(&curves)
}

/// Every percentile of one thing.
pub(super) fn times(title: &str, name: &str, times: &Durations) -> Chart {
    Chart { title: title.to_owned(), ..record::spectrum(&[(name.to_owned(), times)]) }
}

/// Figures beside those that they were taken in turns with; none where there are none.
pub(super) fn ratios(title: &str, label: &str, found: &[&Taken]) -> Option<Chart> {
    let ratios = found.iter().filter_map(|taken| {
        let beside = taken.cell.beside.as_ref()?;
        Some(Ratio { name: name(&taken.cell), value: beside.ratio, interval: taken.interval })
    });
    let ratios: Vec<_> = ratios.collect();
    let is_empty = ratios.is_empty();
    let drawing = Drawing::Ratios { value: Axis::log(label), ratios };
    (!is_empty).then(|| Chart { title: title.to_owned(), drawing })
}

/// Latency over the share of the sustained rate that is offered, by both clocks.
pub(super) fn loads(found: &[&Taken]) -> Chart {
    type Clock = (&'static str, fn(&Taken) -> &[Durations]);
    const CLOCKS: [Clock; 2] =
        [("from due", |taken| &taken.times), ("from call", |taken| &taken.called)];
    const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];
    let curve = |(clock, times): Clock, (title, quantile): (&str, f64)| {
        let us = |times: &Durations| times.histogram().value_at_quantile(quantile) as f64 / 1e3;
        let points = found.iter().filter_map(|taken| {
            let rounds = times(taken).iter().map(us);
            let ends = rounds.fold((f64::INFINITY, 0.0_f64), |(low, high), round| {
                (low.min(round), high.max(round))
            });
            let x = taken.cell.schedule?.load * 100.0;
            Some(Point { x, y: us(&merged(times(taken))), range: Some(ends) })
        });
        let name = format!("{title}, {clock}");
        Curve { name, stroke: Stroke::Marked, points: points.collect() }
    };
    let curves = CLOCKS.iter().flat_map(|clock| QUANTILES.map(|quantile| curve(*clock, quantile)));
    Chart {
        title: String::from("Latency against load"),
        drawing: Drawing::Curves {
            x: Axis::linear("load, % of the sustained rate"),
            y: Axis::log("latency, us"),
            curves: curves.collect(),
        },
    }
}

/// What a figure is of, where several of its kind stand in one drawing.
fn name(cell: &HandoffCell) -> String {
    let title = cell.title();
    match (cell.experiment, cell.schedule) {
        ("throughput", _) => {
            let threads = if cell.producers == 1 { "1 thread" } else { "2 threads" };
            format!("{title}, {} bytes, {threads}", thousands(cell.row_bytes as u64))
        }
        ("open_loop", Some(schedule)) => format!("{title} at {:.0} %", schedule.load * 100.0),
        _ => title.to_owned(),
    }
}
