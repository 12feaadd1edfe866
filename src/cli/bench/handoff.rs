//! `fusewire bench handoff`: what it costs to hand rows over and to get their answers back.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::super::options::{self, AnyModelArgs, PlanArgs};
use super::super::output::{self, Show};
use super::super::record;
use crate::bench::handoff::{self, Beside, HandoffOptions, HandoffReport};

const EXAMPLES: &str = "\
Examples:
  fusewire bench handoff                         some twenty seconds, on the shipped model
  fusewire bench handoff --full --out results    some minutes; results/report.html and data
  fusewire bench handoff model.onnx --input u8
  fusewire bench handoff --json | jq '.results[] | {experiment, variant, p50_us, rows_per_s}'

Latency and rows/s are those of a device that computes nothing, so that what is left is the
hand-over; the open loops and swaps run the model on the processor. Each figure stands beside one of
the same run: read ratios, for absolute times hold on one machine at one moment.";

/// Measure what it costs to hand rows over and to get their answers back.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Handoff {
    #[command(flatten)]
    model: AnyModelArgs,
    #[command(flatten)]
    plan: PlanArgs,
    /// A look at the machine, of some twenty seconds; the default.
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// Longer and more rounds, of some minutes.
    #[arg(long)]
    full: bool,
    /// The time for one figure, in place of what --quick (0.4) or --full (4) say.
    #[arg(long, value_name = "SECONDS", value_parser = options::parse_seconds)]
    seconds: Option<Duration>,
    /// Write report.html, report.json, report.csv and histograms into this directory.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl Handoff {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<ExitCode> {
        let model = self.model.load_for(&self.plan)?;
        let options = self.options();
        let folder = record::folder(self.out.as_deref())?;
        let report =
            output::with_progress(|show: &mut Show<'_>| handoff::run(&model, &options, show))?;
        record::keep(out, folder, &report.record, self.json, |out| match self.json {
            true => output::json(out, &report),
            false => write_report(out, &report),
        })?;
        Ok(ExitCode::SUCCESS)
    }

    fn options(&self) -> HandoffOptions {
        let length = if self.full { HandoffOptions::full() } else { HandoffOptions::quick() };
        let options = HandoffOptions { plan: self.plan.plan_options(), ..length };
        match self.seconds {
            Some(time) => options.with_figure_time(time),
            None => options,
        }
    }
}

fn write_report(out: &mut dyn Write, report: &HandoffReport) -> Result<()> {
    let (machine, model) = (&report.machine, &report.model);
    let (cpu, simd) = (output::one_line(&machine.cpu), output::one_line(&machine.simd));
    writeln!(out, "machine {cpu}, {simd}, {} cores, {}", machine.cores, machine.os)?;
    let name = output::one_line(&model.name);
    writeln!(out, "model {name}: {}", model.architecture)?;
    writeln!(out, "\nThere and back, one at a time\n\n{}", round_trips(report))?;
    writeln!(out, "\nAs many as possible, answered\n\n{}", rates(report))?;
    writeln!(out, "\nAt a rate, from the time each request was due\n\n{}", open_loops(report))?;
    write_notes(out, report)
}

fn round_trips(report: &HandoffReport) -> String {
    let timed = report.of("floor").chain(report.of("latency"));
    let rows = timed.filter_map(|cell| {
        let latency = cell.latency?;
        let mut row = vec![cell.title().to_owned()];
        let times = [latency.p50_us, latency.p90_us, latency.p99_us, latency.p999_us];
        row.extend(times.into_iter().chain([latency.max_us]).map(output::figure));
        row.extend(ratio(cell.beside.as_ref()));
        Some(row)
    });
    let header = ["", "p50, us", "p90, us", "p99, us", "p99.9, us", "max, us", "times", "the"];
    output::table(&header, &["", "the"], rows.collect())
}

