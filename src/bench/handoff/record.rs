//! A run as a record: exchanges beside their floors, loads, and swaps.

use super::super::record::{
    Better, Column, Fact, Findings, Record, Section, Table, Watch, figure, thousands,
};
use super::super::report::{DeviceReport, ModelFacts};
use super::charts;
use super::memory::Memory;
use super::report::{HandoffCell, HandoffMethod};
use super::taken::Taken;

const ABOUT_TRIPS: &str = "One caller waits for each answer before the next request; nothing is \
    computed, so that the hand-over is left. Floors are the same exchange of two threads by hand. \
    Figures and floors took turns in rounds.";
const ABOUT_RATES: &str = "Producers that keep a window of tickets, beside the same rows through \
    queues by hand, which know no tickets, deadlines, counts or failures; with the model, beside \
    direct calls of full batches on one thread. Rates are medians of the rounds.";
const ABOUT_LOADS: &str = "One thread sends single rows to the model on the processor, at a share \
    of the rate that two producers sustained in this run. Times are from when a request was due \
    until its answer was seen; called are those from the call that sent it, and late is how long \
    after its time that was. A rate is kept where every request was sent, 99 of 100 of them within \
    100 us of their time: otherwise times are the machine's as much as the pipeline's.";
const ABOUT_SWAPS: &str = "At half of the sustained rate, in windows with a swap of the model \
    every 50 ms and windows without, in turns. Every answer was that of the version it names.";
const ABOUT_RATIOS: &str = "Dots are ratios, bars 95 % intervals by the rounds of both, where \
    there are enough of them.";

/// The record of what was found.
pub(super) fn of(
    model: &ModelFacts,
    method: &HandoffMethod,
    (found, memory): (&[Taken], Option<&Memory>),
    (watch, processor): (Watch, DeviceReport),
) -> Record {
    let mut findings = Findings::default();
    found.iter().for_each(|taken| report(&mut findings, taken));
    let of = |wanted: &[&str]| -> Vec<&Taken> {
        found.iter().filter(|taken| wanted.contains(&taken.cell.experiment)).collect()
    };
    findings.section(round_trips(&of(&["floor", "latency"])));
    findings.section(rates(&of(&["floor", "throughput", "model_floor", "model_throughput"])));
    findings.section(loads(&of(&["open_loop"])));
    findings.section(swaps(&of(&["swap"])));
    if let Some(memory) = memory {
        let bytes = |bytes: u64| vec![bytes as f64];
        let (before, after) = (bytes(memory.before_bytes), bytes(memory.after_bytes));
        findings.figure(String::from("memory.before"), "bytes", Better::Lower, before);
        findings.figure(String::from("memory.after"), "bytes", Better::Lower, after);
        findings.section(resident(memory));
    }
    findings.lead(in_short(found));
    let title = "What it costs to hand rows over";
    findings.record(("handoff", title), model.clone(), facts(method), (watch, &[processor]))
}

/// What a figure is of, the same in every run.
fn key(cell: &HandoffCell) -> String {
    let key = format!("{}.{}", cell.experiment, cell.variant);
    match cell.experiment {
        // The model's rows have one size, and one number of threads.
        "throughput" => format!("{key}.bytes={}.producers={}", cell.row_bytes, cell.producers),
        "floor" if cell.row_bytes > 0 => {
            format!("{key}.bytes={}.producers={}", cell.row_bytes, cell.producers)
        }
        _ => key,
    }
}

fn report(findings: &mut Findings, taken: &Taken) {
    let key = key(&taken.cell);
    if taken.called.is_empty() && !taken.times.is_empty() {
        findings.times(&key, &taken.times);
    }
    if !taken.called.is_empty() {
        findings.times(&format!("{key}.from_due"), &taken.times);
        findings.times(&format!("{key}.from_call"), &taken.called);
    }
    if !taken.rates.is_empty() {
        let rounds = taken.rates.clone();
        findings.figure(format!("{key}.rows_per_s"), "rows/s", Better::Higher, rounds);
    }
    if let Some(swaps) = &taken.swaps {
        findings.times(&format!("{key}.swap"), std::slice::from_ref(swaps));
    }
    if let Some(beside) = &taken.cell.beside {
        let (quantity, better) = match beside.quantity {
            "rows_per_s" => ("rate", Better::Higher),
            "p99_us" => ("p99", Better::Lower),
            _ => ("p50", Better::Lower),
        };
        let ratios = taken.ratios.clone();
        findings.figure(format!("{key}.{quantity}_ratio"), "times", better, ratios);
    }
}

fn facts(method: &HandoffMethod) -> Vec<Fact> {
    let count = |number: usize| thousands(number as u64);
    vec![
        Fact::new("input", method.input),
        Fact::new("precision", method.precision),
        Fact::new("figure", format!("{} s", figure(method.figure_s))),
        Fact::new("rounds", method.rounds.to_string()),
        Fact::new("window", format!("{} rows of a producer", count(method.window_rows))),
        Fact::new("ring", format!("{} rows", count(method.capacity))),
        Fact::new("batches", format!("up to {} rows", count(method.max_rows))),
        Fact::new("workers", method.workers.to_string()),
        Fact::new("spin", format!("{} us, where nothing else is said", figure(method.spin_us))),
        Fact::new("answers", "every one checked; the model's bit by bit"),
    ]
}

