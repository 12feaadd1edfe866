//! What is done with a device before it serves: load, measure, make contexts, warm.

use std::time::{Duration, Instant};

use super::super::backend::{BackendError, BackendKind, Executable, ExecutionContext, Rows};
use super::super::model::Model;
use super::super::plan::{InputType, Plan, PlanOptions};
use super::super::sync::{Arc, now};
use super::backends::Backend;
use super::bounded::within;
use super::config::PipelineConfig;
use super::cost::CostTable;
use super::error::PipelineError;
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
    config: &PipelineConfig,
) -> Result<Changing, PipelineError> {
    let (device, plan) = (backend.home.device(), backend.home.plan());
    let options =
        PlanOptions { input: plan.input(), precision: plan.precision(), rows_max: plan.rows_max() };
    let plan = Plan::new(model, device.limits(), &options)?;
    check_shape(Shape::of(backend.home.plan()), &plan)?;
    let (served, config) = (Arc::clone(backend), config.clone());
    within(config.load_timeout, &backend.info.name, move || {
        let executable = served.home.device().load(plan)?;
        let mut contexts = contexts(&*executable, served.seats.len(), config.depth)?;
        let deadline = now() + config.batch_timeout;
        for context in contexts.iter_mut().flatten() {
            warm(&mut **context, Shape::of(executable.plan()), deadline)?;
        }
        Ok(Changing { executable, contexts })
    })
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
    let rows_max = config.max_rows.min(executable.plan().rows_max());
    let deadline = now() + config.batch_timeout + CALIBRATION;
    let zeros = Zeros::new(shape, rows_max);
    CostTable::calibrate(&mut *context, zeros.rows(), shape.inputs, rows_max, CALIBRATION, deadline)
}

/// Runs a row of zeros.
fn warm(
    context: &mut dyn ExecutionContext,
    shape: Shape,
    deadline: Instant,
) -> Result<(), BackendError> {
    context.submit(Zeros::new(shape, 1).rows())?;
    context.wait(deadline)
}

/// Rows of zeros, of any type.
struct Zeros {
    input: InputType,
    /// Words, so that values of every type may begin there; and how many bytes of them are rows.
    words: Vec<u32>,
    bytes: usize,
}

impl Zeros {
    fn new(shape: Shape, rows: usize) -> Zeros {
        let bytes = rows * shape.row_bytes();
        Zeros { input: shape.input, words: vec![0; bytes.div_ceil(4)], bytes }
    }

    fn rows(&self) -> Rows<'_> {
        Rows::of_bytes(self.input, &bytemuck::cast_slice(&self.words)[..self.bytes])
    }
}
