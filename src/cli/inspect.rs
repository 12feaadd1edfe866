//! `fusewire inspect`: what is in a model, what will run, and what it costs at least.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::options::{DeviceArgs, ModelArgs, PlanArgs};
use super::output;
use super::rounding::{self, RoundingPart};
use crate::backend::{self, Device};
use crate::bench::report::DeviceReport;
use crate::model::{Dense, InputTransform, Model, PerInput};
use crate::plan::{Plan, Stage};

const EXAMPLES: &str = "\
Examples:
  fusewire inspect model.onnx
  fusewire inspect model.safetensors --backend cpu --input u8 --precision bf16
  fusewire inspect model.onnx --json";

/// The batch sizes whose cost is shown.
const BATCHES: [usize; 2] = [1, 1024];

/// Show layers, content hash, importer notes, and the fused plan with its cost.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Inspect {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    plan: PlanArgs,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document {
    model: ModelPart,
    device: DeviceReport,
    plan: PlanPart,
    /// What runs each stage, where there is a choice.
    kernels: Vec<String>,
    costs: Vec<CostPart>,
}

#[derive(Serialize)]
struct ModelPart {
    name: String,
    format: Option<String>,
    architecture: String,
    inputs: usize,
    classes: usize,
    parameters: usize,
    content_hash: String,
    transform: TransformPart,
    /// Null where it is unknown.
    u8_scale: Option<f32>,
    u8_scale_source: &'static str,
    #[serde(skip)]
    u8_scale_text: String,
    layers: Vec<LayerPart>,
    head: &'static str,
    labels: Option<Vec<String>>,
    notes: Vec<String>,
}

/// One number where all inputs share it, else one per input.
#[derive(Serialize)]
struct TransformPart {
    scale: Vec<f32>,
    offset: Vec<f32>,
}

#[derive(Serialize)]
struct LayerPart {
    inputs: usize,
    outputs: usize,
    activation: &'static str,
    activation_parameters: [f32; 2],
    bias: bool,
    parameters: usize,
}

#[derive(Serialize)]
struct PlanPart {
    input: &'static str,
    precision: &'static str,
    rows_max: usize,
    stages: Vec<StagePart>,
    flops_per_row: u64,
    parameter_bytes: u64,
    rounding: Vec<RoundingPart>,
    #[serde(skip)]
    text: String,
}

#[derive(Serialize)]
struct StagePart {
    kind: &'static str,
    first_layer: usize,
    layers: usize,
    tile_rows: usize,
    on_chip_bytes: usize,
    head: &'static str,
}

/// What a batch costs; the times are null where the device cannot tell its ceilings.
#[derive(Serialize)]
struct CostPart {
    batch: usize,
    flops: u64,
    moved_bytes: u64,
    intensity_flops_per_byte: f64,
    roofline_us: Option<f64>,
    compute_us: Option<f64>,
    memory_us: Option<f64>,
}

