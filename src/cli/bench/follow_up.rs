//! `fusewire bench follow-up`: the experiments of the study that followed, on every backend.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::super::output::Show;
use super::stream::{StreamArgs, Study};
use crate::bench::compare::Candidate;
use crate::bench::error::BenchError;
use crate::bench::follow_up::{self, FollowUpOptions};
use crate::bench::lab::LabOptions;
use crate::bench::record::Record;
use crate::model::Model;

const EXAMPLES: &str = "\
Examples:
  fusewire bench follow-up --quick                   less than two minutes, on the shipped model
  fusewire bench follow-up model.onnx --out results  results/report.html, .json, .csv, histograms
  fusewire bench follow-up --full --out results      the study's durations: hours
  fusewire bench follow-up --json | jq '.figures[] | select(.key | startswith(\"bursts\"))'

512, 2,048 and 4,096 requests a second of 1, 32, 128 and 512 rows; 2 to 32 replicas that share
30,000 rows a second; bursts of 110 % of the highest rate that is sustained, over 70 % of it. The
first quarter of each run is not counted. Latency counts from the time a request was scheduled.
Every score is held against a computation in double precision; a wrong one ends the run, with exit
code 1.";

/// Run the follow-up study's experiments: rates and batches, replicas, bursts.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct FollowUp {
    #[command(flatten)]
    stream: StreamArgs,
}

impl FollowUp {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<ExitCode> {
        self.stream.run::<FollowUpOptions>(out)
    }
}

impl Study for FollowUpOptions {
    fn quick(devices: usize) -> FollowUpOptions {
        FollowUpOptions::quick(devices)
    }

    fn full() -> FollowUpOptions {
        FollowUpOptions::full()
    }

    fn with_run_time(self, time: Duration) -> FollowUpOptions {
        self.with_run_time(time)
    }

    fn lab(&mut self) -> &mut LabOptions {
        &mut self.lab
    }

    fn run(
        &self,
        model: &Model,
        candidates: &[Candidate],
        progress: &mut Show<'_>,
    ) -> Result<Record, BenchError> {
        follow_up::run(model, candidates, self, progress)
    }
}
