//! `fusewire bench diff`: what became of the figures from one record to another.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::super::{FAILED, UsageError, output};
use crate::bench::record::{FigureDiff, Record, RecordDiff, RecordError, Verdict};

const EXAMPLES: &str = "\
Examples:
  fusewire bench diff before after                 two folders that --out wrote
  fusewire bench diff before/report.json after/report.json --threshold 1.1
  fusewire bench diff before after --json | jq '.figures[] | select(.verdict == \"worse\")'

Each figure's ratio is that of the medians, B to A. Its interval holds the ratio of the rounds with
95 % confidence, whatever their distribution (Hodges and Lehmann's, by Mann and Whitney's exact
test), for which it takes four rounds on either side. Worse or better is a figure whose whole
interval is past the threshold; unclear, one whose ratio is past it and whose interval is not, or
that has too few rounds; all others are the same. Of many figures, some will seem to have changed by
chance: one in forty at a threshold of 1, far fewer at one above the noise of the machine.

Exit codes: 0 no figure is worse, 1 one is, or failed (the error is on standard error), 2 wrong
usage, such as records of different experiments. Records of different models, machines or methods
are compared, with a warning on standard error.";

/// Hold one record of an experiment against another, figure by figure.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Diff {
    /// A folder that --out of an experiment wrote, or the report.json in it.
    #[arg(value_name = "A")]
    first: PathBuf,
    /// Another of the same experiment, to be held against it.
    #[arg(value_name = "B")]
    second: PathBuf,
    /// From which factor on a figure is worse or better.
    #[arg(long, value_name = "FACTOR", default_value = "1.05", value_parser = parse_threshold)]
    threshold: f64,
    /// Take the ratio's word where there are too few rounds for an interval; else such a figure is
    /// never called worse, so that noise fails nobody's build.
    #[arg(long)]
    strict: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    worse: bool,
    threshold: f64,
    strict: bool,
    #[serde(flatten)]
    diff: &'a RecordDiff,
}

impl Diff {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<ExitCode> {
        let (first, second) = (read(&self.first)?, read(&self.second)?);
        let diff = first.diff(&second, self.threshold, self.strict);
        let diff = diff.map_err(|error| match error {
            RecordError::OtherExperiment { .. } => UsageError(error.to_string()).into(),
            error => anyhow::Error::new(error),
        })?;
        for warning in &diff.warnings {
            // There is nowhere left to report a failure to write to standard error.
            let _ = writeln!(io::stderr(), "warning: {}", output::one_line(warning));
        }
        let worse = diff.is_worse();
        if self.json {
            let Diff { threshold, strict, .. } = self;
            output::json(out, &Document { worse, threshold, strict, diff: &diff })?;
        } else {
            write_diff(out, &diff)?;
        }
        Ok(if worse { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
    }
}

fn read(path: &Path) -> Result<Record> {
    Ok(Record::read(path)?)
}

fn parse_threshold(text: &str) -> Result<f64, String> {
    const THRESHOLD_MAX: f64 = 1000.0;
    match text.parse::<f64>() {
        Ok(threshold) if (1.0..=THRESHOLD_MAX).contains(&threshold) => Ok(threshold),
        _ => Err(format!("expected a factor from 1 to {THRESHOLD_MAX}")),
    }
}

fn write_diff(out: &mut dyn Write, diff: &RecordDiff) -> Result<()> {
    if !diff.figures.is_empty() {
        writeln!(out, "{}\n", table(&diff.figures))?;
    }
    for (name, keys) in [("A", &diff.only_in_first), ("B", &diff.only_in_second)] {
        for key in keys {
            writeln!(out, "only in {name}: {}", output::one_line(key))?;
        }
    }
    let count = |verdict| {
        let figures = diff.figures.iter().filter(|figure| figure.verdict == verdict);
        format!("{} {}", figures.count(), name(verdict))
    };
    let counts = [Verdict::Worse, Verdict::Unclear, Verdict::Same, Verdict::Better].map(count);
    Ok(writeln!(out, "{}", counts.join(", "))?)
}

fn table(figures: &[FigureDiff]) -> String {
    let row = |figure: &FigureDiff| {
        vec![
            output::one_line(&figure.key),
            output::one_line(&figure.unit),
            figure.first.map_or_else(String::new, output::figure),
            figure.second.map_or_else(String::new, output::figure),
            figure.ratio.map_or_else(|| String::from("none"), ratio),
            interval(figure),
            name(figure.verdict).to_owned(),
        ]
    };
    let header = ["", "unit", "A", "B", "B / A", "95 % interval", "verdict"];
    output::table(&header, &["", "unit", "verdict"], figures.iter().map(row).collect())
}

fn interval(figure: &FigureDiff) -> String {
    match (figure.ratio, figure.interval) {
        (_, Some((low, high))) => format!("{} to {}", ratio(low), ratio(high)),
        (Some(_), None) => String::from("too few rounds"),
        (None, None) => String::new(),
    }
}

/// Three digits behind the point, where half a percent is seen.
fn ratio(ratio: f64) -> String {
    if ratio.abs() < 10.0 { format!("{ratio:.3}") } else { output::figure(ratio) }
}

fn name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Worse => "worse",
        Verdict::Unclear => "unclear",
        Verdict::Same => "same",
        Verdict::Better => "better",
    }
}
