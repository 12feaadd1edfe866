//! A plan loaded on the processor.

use std::sync::Arc;
use std::time::Instant;

use crate::backend::sealed::Sealed;
use crate::backend::{BackendError, Executable, ExecutionContext, Rows};
use crate::model::Head;
use crate::plan::{Plan, PlannedLayer, Precision};

#[derive(Clone, Debug)]
pub(super) struct CpuExecutable {
    plan: Arc<Plan>,
}

impl CpuExecutable {
    pub(super) fn new(plan: Arc<Plan>) -> CpuExecutable {
        CpuExecutable { plan }
    }
}

impl Sealed for CpuExecutable {}

impl Executable for CpuExecutable {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn run(&self, rows: Rows<'_>, scores: &mut [f32]) -> Result<(), BackendError> {
        let count = rows.count_for(&self.plan, scores)?;
        for (index, out) in (0..count).zip(scores.chunks_exact_mut(self.plan.classes())) {
            let mut x: Vec<f32> = match rows.slice(index..index + 1, self.plan.inputs()) {
                Rows::F32(values) => values.to_vec(),
                Rows::U8(values) => values.iter().map(|byte| f32::from(*byte)).collect(),
            };
            for layer in self.plan.layers() {
                x = (0..layer.outputs).map(|o| neuron(&self.plan, layer, o, &x)).collect();
            }
            out.copy_from_slice(&x);
            head(self.plan.head(), out);
        }
        Ok(())
    }

    fn create_context(&self) -> Result<Box<dyn ExecutionContext>, BackendError> {
        Ok(Box::new(CpuContext { executable: self.clone(), scores: None }))
    }
}

fn neuron(plan: &Plan, layer: &PlannedLayer, output: usize, x: &[f32]) -> f32 {
    let panel = plan.limits().panel;
    let bytes = &plan.parameters()[layer.weight.clone()];
    let size = plan.precision().bytes();
    let mut sum = 0.0;
    for (k, x) in x.iter().enumerate() {
        let at = ((output / panel * layer.inputs + k) * panel + output % panel) * size;
        let bytes = &bytes[at..at + size];
        sum += x * match plan.precision() {
            Precision::F32 => f32::from_le_bytes(bytes.try_into().unwrap()),
            Precision::F16 => half::f16::from_le_bytes(bytes.try_into().unwrap()).to_f32(),
            Precision::Bf16 => half::bf16::from_le_bytes(bytes.try_into().unwrap()).to_f32(),
        };
    }
    let bias = &plan.parameters()[layer.bias.clone()][output * 4..][..4];
    let bias = f32::from_le_bytes(bias.try_into().unwrap());
    layer.activation.apply(f64::from(sum * layer.scale + bias)) as f32
}

fn head(head: Head, row: &mut [f32]) {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = row.iter().map(|score| (score - largest).exp()).sum();
    for score in row {
        match head {
            Head::Logits => {}
            Head::Softmax => *score = (*score - largest).exp() / sum,
            Head::LogSoftmax => *score = *score - largest - sum.ln(),
        }
    }
}

/// The processor computes when the batch is submitted; the context only keeps the scores.
#[derive(Debug)]
struct CpuContext {
    executable: CpuExecutable,
    scores: Option<Vec<f32>>,
}

impl Sealed for CpuContext {}

impl ExecutionContext for CpuContext {
    fn submit(&mut self, rows: Rows<'_>) -> Result<(), BackendError> {
        let count = rows.count_batch(&self.executable.plan)?;
        let mut scores = vec![0.0; count * self.executable.plan.classes()];
        self.executable.run(rows, &mut scores)?;
        self.scores = Some(scores);
        Ok(())
    }

    fn is_complete(&mut self) -> Result<bool, BackendError> {
        self.scores.as_ref().map(|_| true).ok_or(BackendError::Idle)
    }

    fn wait(&mut self, _deadline: Instant) -> Result<(), BackendError> {
        self.is_complete().map(|_| ())
    }

    fn scores(&self) -> &[f32] {
        self.scores.as_deref().unwrap_or_default()
    }
}
