//! Options that several verbs share.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::shipped;
use crate::backend::{BackendKind, OpenOptions, Rows};
use crate::model::{Activation, Ending, Layout, LoadOptions, Model, ModelError};
use crate::plan::{InputType, PlanError, PlanOptions, Precision};
use crate::{Classifier, ClassifierOptions};

/// The model file and how bytes are read by it.
#[derive(Args, Debug)]
pub(super) struct ModelArgs {
    /// A model: ONNX, safetensors, NumPy, PyTorch, TensorFlow, Keras, or a model.toml.
    model: PathBuf,
    #[command(flatten)]
    layers: LayersArgs,
    #[command(flatten)]
    scale: ScaleArgs,
}

impl ModelArgs {
    pub(super) fn load(&self) -> Result<Model> {
        self.scale.apply(load(&self.model, &self.layers.said())?)
    }

    /// The model, where it can be planned for rows of this type.
    pub(super) fn load_for(&self, plan: &PlanArgs) -> Result<Model> {
        plan.check(self.load()?)
    }
}

/// The model file, where one is given, and how bytes are read by it.
#[derive(Args, Debug)]
pub(super) struct AnyModelArgs {
    /// A model: ONNX, safetensors, NumPy, PyTorch, TensorFlow, Keras, or a model.toml; else the
    /// shipped one.
    model: Option<PathBuf>,
    #[command(flatten)]
    layers: LayersArgs,
    #[command(flatten)]
    scale: ScaleArgs,
}

impl AnyModelArgs {
    /// The model, where it can be planned for rows of this type.
    pub(super) fn load_for(&self, plan: &PlanArgs) -> Result<Model> {
        plan.check(self.scale.apply(match &self.model {
            Some(path) => load(path, &self.layers.said())?,
            None => shipped::model()?,
        })?)
    }
}

/// Reads a model file; the error names it.
pub(super) fn load(path: &Path, said: &LoadOptions) -> Result<Model> {
    Model::load_with(path, said).map_err(|error| match error {
        ModelError::Io { .. } | ModelError::UnknownFormat { .. } => anyhow::Error::new(error),
        error => anyhow::Error::new(error).context(path.display().to_string()),
    })
}

/// What a file of weights alone cannot say about its layers, and where tensors may lie.
#[derive(Args, Debug)]
#[command(next_help_heading = "What a file of weights cannot say")]
pub(super) struct LayersArgs {
    /// What follows every layer but the last: relu, leaky_relu:0.2, none, ..
    #[arg(long, value_name = "NAME", value_parser = parsed::<Activation>)]
    activation: Option<Activation>,
    /// What follows the last layer: none, softmax, log_softmax, or an activation.
    #[arg(long = "final", value_name = "NAME", value_parser = parsed::<Ending>)]
    ending: Option<Ending>,
    /// The layers' names in order, separated by commas; activations may stand between them. What
    /// it does not name is left out.
    #[arg(long, value_name = "NAMES")]
    order: Option<Order>,
    /// Which axis of a stored weight comes first, where widths do not tell: outputs_first or
    /// inputs_first.
    #[arg(long, value_name = "NAME", value_parser = parsed::<Layout>)]
    layout: Option<Layout>,
    /// What each BatchNorm adds to its variance, in place of its framework's default.
    #[arg(long, value_name = "NUMBER")]
    epsilon: Option<f32>,
    /// Read tensors from other files in the model's folder, as large ONNX models have them.
    #[arg(long)]
    external_data: bool,
}

/// Names of layers and activations; an activation's second number follows a comma, too.
#[derive(Clone, Debug, PartialEq)]
struct Order(Vec<String>);

impl FromStr for Order {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Order, Infallible> {
        let mut names: Vec<String> = Vec::new();
        for part in text.split(',') {
            if let Some(last) = names.last_mut().filter(|last| last.contains(':')) {
                let longer = format!("{last},{part}");
                if longer.parse::<Activation>().is_ok() {
                    *last = longer;
                    continue;
                }
            }
            names.push(part.to_owned());
        }
        Ok(Order(names))
    }
}

impl LayersArgs {
    pub(super) fn said(&self) -> LoadOptions {
        LoadOptions {
            activation: self.activation,
            ending: self.ending,
            order: self.order.as_ref().map(|order| order.0.clone()),
            layout: self.layout,
            epsilon: self.epsilon,
            ..self.said_of_files()
        }
    }

