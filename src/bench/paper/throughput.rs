//! Throughput: predictions a second that come out, at rates that go in.

use std::time::Duration;

use super::super::error::BenchError;
use super::super::load::{Durations, Kept, Schedule};
use super::super::record::{
    Axis, Bar, Better, Chart, Column, Curve, Drawing, Point, Section, Stroke, Table, figure,
    spectrum, thousands,
};
use super::super::stream::{Outcome, Stages};
use super::lab::Lab;

/// Rows of a run at least, however low the rate: fewer make no rate of their own.
const ROWS_MIN: f64 = 10.0;

/// Runs at one rate, and all of them together.
pub(super) struct Runs {
    pub(super) outcomes: Vec<Outcome>,
    pub(super) all: Outcome,
}

impl Runs {
    /// Does something as often as the options say.
    pub(super) fn of(
        lab: &Lab<'_>,
        mut run: impl FnMut() -> Result<Outcome, BenchError>,
    ) -> Result<Runs, BenchError> {
        let (mut outcomes, mut all) = (Vec::new(), Outcome::default());
        for _ in 0..lab.options.runs.max(1) {
            let outcome = run()?;
            all.add(&outcome);
            outcomes.push(outcome);
        }
        Ok(Runs { outcomes, all })
    }

    fn answered_per_s(&self) -> Vec<f64> {
        self.outcomes.iter().map(|outcome| outcome.kept.answered_per_s()).collect()
    }

    /// Rows answered a second over all runs at `x`, and the slowest and fastest run.
    pub(super) fn point(&self, x: f64) -> Point {
        let rates = self.answered_per_s();
        let low = rates.iter().copied().fold(f64::INFINITY, f64::min);
        let high = rates.iter().copied().fold(0.0, f64::max);
        Point { x, y: self.all.kept.answered_per_s(), range: Some((low, high)) }
    }

    /// Adds the runs' figures under a key.
    pub(super) fn report(&self, lab: &mut Lab<'_>, key: &str) {
        let rate = format!("{key}.answered_per_s");
        lab.findings.figure(rate, "rows/s", Better::Higher, self.answered_per_s());
        let pick = |times: fn(&Kept) -> &Durations| {
            self.outcomes.iter().map(|outcome| times(&outcome.kept).clone()).collect::<Vec<_>>()
        };
        lab.findings.times(&format!("{key}.from_generation"), &pick(|kept| &kept.latency));
        lab.findings.times(&format!("{key}.from_call"), &pick(|kept| &kept.called));
    }

    /// A line of a table under [`columns`], after what it is of.
    pub(super) fn row(&self, of: [String; 2]) -> Vec<String> {
        let kept = &self.all.kept;
        let (latency, called) = (kept.latency.percentiles(), kept.called.percentiles());
        let times = [
            latency.p50_us,
            latency.p99_us,
            latency.p999_us,
            called.p50_us,
            called.p99_us,
            kept.late.percentiles().p99_us,
        ];
        let rate = figure(kept.answered_per_s());
        let verdict = if kept.is_kept() { "kept" } else { "NOT KEPT" };
        let said = of.into_iter().chain([rate]).chain(times.map(figure));
        said.chain([verdict.to_owned()]).collect()
    }
}

/// The columns of runs, after the first two.
pub(super) fn columns(second: &str) -> Vec<Column> {
    let numbers = [
        "answered, rows/s",
        "p50, us",
        "p99, us",
        "p99.9, us",
        "called p50, us",
        "called p99, us",
        "late p99, us",
    ];
    let numbers = numbers.map(Column::numbers);
    let first = [Column::words("backend"), Column::numbers(second)];
    first.into_iter().chain(numbers).chain([Column::words("rate")]).collect()
}

/// What to know about a table of runs.
pub(super) const ABOUT_RUNS: &str = "Times are from generation, the time a row was scheduled, \
    to its answer; called are those from the call that sent it, and late is how long after its \
    time it was sent. A rate is kept where every row was sent, 99 of 100 of them within 100 us of \
    their time.";

pub(super) fn run(lab: &mut Lab<'_>) -> Result<(), BenchError> {
    let mut section = Section {
        title: String::from("Throughput against the offered rate"),
        text: vec![format!("Open loop, one row a request, parallelism 1. {ABOUT_RUNS}")],
        ..Section::default()
    };
    let mut table = Table { columns: columns("offered, rows/s"), rows: Vec::new() };
    let rates = lab.options.rates.clone();
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
        for rate in &rates {
            lab.step(&format!("throughput: {name}, {} rows/s", thousands(*rate as u64)));
            let time = lab.options.run_time.max(Duration::from_secs_f64(ROWS_MIN / rate));
            let schedule = Schedule::new(*rate, time).after(lab.options.warm_up);
            let runs = Runs::of(lab, || lab.job(subject, 1).open_loop(&schedule))?;
            points.push(runs.point(*rate));
            runs.report(lab, &format!("throughput.{name}.rate={rate}"));
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
