//! Times fusewire beside the runtimes that people would use instead: the same network, the same
//! rows, one thread each, every peer a process of its own, asked in turn for short slices.
//!
//! `scripts/peers/run` builds and calls it. Nothing here is part of the library.

mod child;
mod files;
mod peers;
mod protocol;
mod report;
mod rounds;
mod serve;
mod starting;
mod times;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};

use files::Files;
use report::Report;
use rounds::Budget;

const EXAMPLES: &str = "\
Examples:
  scripts/peers/run                             the shipped model; some quarter of an hour
  scripts/peers/run --quick model.onnx          some two minutes
  scripts/peers/run --only onnxruntime,torch    these beside fusewire
  scripts/peers/run --out benches/record/MACHINE/DATE

FUSEWIRE_PEERS_PYTHON names Python interpreters to use in place of target/peers/venv, with a colon
between them; a peer takes the first that has its packages. ORT_DYLIB_PATH names another library of
ONNX Runtime than Python's.";

/// Times fusewire beside other runtimes, one thread each, in turns.
#[derive(Parser, Debug)]
#[command(bin_name = "scripts/peers/run", after_help = EXAMPLES)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
struct Arguments {
    #[command(flatten)]
    measure: Measure,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Be one of the Rust peers: answer requests on standard input.
    #[command(hide = true)]
    Serve { name: String, folder: PathBuf },
}

#[derive(Args, Debug)]
struct Measure {
    /// The classifier, in any format that fusewire reads; the shipped one where none is given.
    model: Option<PathBuf>,
    /// Fewer and shorter slices: some two minutes.
    #[arg(long)]
    quick: bool,
    /// Write a record (report.html, report.json, report.csv), peers.md and peers.csv into this
    /// directory.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Only peers whose names begin with one of these, beside fusewire in f32.
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// The project's folder.
    #[arg(long, default_value = ".", hide = true)]
    root: PathBuf,
    /// Python interpreters, of which a peer takes the first that has its packages.
    #[arg(long, default_value = "python3", hide = true)]
    python: std::ffi::OsString,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Some(Command::Serve { name, folder }) => {
            serve::serve(&name, &folder).map(|()| ExitCode::SUCCESS)
        }
        None => arguments.measure.run(),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

impl Measure {
    /// Fails where a peer was wrong or broke down; one that is not installed is only reported.
    fn run(&self) -> Result<ExitCode> {
        let pythons: Vec<PathBuf> = std::env::split_paths(&self.python).collect();
        let budget = if self.quick { Budget::QUICK } else { Budget::FULL };
        let scripts = self.root.join("benches/peers/python");
        let folder = self.root.join("target/peers/files");
        let shipped = self.root.join("models/fashion-mnist.safetensors");
        let model = self.model.as_deref().unwrap_or(&shipped);
        let wanted = starting::wanted(&self.only)?;
        let files = Files::write(&folder, model, &scripts, &pythons)?;
        let mut runners = starting::start(&wanted, &files, &scripts, &pythons);
        let watch = fusewire::bench::record::Environment::watch();
        rounds::check(&mut runners, &files);
        rounds::measure(&mut runners, &budget);
        let environment = watch.finish(&[]);
        let report = Report::new(&files, &budget, environment, self.command(), &runners)?;
        println!("{}", report.markdown());
        if let Some(out) = &self.out {
            write_files(out, &report).with_context(|| out.display().to_string())?;
        }
        let is_sound = runners.iter().all(|runner| !runner.state.is_fault());
        Ok(if is_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// The command as a reader would repeat it.
    fn command(&self) -> String {
        let name = self.model.as_deref().and_then(Path::file_name);
        let model = name.map(|name| format!(" {}", name.to_string_lossy())).unwrap_or_default();
        let quick = if self.quick { " --quick" } else { "" };
        let only = match self.only.as_slice() {
            [] => String::new(),
            names => format!(" --only {}", names.join(",")),
        };
        format!("scripts/peers/run{model}{quick}{only}")
    }
}

fn write_files(out: &Path, report: &Report) -> Result<()> {
    report.record().write(out)?;
    fs::write(out.join("peers.md"), report.markdown())?;
    fs::write(out.join("peers.csv"), report.csv())?;
    Ok(())
}
