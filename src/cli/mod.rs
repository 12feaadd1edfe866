//! The command line: parses, runs one verb, and turns what came of it into an exit code.
//!
//! Answers go to standard output, as text or with `--json` as one JSON document on one line;
//! everything else goes to standard error. Exit codes: 0 done, 1 failed, 2 wrong usage.

mod bench;
mod classify;
mod compare;
mod convert;
mod devices;
mod diff;
mod eval;
mod input;
mod inspect;
mod options;
mod output;
mod record;
mod rounding;
mod shipped;

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use anyhow::Result;
use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

const EXAMPLES: &str = "\
Examples:
  fusewire compare                                  which backend is fastest here?
  fusewire inspect model.onnx                       what is in the file, and what will run
  fusewire classify model.onnx image.png --top-k 3
  fusewire eval model.onnx --images images-idx3-ubyte.gz --labels labels-idx1-ubyte.gz
  fusewire convert model.pt model.onnx --activation relu --final none
  fusewire diff model.onnx model.safetensors        the same network?
  fusewire bench handoff                            what does handing a row over cost here?

Exit codes: 0 done, 1 failed, 2 wrong usage.";

/// Runs small fully-connected classifiers as fast as the hardware allows.
#[derive(Debug, Parser)]
#[command(name = "fusewire", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Devices(devices::Devices),
    Inspect(inspect::Inspect),
    Classify(classify::Classify),
    Eval(eval::Eval),
    Convert(convert::Convert),
    Diff(diff::Diff),
    Compare(compare::Compare),
    Bench(bench::Bench),
}

/// A command line that says something impossible; exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct UsageError(String);

const FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;

/// Runs the command that the process's arguments ask for.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return report_parse(&error),
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let outcome = cli.verb.run(&mut out).and_then(|code| {
        out.flush()?;
        Ok(code)
    });
    match outcome {
        Ok(code) => code,
        // Whoever read the output has seen enough.
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&format!("{error:#}"));
            let usage = error.downcast_ref::<UsageError>().is_some();
            ExitCode::from(if usage { WRONG_USAGE } else { FAILED })
        }
    }
}

impl Verb {
    fn run(self, out: &mut dyn Write) -> Result<ExitCode> {
        match self {
            Verb::Devices(verb) => verb.run(out),
            Verb::Inspect(verb) => verb.run(out),
            Verb::Classify(verb) => verb.run(out),
            Verb::Eval(verb) => verb.run(out),
            Verb::Convert(verb) => verb.run(out),
            Verb::Diff(verb) => verb.run(out),
            Verb::Compare(verb) => verb.run(out),
            Verb::Bench(verb) => verb.run(out),
        }
    }
}

/// Prints the help or version that was asked for, or what is wrong with the arguments.
fn report_parse(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A closed pipe is all that can go wrong here.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(WRONG_USAGE)
        }
        _ => {
            print_error(&usage_line(&error.to_string()));
            ExitCode::from(WRONG_USAGE)
        }
    }
}

/// The parser's message as one line: what it says before its own paragraph about usage.
fn usage_line(message: &str) -> String {
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let paragraphs = message.split("\n\n").take_while(|text| !text.starts_with("Usage:"));
    let said = paragraphs.filter(|text| !text.starts_with("For more information"));
    let words: Vec<&str> = said.flat_map(str::split_whitespace).collect();
    format!("{}; see --help", words.join(" "))
}

fn print_error(message: &str) {
    // There is nowhere left to report a failure to write to standard error.
    let _ = writeln!(io::stderr(), "error: {}", output::one_line(message));
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let broken = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(broken))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_usage_error_is_one_line() {
        for arguments in [
            &["fusewire", "classify"][..],
            &["fusewire", "compare", "--backend", "tpu"],
            &["fusewire", "compare", "--no-such-option"],
            &["fusewire", "conpare"],
        ] {
            let error = Cli::try_parse_from(arguments).unwrap_err();
            let line = usage_line(&error.to_string());
            assert!(!line.contains('\n') && !line.contains("Usage:"), "{line}");
            assert!(line.ends_with("; see --help"), "{line}");
        }
    }
}
