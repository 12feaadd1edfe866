//! What the experiments on streams have in common on the command line.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::super::input::{self, FileArgs, Wanted};
use super::super::options::{self, AnyModelArgs, DeviceArgs, PlanArgs};
use super::super::output::{self, Show};
use super::super::record;
use super::super::{FAILED, compare as compare_verb};
use crate::bench::compare::{self, Candidate};
use crate::bench::error::BenchError;
use crate::bench::lab::LabOptions;
use crate::bench::record::{Record, RecordFolder};
use crate::model::Model;
use crate::pipeline::Waiting;

/// What to stream, where to, and for how long.
#[derive(Args, Debug)]
pub(super) struct StreamArgs {
    #[command(flatten)]
    model: AnyModelArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    plan: PlanArgs,
    /// Rows of this file (idx, npy, CSV, an image, raw), in place of random images.
    #[arg(long, value_name = "FILE")]
    images: Option<String>,
    /// A look at the machine, of less than two minutes; the default.
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// The study's own durations: 5 runs of 300 seconds for each figure.
    #[arg(long)]
    full: bool,
    /// The time of one run, in place of what --quick or --full say; the others in proportion.
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

/// Experiments of a study, by its options.
pub(super) trait Study: Sized {
    /// A look at a machine with so many devices.
    fn quick(devices: usize) -> Self;

    /// The study's own durations.
    fn full() -> Self;

    /// The same with runs of another length.
    fn with_run_time(self, time: Duration) -> Self;

    /// What is common to all studies.
    fn lab(&mut self) -> &mut LabOptions;

    /// Runs them.
    fn run(
        &self,
        model: &Model,
        candidates: &[Candidate],
        progress: &mut Show<'_>,
    ) -> Result<Record, BenchError>;
}

impl StreamArgs {
    /// Runs a study and gives its record.
    pub(super) fn run<S: Study>(self, out: &mut dyn Write) -> Result<ExitCode> {
        let model = self.model.load_for(&self.plan)?;
        let candidates = compare::candidates(&self.device.open_options())?;
        let devices = candidates.iter().filter(|candidate| candidate.takes_part()).count();
        let length = if self.full { S::full() } else { S::quick(devices) };
        let mut study = match self.seconds {
            Some(time) => length.with_run_time(time),
            None => length,
        };
        let mut folder = record::folder(self.out.as_deref())?;
        self.tell(study.lab(), &model, folder.as_mut())?;
        if !self.json {
            compare_verb::write_start(out, &model, &candidates)?;
            out.flush()?;
        }
        let run = |show: &mut Show<'_>| study.run(&model, &candidates, show);
        let found = output::with_progress(run)?;
        record::give(out, folder, &found, self.json)?;
        let failed = found.environment.devices.iter().any(|device| device.failed);
        Ok(if failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
    }

    fn tell(
        &self,
        lab: &mut LabOptions,
        model: &Model,
        folder: Option<&mut RecordFolder>,
    ) -> Result<()> {
        let wanted = Wanted::new(model, self.plan.input);
        let images = self.images.as_deref();
        lab.plan = self.plan.plan_options();
        let read = |path| input::read_rows(path, &wanted, &FileArgs::default());
        lab.rows = images.map(read).transpose()?.map(|file| file.rows);
        lab.waiting = self.spin.map_or_else(Waiting::default, Waiting::spinning);
        lab.results = folder.map(|folder| folder.file("results.bin"));
        Ok(())
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
