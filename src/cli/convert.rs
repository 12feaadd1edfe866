//! `fusewire convert`: any readable model into the native format.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail, ensure};
use clap::Args;
use serde::Serialize;

use super::options::ModelArgs;
use super::{UsageError, options, output};
use crate::model::LoadOptions;

const EXAMPLES: &str = "\
Examples:
  fusewire convert model.onnx model.safetensors
  fusewire convert layers/ model.safetensors --force     a directory of .npy layers";

/// Write a model as safetensors, with order, activations, transform and labels in its metadata.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Convert {
    #[command(flatten)]
    model: ModelArgs,
    /// The file to write; its name ends in .safetensors.
    out: PathBuf,
    /// Overwrite the file if it exists.
    #[arg(long)]
    force: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document {
    name: String,
    architecture: String,
    parameters: usize,
    content_hash: String,
    out: String,
    out_bytes: u64,
}

impl Convert {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<ExitCode> {
        let path = self.out.display().to_string();
        if self.out.extension().is_none_or(|extension| extension != "safetensors") {
            let message = format!("{path}: expected a name that ends in .safetensors");
            bail!(UsageError(message));
        }
        ensure!(self.force || !self.out.exists(), "{path}: exists already; --force overwrites it");
        let model = self.model.load()?;
        model.save(&self.out)?;
        let written = options::load(&self.out, &LoadOptions::default())?;
        ensure!(
            written.content_hash() == model.content_hash(),
            "{path}: written with content hash {}, reads back as {}",
            model.content_hash(),
            written.content_hash()
        );
        let document = Document {
            name: model.name().to_owned(),
            architecture: model.architecture(),
            parameters: model.parameters(),
            content_hash: model.content_hash().to_string(),
            out: path,
            out_bytes: self.out.metadata()?.len(),
        };
        document.write(out, self.json)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Document {
    fn write(&self, out: &mut dyn Write, json: bool) -> Result<()> {
        if json {
            return output::json(out, self);
        }
        let (name, widths) = (output::one_line(&self.name), &self.architecture);
        writeln!(out, "{}: {name}, {widths}, {} bytes", self.out, self.out_bytes)?;
        writeln!(out, "content hash {}", self.content_hash)?;
        Ok(())
    }
}
