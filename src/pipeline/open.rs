//! From a model to a pipeline on whatever this machine has.

use std::time::Duration;

use super::super::backend::{
    BackendKind, Device, DeviceInfo, Gpu, OpenOptions, gpus, is_same_card, open_with,
};
use super::super::model::Model;
use super::super::plan::{Plan, PlanOptions, Precision};
use super::super::sync::{Arc, lock};
use super::config::PipelineConfig;
use super::engine::Engine;
use super::error::PipelineError;
use super::handle::Pipeline;

/// What a caller chooses about a pipeline that opens its devices itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PipelineOptions {
    /// Which devices. [`BackendKind::Auto`] is the processor and every GPU that is there, each
    /// once: through CUDA where that opens it, else through wgpu. Software adapters are left out
    /// unless [`software`](OpenOptions::software) allows them; with
    /// [`adapter`](OpenOptions::adapter) or [`device`](OpenOptions::device) it is that one of each
    /// family. Another kind is one device of that family.
    pub device: OpenOptions,
    /// Input type, precision and largest batch.
    pub plan: PlanOptions,
    /// The pipeline itself.
    pub config: PipelineConfig,
}

impl Pipeline {
    /// Starts a pipeline for a model. With [`BackendKind::Auto`] the processor serves from the
    /// first moment, and GPUs join on their own once they are open and measured, which may take
    /// seconds; see [`Pipeline::is_joining`]. A plan of [`Precision::Int8`] stays the processor's,
    /// which alone has kernels for it, and `tracing` is told. With another kind it is that one
    /// device, opened now.
    ///
    /// # Errors
    /// [`PipelineError`]: an option makes no sense, or the device is missing or cannot take the
    /// model. A GPU that cannot join is reported through `tracing`, and is no error.
    pub fn open(model: &Model, options: &PipelineOptions) -> Result<Pipeline, PipelineError> {
        let auto = options.device.backend == BackendKind::Auto;
        let joins = auto && options.plan.precision != Precision::Int8;
        let first = if auto { BackendKind::Cpu } else { options.device.backend };
        let device = open_with(&OpenOptions { backend: first, ..options.device.clone() })?;
        let plan = Plan::new(model, device.limits(), &options.plan)?;
        let pipeline = Pipeline::start(device.load(plan)?, options.config.clone())?;
        if auto && !joins {
            let precision = options.plan.precision.name();
            tracing::info!(precision, "no GPU joins: the processor alone has kernels for it");
        }
        if joins {
            *lock(&pipeline.owner.joining) = Some(Arc::new(model.clone()));
            let (engine, options) = (Arc::clone(&pipeline.owner.engine), options.clone());
            let join = move || join_all(&engine, &options);
            if let Err(error) = pipeline.owner.spawn("fusewire-join", true, join) {
                *lock(&pipeline.owner.joining) = None;
                pipeline.shutdown(Duration::ZERO);
                return Err(error);
            }
        }
        Ok(pipeline)
    }

    /// Whether devices are still being opened that may join.
    pub fn is_joining(&self) -> bool {
        self.owner.is_joining()
    }
}

/// Opens every GPU that the options allow and has it join, as long as the pipeline runs. A card
/// that has joined does not join again through another interface.
fn join_all(engine: &Engine, options: &PipelineOptions) {
    let mut cards: Vec<DeviceInfo> = Vec::new();
    for Gpu { options: wanted, info } in gpus(&options.device) {
        if !engine.core.is_running() {
            break;
        }
        let backend = wanted.backend.name();
        let has_joined = |card: &DeviceInfo| cards.iter().any(|it| is_same_card(it, card));
        if info.is_some_and(|card| has_joined(&card)) {
            continue;
        }
        let joined = open_with(&wanted).map_err(PipelineError::from).and_then(|device| {
            // What was asked for by name is known only now.
            let is_new = !has_joined(device.info());
            let joined = is_new.then(|| join(engine, &*device, &options.plan)).transpose();
            joined.map(|_| device.info().clone())
        });
        match joined {
            Ok(card) => {
                tracing::info!(backend, card = card.name, "backend joined");
                cards.push(card);
            }
            Err(error) => tracing::info!(backend, %error, "no backend joined"),
        }
    }
    *lock(&engine.joining) = None;
}

/// Has a device join with the model that runs now.
fn join(engine: &Engine, device: &dyn Device, options: &PlanOptions) -> Result<(), PipelineError> {
    let _one_at_a_time = lock(&engine.changes);
    engine.check_running()?;
    let Some(model) = lock(&engine.joining).clone() else { return Ok(()) };
    let plan = Plan::new(&model, device.limits(), options)?;
    engine.attach_alone(device.load(plan)?)
}