/// Each ratio of a kind that matters most, in a sentence.
fn in_short(found: &[Taken]) -> Vec<String> {
    let said = |experiment: &str, variant: &str, what: &str| {
        let is_it =
            |taken: &&Taken| (taken.cell.experiment, taken.cell.variant) == (experiment, variant);
        let taken = found.iter().find(is_it)?;
        let beside = taken.cell.beside.as_ref()?;
        let (ratio, to) = (figure(beside.ratio), beside.title());
        Some(format!("{what}: {ratio} times the {to}."))
    };
    let lines = [
        said("latency", "spinning", "There and back, spinning"),
        said("latency", "parking", "There and back, parking"),
        said("model_throughput", "submit", "Single rows through the model, a second"),
        said("open_loop", "half", "Latency at half of that rate"),
        said("swap", "swapping", "p99 while models are swapped"),
    ];
    lines.into_iter().flatten().collect()
}

fn round_trips(found: &[&Taken]) -> Section {
    let times = |taken: &Taken| {
        let latency = taken.cell.latency?;
        let percentiles =
            [latency.p50_us, latency.p90_us, latency.p99_us, latency.p999_us, latency.max_us];
        Some(percentiles.map(figure).to_vec())
    };
    let numbers = ["p50, us", "p90, us", "p99, us", "p99.9, us", "max, us"];
    let ratios = charts::ratios("Round trips beside their floors", "times the floor", found);
    Section {
        title: String::from("There and back, one at a time"),
        text: vec![format!("{ABOUT_TRIPS} {ABOUT_RATIOS}")],
        charts: [charts::spectrum(found)].into_iter().chain(ratios).collect(),
        tables: vec![table(found, &numbers, times)],
    }
}

fn rates(found: &[&Taken]) -> Section {
    let rates = |taken: &Taken| {
        let (cell, rate) = (&taken.cell, taken.cell.rate?);
        let counts = [cell.row_bytes, cell.producers].map(|count| thousands(count as u64));
        let rates = [rate.rows_per_s, rate.rows_per_s_min, rate.rows_per_s_max].map(figure);
        Some(counts.into_iter().chain(rates).collect())
    };
    let numbers = ["bytes", "threads", "rows/s", "slowest", "fastest"];
    let ratios = charts::ratios("Rows a second beside floors", "share of the floor's rate", found);
    Section {
        title: String::from("As many as possible, answered"),
        text: vec![format!("{ABOUT_RATES} {ABOUT_RATIOS}")],
        charts: ratios.into_iter().collect(),
        tables: vec![table(found, &numbers, rates)],
    }
}

fn loads(found: &[&Taken]) -> Section {
    Section {
        title: String::from("Latency at a rate"),
        text: vec![String::from(ABOUT_LOADS)],
        charts: vec![charts::loads(found), charts::spectrum(found)],
        tables: vec![schedules(found)],
    }
}

fn swaps(found: &[&Taken]) -> Section {
    let mut text = vec![String::from(ABOUT_SWAPS)];
    for swaps in found.iter().filter_map(|taken| taken.cell.swaps) {
        let (count, p50, max) = (swaps.swaps, figure(swaps.swap_p50_us), figure(swaps.swap_max_us));
        let what = "planning, loading and warming the model";
        text.push(format!("{count} swaps ({what}): {p50} us in the median, {max} us at most."));
    }
    let took = found.iter().find_map(|taken| taken.swaps.clone());
    let took = took.map(|swaps| charts::times("How long a swap takes", "swaps", &swaps));
    Section {
        title: String::from("Swaps"),
        text,
        charts: [charts::spectrum(found)].into_iter().chain(took).collect(),
        tables: vec![schedules(found)],
    }
}

fn resident(memory: &Memory) -> Section {
    let mib = |bytes: u64| figure(bytes as f64 / f64::from(1 << 20));
    let (before, after) = (mib(memory.before_bytes), mib(memory.after_bytes));
    let requests = thousands(memory.requests);
    let text = format!("{before} MiB resident, and {after} MiB after {requests} more requests.");
    Section { title: String::from("Memory"), text: vec![text], ..Section::default() }
}

/// Figures that have these numbers, with what they stand beside.
fn table(found: &[&Taken], numbers: &[&str], row: impl Fn(&Taken) -> Option<Vec<String>>) -> Table {
    let mut columns = vec![Column::words("what")];
    columns.extend(numbers.iter().map(|name| Column::numbers(*name)));
    columns.extend([Column::numbers("times"), Column::words("the")]);
    let rows = found.iter().filter_map(|taken| {
        let mut cells = vec![taken.cell.title().to_owned()];
        cells.extend(row(taken)?);
        let beside = taken.cell.beside.as_ref();
        cells.extend(beside.map_or_else(Default::default, |it| [figure(it.ratio), it.title()]));
        Some(cells)
    });
    Table { columns, rows: rows.collect() }
}

fn schedules(found: &[&Taken]) -> Table {
    let numbers = [
        "load, %",
        "offered, rows/s",
        "p50, us",
        "p99, us",
        "p99.9, us",
        "late p99, us",
        "called p50, us",
        "called p99, us",
    ];
    let mut columns = vec![Column::words("what")];
    columns.extend(numbers.map(Column::numbers));
    columns.push(Column::words("rate"));
    let row = |taken: &Taken| {
        let (latency, schedule) = (taken.cell.latency?, taken.cell.schedule?);
        let times = [
            schedule.offered_per_s,
            latency.p50_us,
            latency.p99_us,
            latency.p999_us,
            schedule.late_p99_us,
            schedule.called_p50_us,
            schedule.called_p99_us,
        ];
        let verdict = if schedule.kept { "kept" } else { "NOT KEPT" };
        let mut row = vec![taken.cell.title().to_owned(), format!("{:.0}", schedule.load * 100.0)];
        row.extend(times.map(figure));
        row.push(verdict.to_owned());
        Some(row)
    };
    Table { columns, rows: found.iter().filter_map(|taken| row(taken)).collect() }
}
