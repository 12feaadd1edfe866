//! fusewire's CPU backend, called on this thread.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use fusewire::backend::{Executable, Rows, cpu};
use fusewire::{InputType, Model, Plan, PlanOptions, Precision};

use super::{Batch, Peer};
use crate::files;

struct Fusewire {
    executable: Arc<dyn Executable>,
    simd: String,
}

pub fn load(folder: &Path, input: InputType, precision: Precision) -> Result<Box<dyn Peer>> {
    let model = Model::load(folder.join(files::SAFETENSORS))?;
    let device = cpu::open();
    let options = PlanOptions { input, precision, ..PlanOptions::default() };
    let plan = Plan::new(&model, device.limits(), &options)?;
    Ok(Box::new(Fusewire { executable: device.load(plan)?, simd: device.info().detail.clone() }))
}

impl Peer for Fusewire {
    fn version(&self) -> String {
        let machine = fusewire::bench::machine::Machine::here();
        let commit = machine.commit.map(|commit| format!(" {commit}")).unwrap_or_default();
        let plan = self.executable.plan();
        let (rows, weights) = (plan.input().name(), plan.precision().name());
        let simd = &self.simd;
        format!("fusewire {}{commit}, {simd}, rows {rows}, weights {weights}", machine.version)
    }

    fn run(&mut self, batch: Batch<'_>, scores: &mut [f32]) -> Result<()> {
        let rows = match self.executable.plan().input() {
            InputType::U8 => Rows::U8(batch.bytes),
            _ => Rows::F32(batch.values),
        };
        Ok(self.executable.run(rows, scores)?)
    }
}
