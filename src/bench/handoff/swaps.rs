//! What swapping the model does to the latency of those who are served meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::super::error::BenchError;
use super::super::load::Durations;
use super::super::load::{Kept, Schedule};
use super::known::Known;
use super::open;
use crate::Error;
use crate::model::{Dense, Model};
use crate::pipeline::Pipeline;

/// From one swap's start to the next one's.
pub(super) const EVERY: Duration = Duration::from_millis(50);

/// What was seen in windows without swaps, and in windows with swaps.
#[derive(Debug, Default)]
pub(super) struct Windows {
    pub(super) quiet: Vec<Kept>,
    pub(super) swapping: Vec<Kept>,
    /// How long each swap took: planning, loading and warming the model.
    pub(super) swaps: Durations,
}

/// A model of the same shape with other scores: the last layer's weights and bias are negated.
pub(super) fn twin(model: &Model) -> Result<Model, Error> {
    let mut layers = model.layers().to_vec();
    if let Some(last) = layers.last_mut() {
        let negated = |values: &[f32]| values.iter().map(|value| -value).collect::<Vec<_>>();
        let (weight, bias) = (negated(last.weight()), last.bias().map(negated));
        *last = Dense::new(last.inputs(), last.outputs(), weight, bias, last.activation())?;
    }
    let twin = Model::from_layers(layers)?.with_head(model.head()).with_name(model.name());
    Ok(twin.with_transform(model.transform().clone())?.with_u8_scale_from(model.u8_scale())?)
}

/// Keeps the schedule in pairs of windows, one without swaps and one in which the two models take
/// turns. The traffic has to know both.
pub(super) fn windows(
    pipeline: &Pipeline,
    traffic: &mut Known,
    models: [&Model; 2],
    schedule: &Schedule,
    pairs: usize,
) -> Result<Windows, BenchError> {
    let mut seen = Windows::default();
    let mut next = 0;
    for _ in 0..pairs {
        seen.quiet.push(open::keep(schedule, pipeline, traffic, &mut next)?);
        let over = AtomicBool::new(false);
        let (kept, swaps) = thread::scope(|scope| {
            let swapper = scope.spawn(|| swap_until(&over, pipeline, models));
            let kept = open::keep(schedule, pipeline, traffic, &mut next);
            over.store(true, Ordering::Release);
            // A panic of the swapper is a bug in this file, and ends the run as such.
            (kept, swapper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        seen.swapping.push(kept?);
        seen.swaps.merge(&swaps?);
    }
    Ok(seen)
}

/// Swaps at once and then ever again, until the window is over.
fn swap_until(
    over: &AtomicBool,
    pipeline: &Pipeline,
    models: [&Model; 2],
) -> Result<Durations, BenchError> {
    let mut took = Durations::default();
    while !over.load(Ordering::Acquire) {
        let begun = Instant::now();
        // The pipeline begins with the first model, which is version 1.
        let next = models[(pipeline.version().0 % 2) as usize];
        pipeline.swap(next)?;
        took.add(begun.elapsed());
        thread::sleep(EVERY.saturating_sub(begun.elapsed()));
    }
    Ok(took)
}
