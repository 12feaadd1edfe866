//! The folder of files that all peers read: the network in two formats, and the rows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use fusewire::backend::{Rows, cpu};
use fusewire::bench::images::{self, SEED};
use fusewire::{Head, Model};
use serde::{Deserialize, Serialize};

use crate::protocol::Missing;

/// The network for those that read ONNX, its batch dimension free.
pub const ONNX: &str = "network.onnx";
/// The network for those that are given weights.
pub const SAFETENSORS: &str = "network.safetensors";
/// What the weights make.
const NETWORK: &str = "network.json";
/// The rows, as 32-bit floats of this machine's byte order.
const VALUES: &str = "rows.f32";
/// The same rows as bytes.
const BYTES: &str = "rows.u8";

/// Rows that batches walk through: 12 MB of floats for an image of 784 pixels.
pub const ROWS: usize = 4096;

/// A network in words, for peers that are given weights.
#[derive(Debug, Serialize, Deserialize)]
pub struct Network {
    /// Values of a row.
    pub inputs: usize,
    /// Scores of a row.
    pub classes: usize,
    /// How many rows there are.
    pub rows: usize,
    /// From the input to the scores.
    pub layers: Vec<Layer>,
    /// What is done to a row before the first layer, or to its scores after the last, in words;
    /// none where layers are all there is.
    pub beside_layers: Option<String>,
}

/// A layer, by the names that its tensors have in the safetensors file.
#[derive(Debug, Serialize, Deserialize)]
pub struct Layer {
    pub inputs: usize,
    pub outputs: usize,
    pub weight: String,
    pub bias: Option<String>,
    pub activation: String,
}

impl Network {
    fn of(model: &Model, safetensors: &[u8]) -> Result<Network> {
        let (_, metadata) = safetensors::SafeTensors::read_metadata(safetensors)?;
        let own = metadata.metadata().as_ref().context("no metadata")?;
        let named = own.get("fusewire.layers").context("no layers in the metadata")?;
        let named: Vec<Named> = serde_json::from_str(named).context("layers in the metadata")?;
        let layers = model.layers().iter().zip(named).map(|(layer, named)| Layer {
            inputs: layer.inputs(),
            outputs: layer.outputs(),
            weight: named.weight,
            bias: named.bias,
            activation: named.activation,
        });
        let beside_layers = match (model.transform().is_identity(), model.head()) {
            (true, Head::Logits) => None,
            (true, head) => Some(format!("the head {}", head.name())),
            (false, _) => Some(String::from("a transform of its input")),
        };
        let (inputs, classes) = (model.inputs(), model.classes());
        Ok(Network { inputs, classes, rows: ROWS, layers: layers.collect(), beside_layers })
    }

    /// What the runner wrote.
    pub fn read(folder: &Path) -> Result<Network> {
        Ok(serde_json::from_slice(&fs::read(folder.join(NETWORK))?)?)
    }

    /// Whether layers are all there is; a peer that is given weights computes nothing else.
    pub fn ensure_plain(&self) -> Result<(), Missing> {
        match &self.beside_layers {
            None => Ok(()),
            Some(what) => Err(Missing(format!("{what} is not written down for it"))),
        }
    }
}

/// A layer in the metadata of fusewire's own format.
#[derive(Deserialize)]
struct Named {
    weight: String,
    bias: Option<String>,
    activation: String,
}

/// The rows in both forms.
pub struct Images {
    pub values: Vec<f32>,
    pub bytes: Vec<u8>,
}

impl Images {
    /// What the runner wrote.
    pub fn read(folder: &Path) -> Result<Images> {
        let values = fs::read(folder.join(VALUES))?;
        let values = values.as_chunks::<4>().0.iter().map(|value| f32::from_ne_bytes(*value));
        Ok(Images { values: values.collect(), bytes: fs::read(folder.join(BYTES))? })
    }
}

/// What the runner wrote, and what the answers have to be.
pub struct Files {
    /// Where.
    pub folder: PathBuf,
    /// The network.
    pub model: Model,
    /// The double-precision oracle's scores of every row.
    pub expected: Vec<f64>,
    /// What the ONNX file was made of, in words.
    pub onnx_from: String,
}

impl Files {
    /// Writes everything that peers read.
    pub fn write(folder: &Path, path: &Path, scripts: &Path, pythons: &[PathBuf]) -> Result<Files> {
        let model = Model::load(path)?;
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let safetensors = folder.join(SAFETENSORS);
        model.save(&safetensors)?;
        let network = Network::of(&model, &fs::read(&safetensors)?)?;
        fs::write(folder.join(NETWORK), serde_json::to_vec_pretty(&network)?)?;
        let bytes = images::pixels(ROWS, model.inputs(), SEED);
        let step = model.u8_scale().value().context("what a byte stands for is unknown")?;
        let values: Vec<f32> = bytes.iter().map(|byte| f32::from(*byte) * step).collect();
        let in_bytes: Vec<u8> = values.iter().flat_map(|value| value.to_ne_bytes()).collect();
        fs::write(folder.join(VALUES), in_bytes)?;
        fs::write(folder.join(BYTES), bytes)?;
        let expected = cpu::oracle(&model, Rows::F32(&values));
        let onnx_from = write_onnx(&model, path, &folder.join(ONNX), scripts, pythons)?;
        Ok(Files { folder: folder.to_owned(), model, expected, onnx_from })
    }

    /// Where a peer writes its scores.
    pub fn scores(&self, name: &str) -> PathBuf {
        scores(&self.folder, name)
    }
}

/// Where the peer of that name writes its scores.
pub fn scores(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.scores"))
}

/// An ONNX file is used as it is but for its batch dimension, where Python has `onnx` to free it;
/// else, and for other formats, fusewire writes one.
fn write_onnx(
    model: &Model,
    path: &Path,
    to: &Path,
    scripts: &Path,
    pythons: &[PathBuf],
) -> Result<String> {
    let mut why_not = String::new();
    let is_onnx = path.extension().is_some_and(|extension| extension == "onnx");
    for python in pythons.iter().filter(|_| is_onnx) {
        let freed = Command::new(python)
            .arg(scripts.join("make_batchable_onnx.py"))
            .args([path, to])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output();
        let said = match freed {
            Ok(output) if output.status.success() => {
                ensure_same(model, to)?;
                return Ok(String::from("the file itself, its batch dimension made free"));
            }
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => format!("{}: {error}", python.display()),
        };
        why_not = format!("; the file itself would not do: {}", said.lines().last().unwrap_or("-"));
    }
    model.save_onnx(to)?;
    Ok(format!("written by fusewire from the model, as `fusewire convert` does{why_not}"))
}

/// The file that peers read has to be the network that the oracle runs.
fn ensure_same(model: &Model, written: &Path) -> Result<()> {
    let other = Model::load(written)?;
    let is_same = model.content_hash() == other.content_hash();
    ensure!(is_same, "{}: not the network it was made of", written.display());
    Ok(())
}

/// The version of a package in the lock file that this program was built with.
pub fn locked_version(package: &str) -> &'static str {
    let name = format!("name = \"{package}\"");
    let mut lines = include_str!("../Cargo.lock").lines();
    let found = lines.by_ref().find(|line| *line == name);
    let version = found.and_then(|_| lines.next()).and_then(|line| line.split('"').nth(1));
    version.unwrap_or("of unknown version")
}

#[test]
fn versions_are_those_of_the_lock_file() {
    assert!(locked_version("fusewire-peers").starts_with("0."));
    assert_eq!(locked_version("none-such"), "of unknown version");
}