fn rates(report: &HandoffReport) -> String {
    let experiments = ["floor", "throughput", "model_floor", "model_throughput"];
    let rated = experiments.iter().flat_map(|experiment| report.of(experiment));
    let rows = rated.filter_map(|cell| {
        let rate = cell.rate?;
        let mut row = vec![cell.title().to_owned(), cell.row_bytes.to_string()];
        row.push(cell.producers.to_string());
        let rates = [rate.rows_per_s, rate.rows_per_s_min, rate.rows_per_s_max];
        row.extend(rates.map(output::figure));
        row.extend(ratio(cell.beside.as_ref()));
        Some(row)
    });
    let header = ["", "bytes", "threads", "rows/s", "slowest", "fastest", "times", "the"];
    output::table(&header, &["", "the"], rows.collect())
}

fn open_loops(report: &HandoffReport) -> String {
    let scheduled = report.of("open_loop").chain(report.of("swap"));
    let rows = scheduled.filter_map(|cell| {
        let (latency, schedule) = (cell.latency?, cell.schedule?);
        let mut row = vec![cell.title().to_owned(), format!("{:.0} %", schedule.load * 100.0)];
        row.push(output::figure(schedule.offered_per_s));
        let due = [latency.p50_us, latency.p99_us, latency.p999_us];
        let sent = [schedule.late_p99_us, schedule.called_p50_us, schedule.called_p99_us];
        row.extend(due.into_iter().chain(sent).map(output::figure));
        row.push(if schedule.kept { "kept" } else { "NOT KEPT" }.to_owned());
        row.extend(ratio(cell.beside.as_ref()));
        Some(row)
    });
    let header = [
        "",
        "load",
        "rows/s",
        "p50, us",
        "p99, us",
        "p99.9, us",
        "late p99",
        "called p50",
        "called p99",
        "rate",
        "times",
        "the",
    ];
    output::table(&header, &["", "rate", "the"], rows.collect())
}

/// The ratio to another figure, and which one.
fn ratio(beside: Option<&Beside>) -> [String; 2] {
    beside.map_or_else(Default::default, |it| [output::figure(it.ratio), it.title()])
}

fn write_notes(out: &mut dyn Write, report: &HandoffReport) -> Result<()> {
    let method = &report.method;
    let (window, max_rows, rounds) = (method.window_rows, method.max_rows, method.rounds);
    let (workers, capacity) = (method.workers, output::thousands(method.capacity as u64));
    writeln!(out, "\nEvery answer was checked. Figures and floors took turns in {rounds} rounds;")?;
    writeln!(out, "rows/s are medians of them. Producers have {window} rows under way at most;")?;
    writeln!(out, "workers: {workers}, batches: up to {max_rows} rows, ring: {capacity} rows.")?;
    let spin = match method.spin_us {
        0.0 => String::from("threads park at once"),
        us => format!("threads spin for {} us before they park", output::figure(us)),
    };
    writeln!(out, "Where nothing else is said, {spin}: the default on this machine.")?;
    for swaps in report.of("swap").filter_map(|cell| cell.swaps) {
        let (count, p50, max) = (swaps.swaps, swaps.swap_p50_us, swaps.swap_max_us);
        let (p50, max) = (output::figure(p50), output::figure(max));
        writeln!(out, "{count} swaps, each {p50} us in the median and {max} us at most.")?;
    }
    if let Some(memory) = &report.memory {
        let mib = |bytes: u64| output::figure(bytes as f64 / f64::from(1 << 20));
        let (before, after) = (mib(memory.before_bytes), mib(memory.after_bytes));
        let requests = output::thousands(memory.requests);
        writeln!(out, "Memory: {before} MiB, and {after} MiB after {requests} more requests.")?;
    }
    if report.results.iter().any(|cell| cell.schedule.is_some_and(|it| !it.kept)) {
        let late = "requests went out late, or not at all";
        writeln!(
            out,
            "NOT KEPT: {late}; those times are the machine's as much as the pipeline's."
        )?;
    }
    if !report.had_cores() {
        let why = "other programs ran, or there is one core";
        writeln!(out, "Two spinning threads had no core each: {why}. Repeat it when it is quiet.")?;
    }
    if report.machine.debug_build {
        writeln!(out, "this is a debug build: figures worth quoting come from --release")?;
    }
    Ok(())
}
