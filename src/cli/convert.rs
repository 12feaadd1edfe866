//! `fusewire convert`: any readable model into the native format, or into ONNX.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail, ensure};
use clap::Args;
use serde::Serialize;

use super::options::ModelArgs;
use super::{UsageError, options, output};
use crate::model::{LoadOptions, Model, ModelError};

const EXAMPLES: &str = "\
Examples:
  fusewire convert model.onnx model.safetensors
  fusewire convert layers/ model.safetensors --force     a directory of .npy layers
  fusewire convert model.safetensors model.onnx          for other programs to run";

/// Write a model as safetensors or ONNX, with all there is to know of it, and read it back.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Convert {
    #[command(flatten)]
    model: ModelArgs,
    /// The file to write; its name ends in .safetensors or .onnx.
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
        let extension = self.out.extension().and_then(OsStr::to_str);
        let save: fn(&Model, &Path) -> Result<(), ModelError> = match extension {
            Some("safetensors") => |model, out| model.save(out),
            Some("onnx") => |model, out| model.save_onnx(out),
            _ => bail!(UsageError(format!(
                "{path}: expected a name that ends in .safetensors or .onnx"
            ))),
        };
        ensure!(self.force || !self.out.exists(), "{path}: exists already; --force overwrites it");
        let model = self.model.load()?;
        save(&model, &self.out)?;
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