    /// What is said, but for what a file may say about its layers itself.
    pub(super) fn said_of_files(&self) -> LoadOptions {
        LoadOptions { external_data: self.external_data, ..LoadOptions::default() }
    }
}

/// Parses a value by its type's own words, and complains in them.
fn parsed<T: FromStr<Err = ModelError>>(text: &str) -> Result<T, ModelError> {
    text.parse()
}

/// What a byte stands for.
#[derive(Args, Debug)]
pub(super) struct ScaleArgs {
    /// What one step of a pixel's byte stands for, in place of what the model says: 1 where it
    /// takes bytes as they are, 0.00392157 (1/255) where it takes values from 0 to 1.
    #[arg(long, value_name = "NUMBER", value_parser = parse_scale)]
    u8_scale: Option<f32>,
}

impl ScaleArgs {
    pub(super) fn apply(&self, model: Model) -> Result<Model> {
        match self.u8_scale {
            Some(scale) => model.with_u8_scale(scale).context("--u8-scale"),
            None => Ok(model),
        }
    }
}

fn parse_scale(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(scale) if scale.is_finite() && scale != 0.0 => Ok(scale),
        _ => Err(String::from("expected a finite number other than 0, such as 0.00392157")),
    }
}

/// Which device.
#[derive(Args, Debug)]
pub(super) struct DeviceArgs {
    /// Where to run; auto is CUDA, else wgpu, else the CPU.
    #[arg(long, default_value = "auto", value_parser = backend_parser())]
    backend: BackendKind,
    /// Part of the wanted adapter's name, upper or lower case.
    #[arg(long, value_name = "NAME")]
    adapter: Option<String>,
    /// The wanted device's number in its family, from 0, as `devices` lists them.
    #[arg(long, value_name = "N", conflicts_with = "adapter")]
    device: Option<usize>,
    /// Allow software adapters: processors that render like a GPU, fit for tests only.
    #[arg(long)]
    software: bool,
    /// How few rows get to the device: each batch by a launch, or by a kernel that stays on it.
    #[arg(long, value_enum, default_value = "launch")]
    latency: Latency,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Latency {
    /// A launch for every batch.
    Launch,
    /// On CUDA, a kernel holds a multiprocessor and waits for batches of up to 16 rows.
    Persistent,
}

impl DeviceArgs {
    pub(super) fn open_options(&self) -> OpenOptions {
        OpenOptions {
            backend: self.backend,
            adapter: self.adapter.clone(),
            device: self.device,
            software: self.software,
            persistent: self.latency == Latency::Persistent,
            ..OpenOptions::default()
        }
    }
}

/// What is planned.
#[derive(Args, Debug)]
pub(super) struct PlanArgs {
    /// What weights are rounded to; sums are in f32. int8 rounds what layers read to bytes, too,
    /// and runs on the cpu alone.
    #[arg(long, default_value = "f32", value_parser = precision_parser())]
    precision: Precision,
    /// The rows' type: u8 hands bytes over as they are, the others as what they stand for.
    #[arg(long, default_value = "f32", value_parser = input_parser())]
    pub(super) input: InputType,
}

impl PlanArgs {
    /// Refuses rows of bytes for a model that does not say what one stands for.
    fn check(&self, model: Model) -> Result<Model> {
        let is_unknown = model.u8_scale().value().is_none();
        ensure!(self.input != InputType::U8 || !is_unknown, PlanError::U8ScaleUnknown);
        Ok(model)
    }

    pub(super) fn plan_options(&self) -> PlanOptions {
        PlanOptions { input: self.input, precision: self.precision, ..PlanOptions::default() }
    }
}

/// Everything that decides how rows are run.
#[derive(Args, Debug)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) device: DeviceArgs,
    #[command(flatten)]
    pub(super) plan: PlanArgs,
    /// Rows handed over at once.
    #[arg(long, value_name = "ROWS", default_value = "1024", value_parser = parse_batch)]
    pub(super) batch: usize,
}

impl RunArgs {
    /// The model on the device, planned for the batch.
    pub(super) fn classifier(&self, model: Model) -> Result<Classifier> {
        let plan = PlanOptions { rows_max: self.batch, ..self.plan.plan_options() };
        let options = ClassifierOptions { device: self.device.open_options(), plan };
        Ok(Classifier::new(model, &options)?)
    }

