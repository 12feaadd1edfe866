//! `fusewire diff`: whether two files hold the same network.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::options::{self, LayersArgs};
use super::{FAILED, output};
use crate::model::{Model, ModelError};

const EXAMPLES: &str = "\
Examples:
  fusewire diff model.onnx model.safetensors
  fusewire diff model.onnx model.pt --activation relu --final none

What is said of layers is for the file that does not say it itself.
Exit codes: 0 the same network, 1 another, or failed (the error is on standard error).";

/// Say whether two files hold the same network, and where they part.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Diff {
    /// A model of any format.
    left: PathBuf,
    /// Another.
    right: PathBuf,
    #[command(flatten)]
    layers: LayersArgs,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document {
    same: bool,
    left: Side,
    right: Side,
    /// The first difference, in the order of computation.
    difference: Option<String>,
}

#[derive(Serialize)]
struct Side {
    path: String,
    name: String,
    architecture: String,
    content_hash: String,
}

impl Diff {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<ExitCode> {
        let (left, right) = (self.load(&self.left)?, self.load(&self.right)?);
        let difference = left.difference(&right).map(|difference| difference.to_string());
        let document = Document {
            same: difference.is_none(),
            left: Side::of(&self.left, &left),
            right: Side::of(&self.right, &right),
            difference,
        };
        document.write(out, self.json)?;
        Ok(if document.same { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    }

    /// Loads a model as it says it is, and as the caller says only where it does not.
    fn load(&self, path: &Path) -> Result<Model> {
        match options::load(path, &self.layers.said_of_files()) {
            Err(error) if is_undeclared(&error) => options::load(path, &self.layers.said()),
            loaded => loaded,
        }
    }
}

fn is_undeclared(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<ModelError>();
    matches!(error, Some(ModelError::Undeclared { .. }))
}

impl Side {
    fn of(path: &Path, model: &Model) -> Side {
        Side {
            path: path.display().to_string(),
            name: model.name().to_owned(),
            architecture: model.architecture(),
            content_hash: model.content_hash().to_string(),
        }
    }

    fn write(&self, out: &mut dyn Write) -> Result<()> {
        let [path, name] = [&self.path, &self.name].map(|text| output::one_line(text));
        let (widths, hash) = (&self.architecture, &self.content_hash[..12]);
        Ok(writeln!(out, "{hash}  {path}: {name}, {widths}")?)
    }
}

impl Document {
    fn write(&self, out: &mut dyn Write, json: bool) -> Result<()> {
        if json {
            return output::json(out, self);
        }
        self.left.write(out)?;
        self.right.write(out)?;
        match &self.difference {
            None => writeln!(out, "the same network")?,
            Some(difference) => writeln!(out, "another network: {difference}")?,
        }
        Ok(())
    }
}
