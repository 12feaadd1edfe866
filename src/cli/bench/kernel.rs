//! `fusewire bench kernel`: what batches cost on a device, and what its ceilings allow.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::super::options::{self, AnyModelArgs, DeviceArgs, PlanArgs};
use super::super::output::{self, Show};
use super::super::record;
use super::super::{FAILED, compare};
use crate::bench::kernel::{self, Ceilings, KernelCell, KernelOptions, KernelReport, Subject};

const EXAMPLES: &str = "\
Examples:
  fusewire bench kernel                          the shipped model on every device
  fusewire bench kernel model.onnx --backend cuda --input u8 --out results
  fusewire bench kernel --batch 1,1024,262144 --seconds 1
  fusewire bench kernel --json | jq '.results[] | {batch, p50_us, achieved}'

The round trip is one batch of one context, from rows in the device's own host memory to scores. The
computation is timed by the device's own clock, on a second opening of it; where it has none, GB/s
and GFLOP/s are those of the round trip. In flight are three contexts, busy in turn, on devices with
a memory of their own. Every answer is held against a computation in double precision; a wrong one
ends in exit code 1.";

/// Measure what batches cost on a device, beside its ceilings.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Kernel {
    #[command(flatten)]
    model: AnyModelArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    plan: PlanArgs,
    /// Batch sizes, separated by commas, in place of the powers of four up to 65536.
    #[arg(
        long,
        value_name = "ROWS",
        value_delimiter = ',',
        value_parser = options::parse_batch
    )]
    batch: Vec<usize>,
    /// The time for one figure, of which each batch size has two or three.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "0.3",
        value_parser = options::parse_seconds
    )]
    seconds: Duration,
    /// Write report.html, report.json, report.csv and histograms into this directory.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl Kernel {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<ExitCode> {
        let model = self.model.load_for(&self.plan)?;
        let subjects = kernel::subjects(&self.device.open_options())?;
        let folder = record::folder(self.out.as_deref())?;
        if !self.json {
            compare::write_start(out, &model, subjects.iter().map(Subject::candidate))?;
            out.flush()?;
        }
        let options = self.options();
        let measure = |show: &mut Show<'_>| kernel::run(&model, &subjects, &options, show);
        let report = output::with_progress(measure)?;
        record::keep(out, folder, &report.record, self.json, |out| match self.json {
            true => output::json(out, &report),
            false => write_report(out, &report),
        })?;
        Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    }

    fn options(&self) -> KernelOptions {
        let (plan, figure_time) = (self.plan.plan_options(), self.seconds);
        let options = KernelOptions { plan, figure_time, ..KernelOptions::default() };
        match self.batch.is_empty() {
            true => options,
            false => KernelOptions { batches: self.batch.clone(), ..options },
        }
    }
}

fn write_report(out: &mut dyn Write, report: &KernelReport) -> Result<()> {
    compare::write_plans(out, &report.devices)?;
    compare::write_agreements(out, &report.devices)?;
    for device in &report.devices {
        let Some(name) = device.name.as_deref() else { continue };
        let cells = || report.results.iter().filter(|cell| cell.device == name);
        let Some(last) = cells().next_back() else { continue };
        let (backend, name) = (device.backend, output::one_line(name));
        writeln!(out, "\n{backend} ({name})\n\n{}", table(cells()))?;
        if let Some(ceilings) = &last.ceilings {
            writeln!(out, "\n{}", ceilings_line(ceilings, last.batch))?;
        }
        for cell in report.pipelines.iter().filter(|cell| cell.device == last.device) {
            let (rate, share) = (output::figure(cell.rows_per_s), share(Some(cell.link_share)));
            let right = if cell.agrees { "" } else { "; WRONG" };
            let callers = cell.callers;
            writeln!(
                out,
                "pipeline: {rate} rows/s from {callers} callers, {share} of link{right}"
            )?;
        }
    }
    let method = &report.method;
    let (input, precision) = (method.input, method.precision);
    writeln!(out, "\n{input} rows, {precision} weights; closed loop, transfers in the round trip")?;
    if report.machine.debug_build {
        writeln!(out, "this is a debug build: figures worth quoting come from --release")?;
    }
    Ok(())
}

/// One line per batch size.
fn table<'a>(cells: impl Iterator<Item = &'a KernelCell>) -> String {
    let row = |cell: &KernelCell| {
        let (trip, achieved) = (&cell.measurement, &cell.achieved);
        let of_device = achieved.clock == "device";
        vec![
            output::thousands(cell.batch as u64),
            output::figure(trip.min_us),
            output::figure(trip.p50_us),
            output::figure(trip.p99_us),
            output::figure(trip.rows_per_s),
            share(cell.link_share),
            cell.in_flight.map_or_else(String::new, |it| output::figure(it.rows_per_s)),
            share(cell.in_flight.map(|it| it.link_share)),
            if of_device { output::figure(achieved.p50_us) } else { String::new() },
            output::figure(achieved.bytes_per_s / 1e9),
            share(achieved.memory_share),
            output::figure(achieved.flops_per_s / 1e9),
            share(achieved.flops_share),
            format!("{:.1e}", cell.max_abs_error),
            if cell.agrees { "" } else { "WRONG" }.to_owned(),
        ]
    };
    let header = [
        "batch",
        "trip min, us",
        "p50",
        "p99",
        "rows/s",
        "of link",
        "in flight, rows/s",
        "of link ",
        "compute p50, us",
        "GB/s",
        "of peak",
        "GFLOP/s",
        "of its peak",
        "largest error",
        "",
    ];
    output::table(&header, &[""], cells.map(row).collect())
}

fn share(of: Option<f64>) -> String {
    of.map_or_else(String::new, |share| format!("{:.1} %", share * 100.0))
}

fn ceilings_line(ceilings: &Ceilings, batch: usize) -> String {
    let giga = |rate: f64| output::figure(rate / 1e9);
    let batch = output::thousands(batch as u64);
    let mut line = format!("ceilings at {batch} rows: memory {} GB/s", giga(ceilings.bytes_per_s));
    if let Some(flops) = ceilings.flops_per_s {
        line += &format!(", {} GFLOP/s", giga(flops));
    }
    if let (Some(to), Some(from)) = (ceilings.link_in_bytes_per_s, ceilings.link_out_bytes_per_s) {
        line += &format!(", link {} GB/s in, {} GB/s out", giga(to), giga(from));
    }
    line
}
