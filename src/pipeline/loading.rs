//! What is done with a device before it serves: load, measure, make contexts, warm.

use std::time::Duration;

use super::super::backend::stopwatch::complete;
use super::super::backend::{
    BackendError, BackendKind, Device, Executable, ExecutionContext, HostMemory, Rows,
};
use super::super::model::Model;
use super::super::plan::{InputType, Plan, PlanOptions};
use super::super::sync::{Arc, now};
use super::backends::Backend;
use super::bounded::within;
use super::config::PipelineConfig;
use super::cost::CostTable;
use super::error::PipelineError;
use super::generation::Generation;
use super::store::Shape;

/// How long a backend may be measured before it joins.
const CALIBRATION: Duration = Duration::from_millis(20);

/// One worker's contexts, one for each batch in flight.
pub(crate) type Contexts = Vec<Box<dyn ExecutionContext>>;

/// What a device runs on when it joins.
#[derive(Debug)]
pub(crate) struct Joining {
    pub(crate) executable: Arc<dyn Executable>,
    pub(crate) cost: CostTable,
    /// For each of its workers.
    pub(crate) contexts: Vec<Contexts>,
}

/// A further version on a device that serves.
#[derive(Debug)]
pub(crate) struct Changing {
    pub(crate) executable: Arc<dyn Executable>,
    /// For each of its workers.
    pub(crate) contexts: Vec<Contexts>,
    /// What a batch costs, where that is far from what it cost before.
    pub(crate) cost: Option<CostTable>,
}

/// Measures what a batch costs, and makes contexts.
pub(crate) fn measure(
    executable: Arc<dyn Executable>,
    config: &PipelineConfig,
) -> Result<Joining, PipelineError> {
    let name = executable.device().info().name.clone();
    let config = config.clone();
    within(config.load_timeout, &name, move || {
        let workers = workers_of(&*executable, &config);
        let contexts = contexts(&*executable, workers, config.depth)?;
        let cost = calibrate(&*executable, &config)?;
        Ok(Joining { executable, cost, contexts })
    })
}

/// Plans and loads a model as a backend runs the present one, and runs a row in every context, so
/// that the first real batch finds everything in place.
pub(crate) fn change(
    model: &Model,
    backend: &Arc<Backend>,
    current: &Generation,
    config: &PipelineConfig,
) -> Result<Changing, PipelineError> {
    let (device, plan) = (backend.home.device(), backend.home.plan());
    let options =
        PlanOptions { input: plan.input(), precision: plan.precision(), rows_max: plan.rows_max() };
    let plan = Plan::new(model, device.limits(), &options)?;
    check_shape(Shape::of(backend.home.plan()), &plan)?;
    let differs = current.on(backend.serial).is_none_or(|it| costs_differ(it.plan(), &plan));
    let (served, config) = (Arc::clone(backend), config.clone());
    within(config.load_timeout, &backend.info.name, move || {
        let executable = served.home.device().load(plan)?;
        let mut contexts = contexts(&*executable, served.seats.len(), config.depth)?;
        for context in contexts.iter_mut().flatten() {
            let (device, shape) = (executable.device(), Shape::of(executable.plan()));
            warm(&mut **context, device, shape, config.load_timeout)?;
        }
        let cost = if differs { Some(calibrate(&*executable, &config)?) } else { None };
        Ok(Changing { executable, contexts, cost })
    })
}

/// Whether one plan has at least twice the operations of the other, so that what was learnt of
/// batches of one says little about those of the other.
fn costs_differ(one: &Plan, other: &Plan) -> bool {
    let [one, other] = [one, other].map(|plan| plan.cost().flops_per_row);
    one.max(other) / 2 >= one.min(other)
}

/// Whether a plan takes and gives what the pipeline does.
pub(crate) fn check_shape(expected: Shape, plan: &Plan) -> Result<(), PipelineError> {
    let got = Shape::of(plan);
    if got.input != expected.input {
        let (expected, got) = (expected.input, got.input);
        return Err(BackendError::WrongInput { expected, got }.into());
    }
    if got != expected {
        return Err(PipelineError::Shape {
            expected_inputs: expected.inputs,
            expected_classes: expected.classes,
            inputs: got.inputs,
            classes: got.classes,
        });
    }
    Ok(())
}

/// Whether a plan computes what the present version does: the same model, rounded alike.
pub(super) fn check_model(generation: &Generation, plan: &Plan) -> Result<(), PipelineError> {
    if plan.content_hash() != generation.hash {
        let (expected, got) = (generation.hash.short(), plan.content_hash().short());
        return Err(PipelineError::WrongModel { expected, got });
    }
    if plan.precision() != generation.precision {
        let (expected, got) = (generation.precision, plan.precision());
        return Err(PipelineError::WrongPrecision { expected, got });
    }
    Ok(())
}

/// Contexts for so many workers.
pub(crate) fn contexts(
    executable: &dyn Executable,
    workers: usize,
    depth: usize,
) -> Result<Vec<Contexts>, BackendError> {
    let of_worker = |_| (0..depth).map(|_| executable.create_context()).collect();
    (0..workers).map(of_worker).collect()
}

/// How many workers drive a device: one, but for the processor, which has no thread of its own.
pub(crate) fn workers_of(executable: &dyn Executable, config: &PipelineConfig) -> usize {
    let is_processor = executable.device().info().backend == BackendKind::Cpu;
    if is_processor { config.workers } else { 1 }
}

fn calibrate(
    executable: &dyn Executable,
    config: &PipelineConfig,
) -> Result<CostTable, BackendError> {
    let mut context = executable.create_context()?;
    let shape = Shape::of(executable.plan());
    let rows_max = config.rows_max(executable.plan());
    let mut zeros = Zeros::new(shape, rows_max, executable.device())?;
    let (rows, limit) = (zeros.rows(), config.load_timeout);
    CostTable::calibrate(&mut *context, rows, shape.inputs, rows_max, CALIBRATION, limit)
}

/// Runs a row of zeros.
fn warm(
    context: &mut dyn ExecutionContext,
    device: &dyn Device,
    shape: Shape,
    limit: Duration,
) -> Result<(), BackendError> {
    context.submit(Zeros::new(shape, 1, device)?.rows())?;
    complete(context, limit, now)
}

/// Rows of zeros, of any type.
struct Zeros {
    input: InputType,
    block: HostMemory,
}

impl Zeros {
    /// Memory for so many rows. Zeros that nothing wrote are there without being touched.
    fn new(shape: Shape, rows: usize, device: &dyn Device) -> Result<Zeros, BackendError> {
        let bytes = rows.saturating_mul(shape.row_bytes());
        let block = HostMemory::new(bytes).ok_or_else(|| BackendError::OutOfMemory {
            device: device.info().name.clone(),
            message: format!("no room to measure batches of {rows} rows; take fewer max_rows"),
        })?;
        Ok(Zeros { input: shape.input, block })
    }

    fn rows(&mut self) -> Rows<'_> {
        Rows::of_bytes(self.input, self.block.bytes())
    }
}
