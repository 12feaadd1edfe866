//! A device that lies, for experiments to find out, and a small model.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::backend::sealed::Sealed;
use crate::backend::{BackendError, Device, DeviceInfo, Executable, ExecutionContext, Rows};
use crate::model::{Activation, Dense, Model};
use crate::plan::{Limits, Peak, Plan};

/// A device whose contexts answer wrongly from its n-th batch on.
#[derive(Clone, Debug)]
pub(in crate::bench) struct Liar {
    honest: Arc<dyn Device>,
    lie: Lie,
    batches_left: Arc<AtomicU64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bench) enum Lie {
    /// The last score of a batch is one unit in the last place off.
    OneBit,
    /// The first two rows of a batch get each other's scores.
    Mixed,
    /// A row gets the scores that a row of another batch had before.
    Stale,
    /// The last score of a batch is off by one, also on the caller's own thread.
    Off,
}

impl Liar {
    pub(in crate::bench) fn device(
        honest: Arc<dyn Device>,
        lie: Lie,
        batches: u64,
    ) -> Arc<dyn Device> {
        Arc::new(Liar { honest, lie, batches_left: Arc::new(AtomicU64::new(batches)) })
    }

    fn lies(&self) -> bool {
        let less = |left: u64| Some(left.saturating_sub(1));
        self.batches_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less) == Ok(0)
    }
}

impl Sealed for Liar {}

impl Device for Liar {
    fn info(&self) -> &DeviceInfo {
        self.honest.info()
    }

    fn limits(&self) -> &Limits {
        self.honest.limits()
    }

    fn peak(&self, _working_set_bytes: u64) -> Option<Peak> {
        None
    }

    fn load(&self, plan: Arc<Plan>) -> Result<Arc<dyn Executable>, BackendError> {
        Ok(Arc::new(LyingExecutable { device: self.clone(), honest: self.honest.load(plan)? }))
    }
}

#[derive(Debug)]
struct LyingExecutable {
    device: Liar,
    honest: Arc<dyn Executable>,
}

impl Sealed for LyingExecutable {}

impl Executable for LyingExecutable {
    fn plan(&self) -> &Plan {
        self.honest.plan()
    }

    fn device(&self) -> &dyn Device {
        &self.device
    }

    fn run(&self, rows: Rows<'_>, scores: &mut [f32]) -> Result<(), BackendError> {
        self.honest.run(rows, scores)?;
        if self.device.lie == Lie::Off && self.device.lies() {
            *scores.last_mut().unwrap() += 1.0;
        }
        Ok(())
    }

    fn create_context(&self) -> Result<Box<dyn ExecutionContext>, BackendError> {
        Ok(Box::new(LyingContext {
            device: self.device.clone(),
            classes: self.plan().classes(),
            honest: self.honest.create_context()?,
            scores: Vec::new(),
        }))
    }
}

#[derive(Debug)]
struct LyingContext {
    device: Liar,
    classes: usize,
    honest: Box<dyn ExecutionContext>,
    scores: Vec<f32>,
}

impl Sealed for LyingContext {}

impl ExecutionContext for LyingContext {
    fn submit_pieces(&mut self, pieces: &[Rows<'_>]) -> Result<(), BackendError> {
        self.honest.submit_pieces(pieces)?;
        let stale = std::mem::take(&mut self.scores);
        self.scores = self.honest.scores().to_vec();
        if !self.device.lies() {
            return Ok(());
        }
        match self.device.lie {
            Lie::OneBit => {
                let last = self.scores.last_mut().unwrap();
                *last = f32::from_bits(last.to_bits() + 1);
            }
            Lie::Mixed if self.scores.len() > self.classes => {
                let (first, second) = self.scores.split_at_mut(self.classes);
                first.swap_with_slice(&mut second[..self.classes]);
            }
            Lie::Mixed => {}
            Lie::Off => *self.scores.last_mut().unwrap() += 1.0,
            Lie::Stale => {
                let alike = stale.len().min(self.classes);
                self.scores[..alike].copy_from_slice(&stale[..alike]);
            }
        }
        Ok(())
    }

    fn is_complete(&mut self) -> Result<bool, BackendError> {
        self.honest.is_complete()
    }

    fn wait(&mut self, deadline: Instant) -> Result<(), BackendError> {
        self.honest.wait(deadline)
    }

    fn scores(&self) -> &[f32] {
        &self.scores
    }
}

/// 16 inputs, 3 classes.
pub(in crate::bench) fn model() -> Model {
    let layer = |inputs: usize, outputs: usize| {
        let weight = (0..inputs * outputs).map(|i| (i % 7) as f32 - 3.0).collect();
        let bias = Some((0..outputs).map(|i| i as f32).collect());
        Dense::new(inputs, outputs, weight, bias, Activation::Tanh).unwrap()
    };
    Model::from_layers(vec![layer(16, 8), layer(8, 3)]).unwrap()
}
