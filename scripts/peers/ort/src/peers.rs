//! The two runtimes, each at its fastest with one thread: memory bound once, outputs preallocated.

use std::sync::Arc;

use anyhow::{Result, anyhow};
use fusewire::backend::{Device, Executable, cpu};
use fusewire::{InputType, Model, Plan, PlanOptions, Precision, Rows};
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::TensorRef;

/// A model in ONNX Runtime.
pub struct OnnxRuntime {
    session: Session,
    inputs: usize,
}

impl OnnxRuntime {
    pub fn open(path: &str) -> Result<OnnxRuntime> {
        let environment = ort::init().with_telemetry(false).build()?;
        let builder = Session::builder(&environment)?;
        let builder = builder.with_intra_threads(1).map_err(|error| anyhow!("{error}"))?;
        let builder = builder.with_inter_threads(1).map_err(|error| anyhow!("{error}"))?;
        let mut builder = builder
            .with_optimization_level(GraphOptimizationLevel::Level3)
            .map_err(|error| anyhow!("{error}"))?;
        let session = builder.commit_from_file(path)?;
        let shape = session.inputs()[0].dtype().tensor_shape();
        let shape = shape.ok_or_else(|| anyhow!("{path}: the input is no tensor"))?;
        let inputs = shape.iter().skip(1).product::<i64>() as usize;
        Ok(OnnxRuntime { session, inputs })
    }

    /// Runs `batch` rows in place and copies their scores out.
    pub fn run(&mut self, rows: &[f32], batch: usize, scores: &mut [f32]) -> Result<()> {
        let input = TensorRef::from_array_view(([batch, self.inputs], rows))?;
        let outputs = self.session.run(ort::inputs![input])?;
        let (_, values) = outputs[0].try_extract_tensor::<f32>()?;
        scores.copy_from_slice(values);
        Ok(())
    }
}

/// A model in fusewire, called on this thread.
pub struct Fusewire {
    executable: Arc<dyn Executable>,
    device: Arc<dyn Device>,
}

impl Fusewire {
    pub fn load(model: &Model, input: InputType, precision: Precision) -> Result<Fusewire> {
        let device = cpu::open();
        let options = PlanOptions { input, precision, ..PlanOptions::default() };
        let plan = Plan::new(model, device.limits(), &options)?;
        Ok(Fusewire { executable: device.load(plan)?, device })
    }

    /// The processor and its level.
    pub fn device(&self) -> String {
        let info = self.device.info();
        format!("{} ({})", info.name, info.detail)
    }

    /// The processor's ceilings: GFLOP/s, and the microseconds that reading the parameters takes.
    pub fn ceilings(&self) -> Option<(f64, f64)> {
        let bytes = self.executable.plan().cost().parameter_bytes;
        let peak = self.device.peak(bytes)?;
        Some((peak.flops_per_s / 1e9, bytes as f64 / peak.bytes_per_s * 1e6))
    }

    pub fn run<'a>(&self, rows: impl Into<Rows<'a>>, scores: &mut [f32]) -> Result<()> {
        Ok(self.executable.run(rows.into(), scores)?)
    }
}
