//! `fusewire devices`: what is here, and for what is not, what was looked for.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::output;
use crate::backend;
use crate::bench::machine::Machine;
use crate::bench::report::{DeviceReport, State};

/// List devices, and for missing backends what was looked for and how to get it.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  fusewire devices\n  fusewire devices --json")]
pub(super) struct Devices {
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document {
    machine: Machine,
    devices: Vec<DeviceReport>,
}

impl Devices {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<ExitCode> {
        let devices: Vec<DeviceReport> = backend::survey().iter().map(DeviceReport::of).collect();
        if self.json {
            output::json(out, &Document { machine: Machine::here(), devices })?;
        } else {
            devices.iter().try_for_each(|device| write_device(out, device))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// One device or missing backend, in one to two lines.
pub(super) fn write_device(out: &mut dyn Write, device: &DeviceReport) -> Result<()> {
    let text = |text: &Option<String>| output::one_line(text.as_deref().unwrap_or_default());
    let backend = device.backend;
    if device.state == State::Missing {
        writeln!(out, "{backend:<6}not found: {}", text(&device.looked_for))?;
        writeln!(out, "      to get it: {}", text(&device.advice))?;
        return Ok(());
    }
    writeln!(out, "{backend:<6}{}, {}", text(&device.name), text(&device.detail))?;
    match device.state {
        State::LeftOut => writeln!(out, "      left out: {}", text(&device.reason))?,
        State::Failed => writeln!(out, "      failed: {}", text(&device.reason))?,
        _ if device.software == Some(true) => {
            writeln!(out, "      a software adapter: takes part only with --software")?;
        }
        _ => {}
    }
    Ok(())
}
