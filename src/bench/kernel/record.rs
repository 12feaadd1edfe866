//! A run as a record: round trips, what of the ceilings they reach, and pipelines.

use super::super::power;
use super::super::record::{
    Axis, Better, Chart, Column, Drawing, Fact, Findings, Point, Record, Section, Table, Watch,
    figure, thousands,
};
use super::super::report::{DeviceReport, ModelFacts};
use super::lines::{self, curve, percent, point};
use super::report::KernelMethod;
use super::roof;
use super::taken::{Taken, TakenCell};

const ABOUT_TRIPS: &str = "Closed loop: the next batch starts when the one before has returned. \
    The round trip is one batch of one context, from rows in the device's own host memory to \
    scores in the host's; compute is launches alone by the device's own clock, on a second opening \
    of it, where it has one. In flight are three contexts, busy in turn, on devices with a memory \
    of their own. Bars through points reach from the lowest round's median to the highest's.";

/// The record of what was found.
pub(super) fn of(
    model: &ModelFacts,
    method: &KernelMethod,
    found: &[Taken],
    (watch, devices): (Watch, &[DeviceReport]),
) -> Record {
    let mut findings = Findings::default();
    for taken in found {
        taken.cells.iter().for_each(|cell| report(&mut findings, &taken.name, cell));
        if let Some(pipeline) = &taken.pipeline {
            let key = format!("{}.pipeline.rows_per_s", taken.name);
            findings.figure(key, "rows/s", Better::Higher, vec![pipeline.rows_per_s]);
        }
    }
    findings.section(round_trips(found));
    roof::sections(found).into_iter().for_each(|section| findings.section(section));
    findings.section(power::section(&found.iter().map(Taken::used).collect::<Vec<_>>()));
    findings.lead(found.iter().filter_map(in_short).collect());
    let title = format!("What batches cost: {}", model.architecture);
    findings.record(("kernel", &title), model.clone(), facts(method), (watch, devices))
}

/// Times and rates. Shares of ceilings are no figures of their own: a ceiling is measured once, so
/// that rounds would claim a certainty which they do not have.
fn report(findings: &mut Findings, name: &str, taken: &TakenCell) {
    let key = format!("{name}.batch={}", taken.cell.batch);
    findings.times(&format!("{key}.trip"), &taken.trips);
    if let Some(rounds) = taken.by_device() {
        findings.times(&format!("{key}.compute"), rounds);
    }
    if let Some(energy) = taken.cell.energy {
        let key = format!("{key}.trip.row_uj");
        findings.figure(key, "uJ", Better::Lower, vec![energy.row_j * 1e6]);
    }
    if !taken.in_flight.is_empty() {
        let key = format!("{key}.in_flight.rows_per_s");
        findings.figure(key, "rows/s", Better::Higher, taken.in_flight.clone());
    }
}

fn facts(method: &KernelMethod) -> Vec<Fact> {
    let (distinct, seed) = (method.rows_distinct, method.seed);
    vec![
        Fact::new("rows", format!("{distinct} distinct random images, seed {seed:#x}")),
        Fact::new("input", method.input),
        Fact::new("precision", method.precision),
        Fact::new("load", format!("{} loop", method.load)),
        Fact::new("clock: round trip", method.clock),
        Fact::new("clock: compute", "the device's own, launches alone"),
        Fact::new("figure", format!("{} s", figure(method.figure_s))),
        Fact::new("rounds", method.rounds.to_string()),
        Fact::new("answers", "every row of first and last batches held against double precision"),
    ]
}

/// A device's smallest and largest batches, in a sentence.
fn in_short(taken: &Taken) -> Option<String> {
    let (first, last) = (&taken.cells.first()?.cell, taken.cells.last()?);
    let rows = |batch: usize| match batch {
        1 => String::from("1 row"),
        rows => format!("{} rows", thousands(rows as u64)),
    };
    let (few, time) = (rows(first.batch), figure(first.measurement.p50_us));
    let (many, rate) = (rows(last.cell.batch), figure(last.cell.measurement.rows_per_s));
    let mut line = format!("{}: {few} there and back in {time} us", taken.name);
    line += &format!("; {rate} rows/s in batches of {many}");
    if let Some(share) = last.roof_share() {
        let clock = last.cell.achieved.clock;
        line += &format!(", {} of its ceilings by the {clock}'s clock", percent(Some(share)));
    }
    let right = taken.cells.iter().all(|taken| taken.cell.agrees);
    Some(line + if right { "." } else { ". SOME ANSWERS WERE WRONG." })
}

