//! From a model to a pipeline on whatever this machine has.

use std::time::Duration;

use super::super::backend::{BackendKind, Device, OpenOptions, open_with};
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
    /// Which devices: [`BackendKind::Auto`] for all there are, else one of that family.
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

/// Opens one GPU of each family and has it join, as long as the pipeline runs.
fn join_all(engine: &Engine, options: &PipelineOptions) {
    for backend in [BackendKind::Cuda, BackendKind::Wgpu] {
        if !engine.core.is_running() {
            break;
        }
        let opened = open_with(&OpenOptions { backend, ..options.device.clone() });
        let joined = opened
            .map_err(PipelineError::from)
            .and_then(|device| join(engine, &*device, &options.plan));
        match joined {
            Ok(()) => tracing::info!(backend = backend.name(), "backend joined"),
            Err(error) => tracing::info!(backend = backend.name(), %error, "no backend joined"),
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
