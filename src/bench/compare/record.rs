//! A comparison as a record.

use std::time::Duration;

use super::super::power::{self, Used};
use super::super::record::{
    Axis, Better, Chart, Column, Curve, Drawing, Fact, Findings, Point, Ratio, Record, Section,
    Stroke, Table, Watch, figure, thousands,
};
use super::super::report::{Cell, DeviceReport, Report, State};
use super::subjects::{Subject, Taken};
use super::{crossover, roof};

/// The experiment's name, which its figures' keys begin with.
const NAME: &str = "compare";

const ABOUT_TIMES: &str = "Closed loop: one caller, one batch after the other. The clock covers \
    one call with rows and scores in the host's memory, so transfers to and from a device count. \
    Percentiles are of all rounds together.";

/// The record of what was found in rounds of this length.
pub(super) fn of(
    report: &Report,
    (subjects, round): (&[Subject], Duration),
    watch: Watch,
) -> Record {
    let mut findings = Findings::default();
    let keys: Vec<String> = subjects.iter().map(|subject| subject.key.clone()).collect();
    findings.lead(in_short(report));
    findings.section(answers(report, subjects));
    if !report.results.is_empty() {
        findings.section(times(report, subjects));
    }
    if !report.ratios.is_empty() {
        findings.section(against(report));
    }
    roof::section(report, &keys).into_iter().for_each(|section| findings.section(section));
    if !report.results.is_empty() {
        let used: Vec<_> = subjects.iter().map(|subject| used(subject, round)).collect();
        findings.section(power::section(&used));
    }
    for subject in subjects {
        for taken in &subject.taken {
            add(&mut findings, subject, taken);
        }
    }
    let title = format!("Backends compared: {}", report.model.architecture);
    let of = (NAME, &*title);
    findings.record(of, report.model.clone(), method(report), (watch, &report.devices))
}

/// The energy of a subject.
fn used(subject: &Subject, round: Duration) -> Used<'_> {
    let told = |taken: &Taken| Some((taken.batch, taken.energy()?));
    let cells = subject.taken.iter().filter_map(told).collect();
    Used { name: &subject.key, cells, missing: subject.no_energy(round) }
}

/// A subject's figures at one batch size.
fn add(findings: &mut Findings, subject: &Subject, taken: &Taken) {
    let key = format!("{NAME}.{}.batch={}", subject.key, taken.batch);
    let times: Vec<_> = taken.rounds.iter().map(|round| round.times.clone()).collect();
    findings.times(&key, &times);
    let rates = taken.by_round().map(|round| round.rows_per_s).collect();
    findings.figure(format!("{key}.rows_per_s"), "rows/s", Better::Higher, rates);
    let energy = taken.rounds.iter().filter_map(|round| round.energy);
    let energy: Vec<f64> = energy.map(|energy| energy.row_j * 1e6).collect();
    if !energy.is_empty() {
        findings.figure(format!("{key}.row_uj"), "uJ", Better::Lower, energy);
    }
}

fn method(report: &Report) -> Vec<Fact> {
    let method = &report.method;
    let rounds = method.rounds;
    let cell = figure(method.cell_s);
    vec![
        Fact::new("load", "closed: one caller, one batch after the other"),
        Fact::new("clock", method.clock),
        Fact::new("input", method.input),
        Fact::new("precision", method.precision),
        Fact::new("rows", format!("generated images, seed {:#x}", method.seed)),
        Fact::new(
            "rounds",
            format!("{rounds} a batch size, {cell} s together; devices take turns"),
        ),
        Fact::new("answers", "checked before and after the rounds of each batch size"),
    ]
}

