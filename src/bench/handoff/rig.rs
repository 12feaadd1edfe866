//! Pipelines under test: how they are started, and what must hold when they end.

use std::sync::Arc;
use std::time::Duration;

use super::super::error::BenchError;
use crate::Error;
use crate::backend::{Device, Executable};
use crate::model::{Activation, Dense, Model};
use crate::pipeline::{Pipeline, PipelineConfig, Waiting};
use crate::plan::{InputType, Plan, PlanOptions};

/// Scores of a row on the device that computes nothing.
pub(super) const CLASSES: usize = 10;
/// How long threads spin where they spin: so much longer than a round trip that they park only
/// where the other one has no core, and then give it theirs.
pub(super) const SPINNING: Waiting = Waiting::spinning(Duration::from_micros(200));

/// Rows of so many bytes on the device that computes nothing.
pub(super) fn empty(device: &dyn Device, width: usize) -> Result<Arc<dyn Executable>, Error> {
    let weight = vec![0.0; width * CLASSES];
    let layer = Dense::new(width, CLASSES, weight, None, Activation::Identity)?;
    let model = Model::from_layers(vec![layer])?.with_name("nothing");
    let options = PlanOptions { input: InputType::U8, ..PlanOptions::default() };
    load(device, &model, &options)
}

/// A model on a device.
pub(super) fn load(
    device: &dyn Device,
    model: &Model,
    options: &PlanOptions,
) -> Result<Arc<dyn Executable>, Error> {
    Ok(device.load(Plan::new(model, device.limits(), options)?)?)
}

/// Runs an experiment on a pipeline of its own, and sees to it that every row was answered.
pub(super) fn with_pipeline<T>(
    executable: &Arc<dyn Executable>,
    waiting: Waiting,
    experiment: impl FnOnce(&Pipeline) -> Result<T, BenchError>,
) -> Result<T, BenchError> {
    let config = PipelineConfig { waiting, ..PipelineConfig::default() };
    let pipeline = Pipeline::start(Arc::clone(executable), config)?;
    let outcome = experiment(&pipeline);
    let watcher = pipeline.clone();
    pipeline.shutdown(Duration::from_secs(5));
    let outcome = outcome?;
    let metrics = watcher.metrics();
    if metrics.completed != metrics.admitted {
        let (admitted, answered) = (metrics.admitted, metrics.completed);
        return Err(BenchError::Unbalanced { admitted, answered });
    }
    Ok(outcome)
}
