//! `fusewire compare`: which backend is fastest here, and whether all of them are right.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::options::{AnyModelArgs, DeviceArgs, PlanArgs};
use super::output::{self, Show};
use super::{FAILED, devices, options, record};
use crate::bench::compare::{self, Candidate, CompareOptions, Comparison};
use crate::bench::report::{Cell, DeviceReport, Report, State};
use crate::model::Model;

const EXAMPLES: &str = "\
Examples:
  fusewire compare                             the shipped model on every device
  fusewire compare model.onnx --input u8 --out results
  fusewire compare --software                  software adapters take part
  fusewire compare --json | jq '.results[] | select(.batch == 1)'

Each device is first checked against a scalar computation in double precision. The loop is closed
(one caller, one batch after the other) and the clock includes transfers to and from the device.
Devices take turns in short rounds. What --out writes, `fusewire bench diff` compares.";

/// Check and measure every backend on one model.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Compare {
    #[command(flatten)]
    model: AnyModelArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    plan: PlanArgs,
    /// Batch sizes, separated by commas.
    #[arg(
        long,
        value_name = "ROWS",
        value_delimiter = ',',
        default_value = "1,8,64,256,1024",
        value_parser = options::parse_batch
    )]
    batch: Vec<usize>,
    /// Write report.html, report.json, report.csv and histograms into this directory.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl Compare {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<ExitCode> {
        let model = self.model.load_for(&self.plan)?;
        let candidates = compare::candidates(&self.device.open_options())?;
        let folder = record::folder(self.out.as_deref())?;
        if !self.json {
            write_start(out, &model, &candidates)?;
            out.flush()?;
        }
        let comparison = self.measure(&model, &candidates)?;
        record::keep(out, folder, &comparison.record, self.json, |out| match self.json {
            true => output::json(out, &comparison.report),
            false => write_findings(out, &comparison),
        })?;
        let is_sound = comparison.report.is_sound();
        Ok(if is_sound { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    }

    fn measure(&self, model: &Model, candidates: &[Candidate]) -> Result<Comparison> {
        let options = CompareOptions {
            plan: self.plan.plan_options(),
            batches: self.batch.clone(),
            ..CompareOptions::default()
        };
        let run = |show: &mut Show<'_>| compare::compare(model, candidates, &options, show);
        Ok(output::with_progress(run)?)
    }
}

pub(super) fn write_start<'a>(
    out: &mut dyn Write,
    model: &Model,
    candidates: impl IntoIterator<Item = &'a Candidate>,
) -> Result<()> {
    let (name, widths) = (output::one_line(model.name()), model.architecture());
    writeln!(out, "model {name}: {widths}, content hash {}\n", model.content_hash().short())?;
    let mut candidates = candidates.into_iter();
    candidates.try_for_each(|candidate| devices::write_device(out, candidate.report()))?;
    writeln!(out)?;
    Ok(())
}

fn write_findings(out: &mut dyn Write, comparison: &Comparison) -> Result<()> {
    let report = &comparison.report;
    write_plans(out, &report.devices)?;
    write_agreements(out, &report.devices)?;
    if !report.results.is_empty() {
        writeln!(out, "\n{}\n", table(report))?;
        for sentence in comparison.in_short() {
            writeln!(out, "{}", output::wrapped(&sentence))?;
        }
        let method = &report.method;
        let (input, precision) = (method.input, method.precision);
        writeln!(out, "{input} rows, {precision} weights; closed loop, transfers included")?;
    }
    if report.machine.debug_build {
        writeln!(out, "this is a debug build: figures worth quoting come from --release")?;
    }
    Ok(())
}

/// The plans that ran, each once.
pub(super) fn write_plans(out: &mut dyn Write, devices: &[DeviceReport]) -> Result<()> {
    let mut shown = BTreeSet::new();
    for device in devices {
        if let Some(plan) = device.plan.as_deref().filter(|plan| shown.insert(*plan)) {
            writeln!(out, "{}: {}", device.backend, output::lines(plan))?;
        }
    }
    writeln!(out)?;
    Ok(())
}

/// How right each device is, or why it failed.
pub(super) fn write_agreements(out: &mut dyn Write, devices: &[DeviceReport]) -> Result<()> {
    devices.iter().try_for_each(|device| write_agreement(out, device))
}

fn write_agreement(out: &mut dyn Write, device: &DeviceReport) -> Result<()> {
    let name = output::one_line(device.name.as_deref().unwrap_or_default());
    if device.plan.is_some() && device.state == State::Failed {
        let reason = output::one_line(device.reason.as_deref().unwrap_or_default());
        writeln!(out, "{} failed: {reason}", device.backend)?;
    }
    let Some(agreement) = &device.agreement else {
        return Ok(());
    };
    let verdict = if agreement.agrees { "agrees" } else { "DOES NOT AGREE" };
    let (backend, rows) = (device.backend, output::thousands(agreement.rows as u64));
    writeln!(
        out,
        "{backend} ({name}) {verdict} with the oracle on {rows} generated images: \
         largest error {:.1e}, {:.1e} of the row's largest score (at most {:.0e}), \
         same class {} of {rows}",
        agreement.max_abs_error,
        agreement.max_error_share,
        agreement.tolerance,
        output::thousands(agreement.same_class as u64)
    )?;
    Ok(())
}

/// One line per batch size and device, the fastest of each batch size marked.
fn table(report: &Report) -> String {
    let mut rows = Vec::new();
    for batch in report.batches() {
        let fastest = report.fastest(batch).map(|cell| &cell.key);
        for cell in report.results.iter().filter(|cell| cell.batch == batch) {
            let mark = if Some(&cell.key) == fastest { "fastest" } else { "" };
            rows.push(vec![
                output::thousands(batch as u64),
                label(report, cell),
                output::figure(cell.measurement.p50_us),
                output::figure(cell.measurement.p99_us),
                output::figure(cell.measurement.rows_per_s),
                format!("{:.1e}", cell.max_abs_error),
                mark.to_owned(),
            ]);
        }
    }
    let header = ["batch", "backend", "p50, us", "p99, us", "rows/s", "largest error", ""];
    output::table(&header, &["backend", ""], rows)
}

/// The device's key, with its name where another device shares the backend.
fn label(report: &Report, cell: &Cell) -> String {
    let shares =
        |device: &&DeviceReport| device.backend == cell.backend && device.agreement.is_some();
    let name = match report.devices.iter().filter(shares).count() {
        0 | 1 => cell.key.clone(),
        _ => format!("{} {}", cell.key, output::one_line(&cell.device)),
    };
    if cell.software { name + " (software)" } else { name }
}
