//! `fusewire bench paper`: the seed paper's experiments, embedded, on every backend.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::super::input::{self, Wanted};
use super::super::options::{self, AnyModelArgs, DeviceArgs, PlanArgs};
use super::super::output::{self, Show};
use super::super::{FAILED, compare as compare_verb};
use super::record;
use crate::bench::compare;
use crate::bench::paper::{self, PaperOptions};
use crate::model::Model;
use crate::pipeline::Waiting;

const EXAMPLES: &str = "\
Examples:
  fusewire bench paper --quick                   less than two minutes, on the shipped model
  fusewire bench paper model.onnx --out results  results/report.html, .json, .csv and histograms
  fusewire bench paper --images t10k-images-idx3-ubyte.gz --input u8
  fusewire bench paper --full --out results      the paper's durations: hours
  fusewire bench paper --json | jq '.figures[] | {key, unit, rounds}'

A source sends rows when they are due, an embedded pipeline scores them, and a sink writes results
to a file. Latency counts from the time a row was scheduled. Every score is held against a
computation in double precision; a wrong one ends the run, with exit code 1.";

/// Run the seed paper's experiments: throughput, latency, vertical scalability.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Paper {
    #[command(flatten)]
    model: AnyModelArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    plan: PlanArgs,
    /// Rows of this file (idx, npy, an image, raw), in place of random images.
    #[arg(long, value_name = "FILE")]
    images: Option<String>,
    /// A look at the machine, of less than two minutes; the default.
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// The paper's durations: 5 runs of 300 seconds for each figure.
    #[arg(long)]
    full: bool,
    /// The time of one run, in place of what --quick (0.5) or --full (300) say.
    #[arg(long, value_name = "SECONDS", value_parser = options::parse_seconds)]
    seconds: Option<Duration>,
    /// How long workers and callers spin before they park, in place of the machine's default.
    #[arg(long, value_name = "MICROSECONDS", value_parser = parse_spin)]
    spin: Option<Duration>,
    /// Write report.html, report.json, report.csv, histograms and results.bin into this directory.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl Paper {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<ExitCode> {
        let model = self.model.load()?;
        let candidates = compare::candidates(&self.device.open_options())?;
        let devices = candidates.iter().filter(|candidate| candidate.takes_part()).count();
        let options = self.options(&model, devices)?;
        if let Some(directory) = &self.out {
            record::make(directory)?;
        }
        if !self.json {
            compare_verb::write_start(out, &model, &candidates)?;
            out.flush()?;
        }
        let run = |show: &mut Show<'_>| paper::run(&model, &candidates, &options, show);
        let found = output::with_progress(run)?;
        record::give(out, &found, self.out.as_deref(), self.json)?;
        let failed = found.environment.devices.iter().any(|device| device.failed);
        Ok(if failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
    }

    fn options(&self, model: &Model, devices: usize) -> Result<PaperOptions> {
        let length = if self.full { PaperOptions::full() } else { PaperOptions::quick(devices) };
        let wanted = Wanted::new(model, self.plan.input);
        let images = self.images.as_deref();
        let options = PaperOptions {
            plan: self.plan.plan_options(),
            rows: images.map(|path| input::read_rows(path, &wanted)).transpose()?,
            waiting: self.spin.map_or_else(Waiting::default, Waiting::spinning),
            results: self.out.as_ref().map(|directory| directory.join("results.bin")),
            ..length
        };
        Ok(match self.seconds {
            Some(time) => options.with_run_time(time),
            None => options,
        })
    }
}

/// How long to spin.
fn parse_spin(text: &str) -> Result<Duration, String> {
    const SPIN_MAX_US: f64 = 10_000.0;
    match text.parse::<f64>() {
        Ok(us) if (0.0..=SPIN_MAX_US).contains(&us) => Ok(Duration::from_secs_f64(us / 1e6)),
        _ => Err(format!("expected microseconds from 0 to {SPIN_MAX_US}")),
    }
}
