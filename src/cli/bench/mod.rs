//! `fusewire bench`: experiments, each a verb of its own, and what is done with their records.

mod diff;
mod follow_up;
mod handoff;
mod kernel;
mod paper;
mod stream;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

const EXAMPLES: &str = "\
Examples:
  fusewire bench paper --quick                 the seed paper's experiments, in two minutes
  fusewire bench follow-up --quick             and those of the study that followed
  fusewire bench handoff                       what does handing a row over cost here?
  fusewire bench handoff --full --out results  figures worth keeping
  fusewire bench kernel --backend cuda         what do batches cost there, and what could they?
  fusewire bench diff before after             is anything slower than it was?
  fusewire bench handoff --json | jq '.results[] | select(.experiment == \"latency\")'

Every experiment checks its answers; a wrong one ends it, with exit code 1.";

/// Run an experiment on this machine, or compare two runs.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Bench {
    #[command(subcommand)]
    experiment: Experiment,
}

#[derive(Debug, Subcommand)]
enum Experiment {
    Diff(diff::Diff),
    FollowUp(follow_up::FollowUp),
    Handoff(handoff::Handoff),
    Kernel(kernel::Kernel),
    Paper(paper::Paper),
}

impl Bench {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<ExitCode> {
        match self.experiment {
            Experiment::Diff(verb) => verb.run(out),
            Experiment::FollowUp(verb) => verb.run(out),
            Experiment::Handoff(verb) => verb.run(out),
            Experiment::Kernel(verb) => verb.run(out),
            Experiment::Paper(verb) => verb.run(out),
        }
    }
}
