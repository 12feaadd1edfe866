//! The highest rates: that are still sustained, and that still meet a bound.

use std::time::Duration;

use super::super::error::BenchError;
use super::super::lab::{Lab, Probe, Probes, SEARCH, SUSTAINED_SHARE, VERDICTS};
use super::super::load::{Kept, Search};
use super::super::record::{
    Axis, Better, Chart, Column, Curve, Drawing, Point, Section, Stroke, Table, figure, thousands,
};

/// Steps a backend has.
pub(super) const STEPS: usize = 2;

/// What a backend's searches found, with rates in rows a second.
pub(super) struct Limit {
    pub(super) name: String,
    pub(super) sustained: Option<f64>,
    pub(super) bounded: Option<f64>,
    /// All that was tried, by rate, ascending.
    tried: Vec<Probe>,
}

impl Limit {
    /// What was found, in a sentence.
    pub(super) fn in_short(&self, p99_bound: Duration) -> String {
        let said = |rate: &Option<f64>| match rate {
            Some(rate) => format!("{} rows/s", thousands(*rate as u64)),
            None => format!("no rate of {} rows/s or more", SEARCH.least_per_s),
        };
        let (sustained, bounded) = (said(&self.sustained), said(&self.bounded));
        let bound = figure(p99_bound.as_secs_f64() * 1e6);
        format!(
            "{}: {sustained} sustained; {bounded} with 99 of 100 rows answered within {bound} us.",
            self.name
        )
    }
}

pub(super) fn run(lab: &mut Lab<'_>, p99_bound: Duration) -> Result<Vec<Limit>, BenchError> {
    let mut limits = Vec::new();
    for subject in 0..lab.subjects.len() {
        limits.push(search(lab, subject, p99_bound)?);
    }
    for Limit { name, sustained, bounded, .. } in &limits {
        let found = |rate: &Option<f64>| rate.iter().copied().collect();
        let key = |of| format!("limit.{name}.{of}_per_s");
        lab.findings.figure(key("sustained"), "rows/s", Better::Higher, found(sustained));
        lab.findings.figure(key("within_bound"), "rows/s", Better::Higher, found(bounded));
    }
    let section = section(&limits, p99_bound);
    lab.findings.section(section);
    Ok(limits)
}

fn search(lab: &mut Lab<'_>, subject: usize, p99_bound: Duration) -> Result<Limit, BenchError> {
    let name = lab.subjects[subject].name.clone();
    let bound_us = p99_bound.as_secs_f64() * 1e6;
    let mut probes = Probes::default();
    lab.step(&format!("highest rate: {name}, sustained"));
    let sustained = probes.highest(lab, subject, SEARCH, |_| true)?;
    lab.step(&format!("highest rate: {name}, with a p99 within {} us", figure(bound_us)));
    let from = Search { first_per_s: sustained.map_or(0.0, |rate| rate / 2.0), ..SEARCH };
    let is_within = |kept: &Kept| kept.latency.percentiles().p99_us <= bound_us;
    let bounded = probes.highest(lab, subject, from, is_within)?;
    let mut tried = probes.tried;
    tried.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    // What meets the bound is sustained, too, whatever the first search met with.
    let sustained = [sustained, bounded].into_iter().flatten().max_by(f64::total_cmp);
    Ok(Limit { name, sustained, bounded, tried })
}

fn section(limits: &[Limit], p99_bound: Duration) -> Section {
    let mut text = vec![format!(
        "Open loop, one row a request, parallelism 1, one source. A rate is sustained where {:.0} \
         % of it comes out: where the median time in the last quarter of a try is not above that \
         in the first by more than {:.0} % of the time between. Each rate is tried until it passed \
         or failed {VERDICTS} times; the search ends within {:.0} %. Answers and times are of all \
         tries of a rate together, and times from generation.",
        SUSTAINED_SHARE * 100.0,
        (1.0 - SUSTAINED_SHARE) * 100.0,
        (SEARCH.within - 1.0) * 100.0
    )];
    text.extend(limits.iter().map(|limit| limit.in_short(p99_bound)));
    let curves = limits.iter().flat_map(curves).collect();
    let (x, y) = (Axis::log("offered, rows/s"), Axis::log("from generation to answer, us"));
    Section {
        title: String::from("The highest rates"),
        text,
        charts: vec![Chart {
            title: String::from("Latency against load"),
            drawing: Drawing::Curves { x, y, curves },
        }],
        tables: vec![table(limits)],
    }
}

fn curves(limit: &Limit) -> Vec<Curve> {
    let quantiles: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];
    let curve = |(title, quantile): (&str, f64)| {
        let point = |probe: &Probe| Point {
            x: probe.rate,
            y: probe.kept.latency.histogram().value_at_quantile(quantile) as f64 / 1e3,
            range: None,
        };
        Curve {
            name: format!("{}, {title}", limit.name),
            stroke: Stroke::Marked,
            points: limit.tried.iter().map(point).collect(),
        }
    };
    quantiles.map(curve).to_vec()
}

fn table(limits: &[Limit]) -> Table {
    let numbers = ["offered, rows/s", "answered, rows/s", "p50, us", "p99, us", "p99.9, us"];
    let mut columns = vec![Column::words("backend")];
    columns.extend(numbers.map(Column::numbers));
    columns.push(Column::words("sustained"));
    let rows = limits.iter().flat_map(|limit| {
        limit.tried.iter().map(|Probe { rate, kept, tries, sustained }| {
            let latency = kept.latency.percentiles();
            let times = [latency.p50_us, latency.p99_us, latency.p999_us].map(figure);
            let rates = [*rate, kept.answered_per_s()].map(|rate| thousands(rate as u64));
            let line = [limit.name.clone()].into_iter().chain(rates).chain(times);
            line.chain([format!("{sustained} of {tries}")]).collect()
        })
    });
    Table { columns, rows: rows.collect() }
}