fn round_trips(found: &[Taken]) -> Section {
    let (mut times, mut rates) = (Vec::new(), Vec::new());
    for taken in found {
        let (name, cells) = (&taken.name, &taken.cells);
        times.push(curve(format!("{name}, round trip"), cells, trip));
        rates.push(curve(format!("{name}, one by one"), cells, |taken| {
            Some(point(taken, taken.cell.measurement.rows_per_s))
        }));
        if cells.iter().any(|taken| taken.by_device().is_some()) {
            times.push(curve(format!("{name}, compute"), cells, compute));
        }
        if cells.iter().any(|taken| taken.cell.in_flight.is_some()) {
            rates.push(curve(format!("{name}, in flight"), cells, |taken| {
                let rate = taken.cell.in_flight?.rows_per_s;
                Some(Point { range: ends(&taken.in_flight), ..point(taken, rate) })
            }));
        }
    }
    let chart = |title: &str, y: &str, curves| Chart {
        title: title.to_owned(),
        drawing: Drawing::Curves { x: Axis::log("rows of a batch"), y: Axis::log(y), curves },
    };
    let mut tables = vec![table(found)];
    tables.extend(pipelines(found));
    Section {
        title: String::from("Round trips"),
        text: vec![String::from(ABOUT_TRIPS)],
        charts: vec![
            chart("Time of a batch", "median time of a batch, us", times),
            chart("Rows a second", "rows/s", rates),
        ],
        tables,
    }
}

fn trip(taken: &TakenCell) -> Option<Point> {
    let medians: Vec<_> = taken.trips.iter().map(|round| round.percentiles().p50_us).collect();
    Some(Point { range: ends(&medians), ..point(taken, taken.cell.measurement.p50_us) })
}

fn compute(taken: &TakenCell) -> Option<Point> {
    let rounds = taken.by_device()?.iter().filter(|round| round.count() > 0);
    let medians: Vec<_> = rounds.map(|round| round.percentiles().p50_us).collect();
    Some(Point { range: ends(&medians), ..point(taken, taken.cell.achieved.p50_us) })
}

fn ends(rounds: &[f64]) -> Option<(f64, f64)> {
    let low = rounds.iter().copied().min_by(f64::total_cmp)?;
    Some((low, rounds.iter().copied().max_by(f64::total_cmp)?))
}

fn table(found: &[Taken]) -> Table {
    let numbers = [
        "rows of a batch",
        "trip min, us",
        "p50, us",
        "p99, us",
        "rows/s",
        "in flight, rows/s",
        "compute p50, us",
        "largest error",
    ];
    let columns = [Column::words("device")].into_iter().chain(numbers.map(Column::numbers));
    let row = |name: &str, taken: &TakenCell| {
        let (trip, achieved) = (&taken.cell.measurement, &taken.cell.achieved);
        let times = [trip.min_us, trip.p50_us, trip.p99_us, trip.rows_per_s].map(figure);
        let mut row = vec![name.to_owned(), thousands(taken.cell.batch as u64)];
        row.extend(times);
        row.push(taken.cell.in_flight.map_or_else(String::new, |it| figure(it.rows_per_s)));
        let computed = (achieved.clock == "device").then(|| figure(achieved.p50_us));
        row.push(computed.unwrap_or_default());
        let wrong = if taken.cell.agrees { "" } else { ", WRONG" };
        row.push(format!("{:.1e}{wrong}", taken.cell.max_abs_error));
        row
    };
    lines::table(columns, found, row)
}

/// Pipelines, where devices have a memory of their own.
fn pipelines(found: &[Taken]) -> Option<Table> {
    let row = |taken: &Taken| {
        let cell = taken.pipeline.as_ref()?;
        let counts = [cell.callers, cell.request_rows, cell.max_rows];
        let mut row = vec![taken.name.clone()];
        row.extend(counts.map(|count| thousands(count as u64)));
        row.extend([figure(cell.rows_per_s), percent(Some(cell.link_share))]);
        row.push(if cell.agrees { "right" } else { "WRONG" }.to_owned());
        Some(row)
    };
    let numbers =
        ["callers", "rows of a request", "most rows of a batch", "pipeline, rows/s", "of link"];
    let columns = [Column::words("device")].into_iter().chain(numbers.map(Column::numbers));
    let columns = columns.chain([Column::words("answers")]).collect();
    let rows: Vec<_> = found.iter().filter_map(row).collect();
    (!rows.is_empty()).then_some(Table { columns, rows })
}
