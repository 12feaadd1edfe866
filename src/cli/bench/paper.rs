//! `fusewire bench paper`: the seed paper's experiments, embedded, on every backend.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::super::output::Show;
use super::stream::{StreamArgs, Study};
use crate::bench::compare::Candidate;
use crate::bench::error::BenchError;
use crate::bench::lab::LabOptions;
use crate::bench::paper::{self, PaperOptions};
use crate::bench::record::Record;
use crate::model::Model;

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
    stream: StreamArgs,
}

impl Paper {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<ExitCode> {
        self.stream.run::<PaperOptions>(out)
    }
}

impl Study for PaperOptions {
    fn quick(devices: usize) -> PaperOptions {
        PaperOptions::quick(devices)
    }

    fn full() -> PaperOptions {
        PaperOptions::full()
    }

    fn with_run_time(self, time: Duration) -> PaperOptions {
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
        paper::run(model, candidates, self, progress)
    }
}