    /// Scores `rows` batch after batch, hands each batch's scores to `each`, and returns the time
    /// that computing them took.
    pub(super) fn score(
        &self,
        classifier: &Classifier,
        rows: Rows<'_>,
        mut each: impl FnMut(&[f32]) -> Result<()>,
    ) -> Result<Duration> {
        let (inputs, classes) = (classifier.model().inputs(), classifier.model().classes());
        let count = rows.values() / inputs;
        let mut scores = vec![0.0; self.batch.min(count) * classes];
        let mut took = Duration::ZERO;
        for first in (0..count).step_by(self.batch) {
            let end = count.min(first + self.batch);
            let scores = &mut scores[..(end - first) * classes];
            let start = Instant::now();
            classifier.scores_into(rows.slice(first..end, inputs), scores)?;
            took += start.elapsed();
            each(scores)?;
        }
        Ok(took)
    }
}

/// What ran, for documents of answers.
#[derive(Serialize)]
pub(super) struct Ran {
    model: String,
    content_hash: String,
    pub(super) backend: &'static str,
    pub(super) device: String,
    pub(super) precision: &'static str,
    pub(super) input: &'static str,
    pub(super) batch: usize,
    /// What one step of a byte stood for; null where that is unknown and no rows were bytes.
    u8_scale: Option<f32>,
    u8_scale_source: &'static str,
}

impl Ran {
    pub(super) fn of(classifier: &Classifier) -> Ran {
        let (model, plan) = (classifier.model(), classifier.plan());
        Ran {
            model: model.name().to_owned(),
            content_hash: model.content_hash().to_string(),
            backend: classifier.device().backend.name(),
            device: classifier.device().name.clone(),
            precision: plan.precision().name(),
            input: plan.input().name(),
            batch: plan.rows_max(),
            u8_scale: model.u8_scale().value(),
            u8_scale_source: model.u8_scale().source(),
        }
    }
}

/// A number of rows in a batch.
pub(super) fn parse_batch(text: &str) -> Result<usize, String> {
    const BATCH_MAX: usize = 1 << 20;
    match text.parse::<usize>() {
        Ok(batch) if (1..=BATCH_MAX).contains(&batch) => Ok(batch),
        _ => Err(format!("expected a whole number from 1 to {BATCH_MAX}")),
    }
}

/// The time for one figure.
pub(super) fn parse_seconds(text: &str) -> Result<Duration, String> {
    const SECONDS_MIN: f64 = 0.001;
    const SECONDS_MAX: f64 = 3600.0;
    match text.parse::<f64>() {
        Ok(seconds) if (SECONDS_MIN..=SECONDS_MAX).contains(&seconds) => {
            Ok(Duration::from_secs_f64(seconds))
        }
        _ => Err(format!("expected a number of seconds from {SECONDS_MIN} to {SECONDS_MAX}")),
    }
}

fn backend_parser() -> impl TypedValueParser<Value = BackendKind> {
    const ALL: [BackendKind; 4] =
        [BackendKind::Auto, BackendKind::Cuda, BackendKind::Wgpu, BackendKind::Cpu];
    named(&ALL, BackendKind::name)
}

fn precision_parser() -> impl TypedValueParser<Value = Precision> {
    named(&Precision::ALL, Precision::name)
}

fn input_parser() -> impl TypedValueParser<Value = InputType> {
    named(&InputType::ALL, InputType::name)
}

/// Parses one of `all` from its name, and lists the names in the help.
fn named<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    let names = all.iter().map(move |value| name(*value));
    PossibleValuesParser::new(names).try_map(move |text| {
        all.iter().copied().find(|value| name(*value) == text).ok_or("unknown name")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_keeps_the_numbers_of_an_activation_together() {
        for (text, names) in [
            ("fc1,relu,fc2", &["fc1", "relu", "fc2"][..]),
            ("0,clip:0,6,6", &["0", "clip:0,6", "6"]),
            ("0,leaky_relu:0.2,2", &["0", "leaky_relu:0.2", "2"]),
            ("0,clip:-1,fc2", &["0", "clip:-1", "fc2"]),
        ] {
            assert_eq!(text.parse::<Order>().unwrap().0, names, "{text}");
        }
    }
}