/// What is wrong first, then who is fastest.
fn in_short(report: &Report) -> Vec<String> {
    let failed = report.devices.iter().filter(|device| device.state == State::Failed);
    let failed = failed.map(|device| {
        format!("{} failed: {}", device.backend, device.reason.as_deref().unwrap_or_default())
    });
    let agrees = |device: &&DeviceReport| device.agreement.is_some_and(|it| !it.agrees);
    let wrong = report.devices.iter().filter(agrees).map(|device| {
        format!(
            "{} does NOT agree with the oracle: how fast wrong scores are is of no use, and it is \
             left out of ratios and crossovers.",
            device.backend
        )
    });
    let mut told: Vec<String> = failed.chain(wrong).chain(crossover::told(report)).collect();
    if report.results.is_empty() {
        told.push(String::from("Nothing was measured."));
    }
    told
}

fn answers(report: &Report, subjects: &[Subject]) -> Section {
    let words = ["backend", "device", "verdict"].map(Column::words);
    let numbers =
        ["rows", "same class", "largest error", "share of the largest score", "allowed share"];
    let columns = words.into_iter().chain(numbers.map(Column::numbers)).collect();
    let rows = subjects.iter().map(|subject| {
        let it = &subject.agreement;
        let counts = [it.rows, it.same_class].map(|count| thousands(count as u64));
        let errors = [it.max_abs_error, it.max_error_share, it.tolerance];
        let verdict = if it.agrees { "agrees" } else { "DOES NOT AGREE" };
        let name = subject.executable.device().info().name.clone();
        let line = [subject.key.clone(), name, verdict.to_owned()].into_iter().chain(counts);
        line.chain(errors.map(|error| format!("{error:.1e}"))).collect()
    });
    let mut text = vec![format!(
        "Every device is held against a scalar computation in double precision, on {} generated \
         images before anything is timed, and before and after the rounds of each batch size.",
        thousands(report.method.rows_checked as u64)
    )];
    text.extend(subjects.iter().map(|subject| {
        let plan = subject.executable.plan().to_string();
        let lines: Vec<_> = plan.lines().map(str::trim).collect();
        format!("{}: {}.", subject.key, lines.join("; "))
    }));
    Section {
        title: String::from("Answers"),
        text,
        tables: vec![Table { columns, rows: rows.collect() }],
        ..Section::default()
    }
}

fn times(report: &Report, subjects: &[Subject]) -> Section {
    let latency = curves(report, subjects, |cell, _| {
        let times = &cell.measurement;
        (times.p50_us, (times.p50_us, times.p99_us))
    });
    let rates = curves(report, subjects, |cell, taken| {
        let rates = || taken.by_round().map(|round| round.rows_per_s);
        let low = rates().fold(f64::INFINITY, f64::min);
        (cell.measurement.rows_per_s, (low, rates().fold(0.0, f64::max)))
    });
    let chart = |title: &str, y: &str, curves| Chart {
        title: title.to_owned(),
        drawing: Drawing::Curves { x: Axis::log("rows in a batch"), y: Axis::log(y), curves },
    };
    Section {
        title: String::from("Times over batch sizes"),
        text: vec![String::from(ABOUT_TIMES)],
        charts: vec![
            chart("Time of a batch", "p50, with p99 above it, us", latency),
            chart("Rows a second", "rows/s, with slowest and fastest round", rates),
        ],
        tables: vec![table(report)],
    }
}

/// A curve for each subject, of a value and how far it ranges at each batch size.
fn curves(
    report: &Report,
    subjects: &[Subject],
    value: impl Fn(&Cell, &Taken) -> (f64, (f64, f64)),
) -> Vec<Curve> {
    let curve = |subject: &Subject| {
        let cells = report.results.iter().filter(|cell| cell.key == subject.key);
        let mut points: Vec<Point> = cells
            .zip(&subject.taken)
            .map(|(cell, taken)| {
                let (y, range) = value(cell, taken);
                Point { x: cell.batch as f64, y, range: Some(range) }
            })
            .collect();
        points.sort_by(|a, b| a.x.total_cmp(&b.x));
        let software = subject.executable.device().info().software;
        Curve { name: shown(&subject.key, software), stroke: Stroke::Marked, points }
    };
    let measured = subjects.iter().filter(|subject| !subject.taken.is_empty());
    measured.map(curve).collect()
}

