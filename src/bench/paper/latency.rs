//! Latency: what requests of some rows take, one after the other.

use std::time::Duration;

use super::super::error::BenchError;
use super::super::lab::Lab;
use super::super::load::{Durations, Percentiles};
use super::super::record::{
    Axis, Chart, Column, Curve, Drawing, Point, Section, Stroke, Table, figure, thousands,
};
use super::super::stream::{Answered, Closed, Way};

/// The paper's rate of requests.
const EVERY: Duration = Duration::from_millis(100);
/// Requests that are not counted, where they follow each other at once: the paper's number, or as
/// many as the time of a warm-up has room for.
const WARM_UP: u64 = 200;

/// A way to run requests, and how tables and keys name it.
const LOOPS: [(Way, Duration, &str, &str); 3] = [
    (Way::Pipeline, EVERY, "pipeline, 10 a second", "pipeline"),
    (Way::Pipeline, Duration::ZERO, "pipeline, back to back", "pipeline_busy"),
    (Way::Caller, Duration::ZERO, "caller's thread, back to back", "caller_busy"),
];

const ABOUT: &str = "Closed loop: the next request starts once the one before is answered, at the \
    paper's 10 requests a second (processors and caches have cooled by then), or at once. The \
    pipeline hands the rows to a worker, as in a service with many callers; the caller's thread \
    scores them itself. Times are from the call that hands the rows over; generated are those \
    from generation, which count copying the rows together and looking at the scores, too.";

pub(super) fn run(lab: &mut Lab<'_>, batches: &[usize]) -> Result<(), BenchError> {
    let mut table = Table { columns: columns(), rows: Vec::new() };
    let mut curves = Vec::new();
    for subject in 0..lab.subjects.len() {
        let name = lab.subjects[subject].name.clone();
        let mut points = LOOPS.map(|_| Vec::new());
        for batch in batches.iter().copied() {
            lab.step(&format!("latency: {name}, {} rows a request", thousands(batch as u64)));
            for (number, (way, every, title, key)) in LOOPS.into_iter().enumerate() {
                let rounds = rounds(lab, subject, (way, every), batch)?;
                let key = format!("latency.{name}.{key}.batch={batch}");
                let pick = |clock: fn(&Answered) -> &Durations| {
                    rounds.iter().map(|round| clock(round).clone()).collect::<Vec<_>>()
                };
                lab.findings.times(&format!("{key}.from_generation"), &pick(|it| &it.generated));
                lab.findings.times(&format!("{key}.from_call"), &pick(|it| &it.called));
                let mut all = Answered::default();
                rounds.iter().for_each(|round| all.merge(round));
                let called = all.called.percentiles();
                points[number].push((batch, called));
                table.rows.push(row([&name, title], batch, &all, &called));
            }
        }
        for ((_, _, title, _), points) in LOOPS.into_iter().zip(points) {
            curves.push(curve(format!("{name}, {title}"), &points));
        }
    }
    let drawing = Drawing::Curves {
        x: Axis::log("rows a request"),
        y: Axis::log("p50 from call, us"),
        curves,
    };
    let title = String::from("Latency against the rows of a request");
    lab.findings.section(Section {
        title: String::from("Latency"),
        text: vec![String::from(ABOUT)],
        charts: vec![Chart { title, drawing }],
        tables: vec![table],
    });
    Ok(())
}

fn rounds(
    lab: &Lab<'_>,
    subject: usize,
    (way, every): (Way, Duration),
    batch: usize,
) -> Result<Vec<Answered>, BenchError> {
    let runs = lab.options.runs.max(1);
    // A batch size has three loops, and together they take the time of one figure.
    let time = lab.options.run_time;
    let (time, warm_up) = match every {
        EVERY => (time, 3),
        _ => (time / 8, WARM_UP),
    };
    let warm_up = (warm_up, lab.options.warm_up);
    let closed = Closed { way, batch, every, warm_up, time };
    (0..runs).map(|_| lab.job(subject, 1).closed_loop(&closed)).collect()
}

fn columns() -> Vec<Column> {
    let words = ["backend", "who, and when"].map(Column::words);
    let numbers = [
        "rows",
        "requests",
        "p50, us",
        "p99, us",
        "max, us",
        "generated p50, us",
        "generated p99, us",
        "p50, us a row",
    ];
    words.into_iter().chain(numbers.map(Column::numbers)).collect()
}

fn row(of: [&str; 2], batch: usize, all: &Answered, called: &Percentiles) -> Vec<String> {
    let generated = all.generated.percentiles();
    let times = [
        called.p50_us,
        called.p99_us,
        called.max_us,
        generated.p50_us,
        generated.p99_us,
        called.p50_us / batch as f64,
    ];
    let counts = [batch as u64, all.called.count()].map(thousands);
    of.map(str::to_owned).into_iter().chain(counts).chain(times.map(figure)).collect()
}

fn curve(name: String, points: &[(usize, Percentiles)]) -> Curve {
    let point = |(batch, called): &(usize, Percentiles)| Point {
        x: *batch as f64,
        y: called.p50_us,
        range: Some((called.p50_us, called.p99_us)),
    };
    Curve { name, stroke: Stroke::Marked, points: points.iter().map(point).collect() }
}
