//! Throughput: predictions a second that come out, at rates that go in.

use std::time::Duration;

use super::super::error::BenchError;
use super::super::lab::{ABOUT_RUNS, Lab, Runs, columns};
use super::super::load::Schedule;
use super::super::record::{
    Axis, Bar, Chart, Column, Curve, Drawing, Point, Section, Stroke, Table, figure, spectrum,
    thousands,
};
use super::super::stream::Stages;

/// Rows of a run at least, however low the rate: fewer make no rate of their own.
const ROWS_MIN: f64 = 10.0;

pub(super) fn run(lab: &mut Lab<'_>, rates: &[f64]) -> Result<(), BenchError> {
    let mut section = Section {
        title: String::from("Throughput against the offered rate"),
        text: vec![format!("Open loop, one row a request, parallelism 1. {ABOUT_RUNS}")],
        ..Section::default()
    };
    let of = [Column::words("backend"), Column::numbers("offered, rows/s")];
    let mut table = Table { columns: columns(of), rows: Vec::new() };
    let ideal = rates.iter().map(|rate| Point { x: *rate, y: *rate, range: None });
    let mut curves = vec![Curve {
        name: String::from("offered"),
        stroke: Stroke::Reference,
        points: ideal.collect(),
    }];
    let (mut stages, mut spectra) = (Vec::new(), Vec::new());
    for subject in 0..lab.subjects.len() {
        let (mut points, mut last) = (Vec::new(), Stages::default());
        let name = lab.subjects[subject].name.clone();
        for rate in rates {
            lab.step(&format!("throughput: {name}, {} rows/s", thousands(*rate as u64)));
            let time = lab.options.run_time.max(Duration::from_secs_f64(ROWS_MIN / rate));
            let schedule = Schedule::new(*rate, time).after(lab.options.warm_up);
            let runs = Runs::of(lab, (subject, 1), &schedule, 1)?;
            points.push(runs.point(*rate));
            runs.report(&mut lab.findings, &format!("throughput.{name}.rate={rate}"));
            table.rows.push(runs.row([name.clone(), thousands(*rate as u64)]));
            last = runs.all.stages;
            let title = format!("{name}, {} rows/s", thousands(*rate as u64));
            spectra.push((title, runs.all.kept.latency));
        }
        curves.push(Curve { name: name.clone(), stroke: Stroke::Marked, points });
        stages.push((name, last));
    }
    let axes = [Axis::log("offered, rows/s"), Axis::log("answered, rows/s")];
    let [x, y] = axes;
    let title = String::from("Rows answered a second against rows offered a second");
    section.charts.push(Chart { title, drawing: Drawing::Curves { x, y, curves } });
    let spectra: Vec<_> = spectra.iter().map(|(title, times)| (title.clone(), times)).collect();
    section.charts.push(spectrum(&spectra));
    section.tables.push(table);
    lab.findings.section(section);
    lab.findings.section(where_time_went(&stages, rates.last().copied().unwrap_or_default()));
    Ok(())
}

/// The stages of a row on each backend, at the highest rate.
fn where_time_went(stages: &[(String, Stages)], rate: f64) -> Section {
    let bars = stages
        .iter()
        .map(|(name, stages)| Bar { name: name.clone(), values: stages.means_us().to_vec() });
    let bars: Vec<Bar> = bars.collect();
    let drawing = Drawing::Bars {
        value: Axis::linear("mean time from call to answer, us"),
        parts: Stages::NAMES.map(str::to_owned).to_vec(),
        bars: bars.clone(),
    };
    let mut columns = vec![Column::words("backend")];
    columns.extend(Stages::NAMES.map(|stage| Column::numbers(format!("{stage}, us"))));
    let row = |bar: &Bar| {
        let times = bar.values.iter().map(|time| figure(*time));
        std::iter::once(bar.name.clone()).chain(times).collect()
    };
    let rate = thousands(rate as u64);
    Section {
        title: String::from("Where the time went"),
        text: vec![format!(
            "At {rate} rows/s, means from the call: waiting for the operator (queue), forming the \
             batch (input), scoring (compute), copying scores out (output), and until the answer \
             was seen (reply)."
        )],
        charts: vec![Chart { title: format!("Stages of a row at {rate} rows/s"), drawing }],
        tables: vec![Table { columns, rows: bars.iter().map(row).collect() }],
    }
}