fn shown(key: &str, software: bool) -> String {
    if software { format!("{key} (software)") } else { key.to_owned() }
}

fn table(report: &Report) -> Table {
    let first = [Column::numbers("batch"), Column::words("backend")];
    let numbers = ["batches", "rounds", "p50, us", "p99, us", "max, us", "rows/s", "largest error"];
    let mut columns: Vec<Column> = first.into_iter().chain(numbers.map(Column::numbers)).collect();
    columns.push(Column::words("verdict"));
    let mut rows = Vec::new();
    for batch in report.batches() {
        let fastest = report.fastest(batch).map(|cell| &cell.key);
        for cell in report.results.iter().filter(|cell| cell.batch == batch) {
            let times = &cell.measurement;
            let verdict = match cell.agrees {
                true if Some(&cell.key) == fastest => "fastest",
                true => "",
                false => "DOES NOT AGREE",
            };
            rows.push(vec![
                thousands(batch as u64),
                shown(&cell.key, cell.software),
                thousands(times.batches),
                cell.rounds.to_string(),
                figure(times.p50_us),
                figure(times.p99_us),
                figure(times.max_us),
                figure(times.rows_per_s),
                format!("{:.1e}", cell.max_abs_error),
                verdict.to_owned(),
            ]);
        }
    }
    Table { columns, rows }
}

/// Ratios to one device, and where lines cross.
fn against(report: &Report) -> Section {
    let to = report.ratios.first().map_or("", |ratio| &ratio.to);
    let ratios = report.ratios.iter().map(|it| Ratio {
        name: format!("{}, batch {}", it.of, thousands(it.batch as u64)),
        value: it.ratio,
        interval: it.interval,
    });
    let value = Axis::log(format!("median time of {to} over its own (above 1 it is faster)"));
    let mut text = vec![format!(
        "How many times as fast as {to} the others are, by the rounds' medians. Devices took \
         turns, round by round; the interval holds the ratio with 95 % confidence, whatever the \
         rounds' distribution (Hodges and Lehmann)."
    )];
    text.push(match report.crossovers.is_empty() {
        true => String::from("No two devices change places between the batch sizes measured."),
        false => String::from(
            "Crossovers are interpolated between the batch sizes measured, on logarithmic axes. \
             One is clear where the rounds tell on both sides who is faster.",
        ),
    });
    let mut tables = vec![ratio_table(report, to)];
    if !report.crossovers.is_empty() {
        tables.push(crossover_table(report));
    }
    Section {
        title: format!("Beside {to}"),
        text,
        charts: vec![Chart {
            title: format!("Speed beside {to}"),
            drawing: Drawing::Ratios { value, ratios: ratios.collect() },
        }],
        tables,
    }
}

fn ratio_table(report: &Report, to: &str) -> Table {
    let numbers = [&*format!("times as fast as {to}"), "at least", "at most"].map(Column::numbers);
    let first = [Column::numbers("batch"), Column::words("backend")];
    let rows = report.ratios.iter().map(|it| {
        let (low, high) = it.interval.unzip();
        let ends = [low, high].map(|end| end.map_or(String::from("not known"), figure));
        let line = [thousands(it.batch as u64), it.of.clone(), figure(it.ratio)];
        line.into_iter().chain(ends).collect()
    });
    Table { columns: first.into_iter().chain(numbers).collect(), rows: rows.collect() }
}

fn crossover_table(report: &Report) -> Table {
    let columns = vec![
        Column::numbers("from about, rows"),
        Column::words("is faster"),
        Column::words("than"),
        Column::words("between batches"),
        Column::words("clear"),
    ];
    let rows = report.crossovers.iter().map(|it| {
        let (low, high) = it.between;
        vec![
            crossover::about(it.rows),
            it.faster.clone(),
            it.slower.clone(),
            format!("{} and {}", thousands(low as u64), thousands(high as u64)),
            String::from(if it.clear { "yes" } else { "no" }),
        ]
    });
    Table { columns, rows: rows.collect() }
}