impl Inspect {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<ExitCode> {
        let model = self.model.load_for(&self.plan)?;
        let options = self.plan.plan_options();
        let wanted = self.device.open_options().for_precision(options.precision);
        let device = backend::open_with(&wanted)?;
        let plan = Plan::new(&model, device.limits(), &options)?;
        let document = Document {
            model: ModelPart::of(&model),
            device: DeviceReport::found(device.info()),
            plan: PlanPart::of(&plan),
            kernels: device.load(Arc::clone(&plan))?.kernels(),
            costs: BATCHES.iter().map(|batch| CostPart::of(&plan, *batch, &*device)).collect(),
        };
        if self.json {
            output::json(out, &document)?;
        } else {
            document.write(out)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl ModelPart {
    fn of(model: &Model) -> ModelPart {
        ModelPart {
            name: model.name().to_owned(),
            format: model.format().map(|format| format.to_string()),
            architecture: model.architecture(),
            inputs: model.inputs(),
            classes: model.classes(),
            parameters: model.parameters(),
            content_hash: model.content_hash().to_string(),
            transform: TransformPart::of(model.transform()),
            u8_scale: model.u8_scale().value(),
            u8_scale_source: model.u8_scale().source(),
            u8_scale_text: model.u8_scale().to_string(),
            layers: model.layers().iter().map(LayerPart::of).collect(),
            head: model.head().name(),
            labels: model.labels().map(<[String]>::to_vec),
            notes: model.notes().to_vec(),
        }
    }

    fn write(&self, out: &mut dyn Write) -> Result<()> {
        let count = |number: usize| output::thousands(number as u64);
        let (name, widths) = (output::one_line(&self.name), &self.architecture);
        writeln!(out, "{name}: {widths}, {} parameters", count(self.parameters))?;
        if let Some(format) = &self.format {
            writeln!(out, "read from     {format}")?;
        }
        writeln!(out, "content hash  {}", self.content_hash)?;
        writeln!(out, "transform     {}", self.transform.describe())?;
        let how = if self.u8_scale.is_none() { "; --u8-scale says it" } else { "" };
        let scale = &self.u8_scale_text;
        writeln!(out, "u8 scale      {scale}: what one step of a byte stands for{how}")?;
        writeln!(out, "head          {}", self.head)?;
        if let Some(labels) = &self.labels {
            writeln!(out, "labels        {}", output::one_line(&labels.join(", ")))?;
        }
        for note in &self.notes {
            writeln!(out, "note          {}", output::one_line(note))?;
        }
        let row = |(index, layer): (usize, &LayerPart)| {
            let bias = if layer.bias { "yes" } else { "no" };
            vec![
                index.to_string(),
                count(layer.inputs),
                count(layer.outputs),
                layer.describe(),
                bias.to_owned(),
                count(layer.parameters),
            ]
        };
        let header = ["layer", "inputs", "outputs", "activation", "bias", "parameters"];
        let rows = self.layers.iter().enumerate().map(row).collect();
        writeln!(out, "\n{}\n", output::table(&header, &["activation"], rows))?;
        Ok(())
    }
}

impl TransformPart {
    fn of(transform: &InputTransform) -> TransformPart {
        let numbers = |numbers: &PerInput| match numbers {
            PerInput::Uniform(number) => vec![*number],
            PerInput::Each(numbers) => numbers.clone(),
        };
        TransformPart { scale: numbers(&transform.scale), offset: numbers(&transform.offset) }
    }

    fn describe(&self) -> String {
        let describe = |numbers: &[f32]| match numbers {
            [number] => number.to_string(),
            numbers => {
                let low = numbers.iter().copied().fold(f32::INFINITY, f32::min);
                let high = numbers.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                format!("[{} numbers, {low} to {high}]", numbers.len())
            }
        };
        format!("x * {} + {}", describe(&self.scale), describe(&self.offset))
    }
}

impl LayerPart {
    fn of(layer: &Dense) -> LayerPart {
        LayerPart {
            inputs: layer.inputs(),
            outputs: layer.outputs(),
            activation: layer.activation().name(),
            activation_parameters: layer.activation().parameters(),
            bias: layer.bias().is_some(),
            parameters: layer.parameters(),
        }
    }

    fn describe(&self) -> String {
        match self.activation_parameters {
            [0.0, 0.0] => self.activation.to_owned(),
            [first, 0.0] => format!("{} {first}", self.activation),
            [first, second] => format!("{} {first}, {second}", self.activation),
        }
    }
}

impl PlanPart {
    fn of(plan: &Plan) -> PlanPart {
        let stage = |stage: &Stage| StagePart {
            kind: stage.kind.name(),
            first_layer: stage.layers.start,
            layers: stage.layers.len(),
            tile_rows: stage.tile_rows,
            on_chip_bytes: stage.on_chip_bytes,
            head: stage.head.name(),
        };
        PlanPart {
            input: plan.input().name(),
            precision: plan.precision().name(),
            rows_max: plan.rows_max(),
            stages: plan.stages().iter().map(stage).collect(),
            flops_per_row: plan.cost().flops_per_row,
            parameter_bytes: plan.cost().parameter_bytes,
            rounding: rounding::of(plan),
            text: plan.to_string(),
        }
    }
}

impl CostPart {
    fn of(plan: &Plan, batch: usize, device: &dyn Device) -> CostPart {
        let cost = plan.cost();
        let peak = device.peak(cost.bytes(batch));
        let roofline = peak.map(|peak| cost.roofline(batch, &peak));
        CostPart {
            batch,
            flops: cost.flops(batch),
            moved_bytes: cost.bytes(batch),
            intensity_flops_per_byte: cost.intensity(batch),
            roofline_us: roofline.map(|roofline| roofline.time_us),
            compute_us: roofline.and_then(|roofline| roofline.compute_us),
            memory_us: roofline.map(|roofline| roofline.memory_us),
        }
    }

    fn row(&self) -> Vec<String> {
        let bound = match (self.compute_us, self.memory_us) {
            (Some(compute), Some(memory)) if compute > memory => "compute",
            (Some(_), Some(_)) => "memory",
            // No ceiling of arithmetic is measured, so that this is what memory alone asks for.
            (None, Some(_)) => "memory, at least",
            _ => "unknown",
        };
        let roofline = self.roofline_us.map_or(String::from("unknown"), output::figure);
        vec![
            output::thousands(self.batch as u64),
            output::thousands(self.flops),
            output::thousands(self.moved_bytes),
            output::figure(self.intensity_flops_per_byte),
            roofline,
            bound.to_owned(),
        ]
    }
}

impl Document {
    fn write(&self, out: &mut dyn Write) -> Result<()> {
        self.model.write(out)?;
        super::devices::write_device(out, &self.device)?;
        writeln!(out, "{}", output::lines(&self.plan.text))?;
        for (stage, kernels) in self.kernels.iter().enumerate() {
            writeln!(out, "  {stage} runs as {kernels}")?;
        }
        writeln!(out)?;
        if let Some(table) = rounding::table(&self.plan.rounding) {
            writeln!(out, "{table}\n")?;
        }
        let header = ["batch", "FLOP", "bytes moved", "FLOP per byte", "roofline, us", "bound by"];
        let rows = self.costs.iter().map(CostPart::row).collect();
        writeln!(out, "{}", output::table(&header, &[], rows))?;
        Ok(())
    }
}
