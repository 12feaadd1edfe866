//! Runs of the same thing, together and each by itself.

use super::super::error::BenchError;
use super::super::load::{Durations, Kept, Schedule};
use super::super::record::{Better, Column, Findings, Point, figure};
use super::super::stream::Outcome;
use super::Lab;

/// Runs of one schedule, and all of them together.
pub(in crate::bench) struct Runs {
    pub(in crate::bench) outcomes: Vec<Outcome>,
    pub(in crate::bench) all: Outcome,
    /// Rows of a request.
    rows: usize,
}

impl Runs {
    /// Keeps a schedule on a subject as often as the options say, with so many operators and rows a
    /// request.
    pub(in crate::bench) fn of(
        lab: &Lab<'_>,
        (subject, parallelism): (usize, usize),
        schedule: &Schedule,
        rows: usize,
    ) -> Result<Runs, BenchError> {
        let (mut outcomes, mut all) = (Vec::new(), Outcome::default());
        for _ in 0..lab.options.runs.max(1) {
            let outcome = lab.job(subject, parallelism).open_loop(schedule, rows)?;
            all.add(&outcome);
            outcomes.push(outcome);
        }
        Ok(Runs { outcomes, all, rows })
    }

    fn rows_per_s(&self, kept: &Kept) -> f64 {
        kept.answered_per_s() * self.rows as f64
    }

    fn each_rows_per_s(&self) -> Vec<f64> {
        self.outcomes.iter().map(|outcome| self.rows_per_s(&outcome.kept)).collect()
    }

    /// Rows answered a second over all runs at `x`, and the slowest and fastest run.
    pub(in crate::bench) fn point(&self, x: f64) -> Point {
        let rates = self.each_rows_per_s();
        let low = rates.iter().copied().fold(f64::INFINITY, f64::min);
        let high = rates.iter().copied().fold(0.0, f64::max);
        Point { x, y: self.rows_per_s(&self.all.kept), range: Some((low, high)) }
    }

    /// Adds the runs' figures under a key.
    pub(in crate::bench) fn report(&self, findings: &mut Findings, key: &str) {
        let rate = format!("{key}.answered_per_s");
        findings.figure(rate, "rows/s", Better::Higher, self.each_rows_per_s());
        let pick = |times: fn(&Kept) -> &Durations| {
            self.outcomes.iter().map(|outcome| times(&outcome.kept).clone()).collect::<Vec<_>>()
        };
        findings.times(&format!("{key}.from_generation"), &pick(|kept| &kept.latency));
        findings.times(&format!("{key}.from_call"), &pick(|kept| &kept.called));
    }

    /// A line of a table under [`columns`], after what it is of.
    pub(in crate::bench) fn row(&self, of: impl IntoIterator<Item = String>) -> Vec<String> {
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
        let rate = figure(self.rows_per_s(kept));
        let verdict = if kept.is_kept() { "kept" } else { "NOT KEPT" };
        let said = of.into_iter().chain([rate]).chain(times.map(figure));
        said.chain([verdict.to_owned()]).collect()
    }
}

/// The columns of runs, after those that say what a line is of.
pub(in crate::bench) fn columns(of: impl IntoIterator<Item = Column>) -> Vec<Column> {
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
    of.into_iter().chain(numbers).chain([Column::words("rate")]).collect()
}

/// What to know about a table of runs.
pub(in crate::bench) const ABOUT_RUNS: &str = "Times are from generation, the time a request was \
    scheduled, to its answer; called are those from the call that sent it, and late is how long \
    after its time it was sent. A rate is kept where every request was sent, 99 of 100 of them \
    within 100 us of their time.";
