//! The whole pipeline on one thread, in time that the tests move.

mod flights;
mod guard;
mod leaving;
mod overlap;
mod resting;
mod ring;
mod room;
mod shares;
mod simulation;
mod timing;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::changes::assemble;
use super::clock::Clock;
use super::config::PipelineConfig;
use super::core::Core;
use super::cost::CostTable;
use super::handle::Pipeline;
use super::loading::{Joining, contexts, workers_of};
use super::seats::seat;
use super::worker::Worker;
use crate::backend::fake::FakeDevice;
use crate::backend::{BackendKind, Device, Executable};
use crate::model::{Activation, Dense, Model};
use crate::plan::{Limits, Plan, PlanOptions};

const LIMITS: Limits = Limits {
    on_chip_bytes: 4096,
    resident_bytes: usize::MAX,
    panel: 4,
    tile_rows_min: 1,
    tile_rows_max: 8,
    align_bytes: 64,
    buffer_bytes_max: 1 << 20,
};

/// A model whose scores of a row `[x, 1]` are `[x, version]`.
fn model(version: u64) -> Model {
    let weight = vec![1.0, 0.0, 0.0, version as f32];
    let layer = Dense::new(2, 2, weight, None, Activation::Identity).unwrap();
    Model::from_layers(vec![layer]).unwrap()
}

fn fake(kind: BackendKind, name: &str) -> FakeDevice {
    FakeDevice::named(kind, name, LIMITS)
}

fn load(device: &dyn Device, model: &Model) -> Arc<dyn Executable> {
    device.load(Plan::new(model, device.limits(), &PlanOptions::default()).unwrap()).unwrap()
}

/// A pipeline without threads: the test takes the workers' steps.
struct Bench {
    core: Arc<Core>,
    pipeline: Pipeline,
    clock: Arc<AtomicU64>,
    workers: Vec<Worker>,
}

impl Bench {
    /// A pipeline for rows of [`model`], with one backend.
    fn new(device: &FakeDevice, cost_ns: f64, config: PipelineConfig) -> Bench {
        let clock = Arc::new(AtomicU64::new(0));
        let executable = load(device, &model(1));
        let core = assemble(&*executable, config, Clock::driven(Arc::clone(&clock))).unwrap();
        let pipeline = Pipeline::of(Arc::clone(&core));
        let mut bench = Bench { core, pipeline, clock, workers: Vec::new() };
        bench.attach(executable, cost_ns);
        bench
    }

    /// Attaches a backend whose batches are said to cost so much a row.
    fn attach(&mut self, executable: Arc<dyn Executable>, cost_ns: f64) {
        let cost = CostTable::from_points(&[(1, cost_ns)]);
        let config = &self.core.config;
        let workers = workers_of(&*executable, config);
        let contexts = contexts(&*executable, workers, config.depth).unwrap();
        let joining = Joining { executable, cost, contexts };
        let (backend, workers) = seat(&self.core, joining).unwrap();
        self.workers.extend(workers);
        backend.set_ready();
        self.core.joined();
    }
}
