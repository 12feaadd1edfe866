//! What is done to a pipeline as a whole: start, attach, swap, shut down.

use std::time::Duration;

use super::super::backend::{BackendError, Executable};
use super::super::model::Model;
use super::super::sync::{Arc, lock, now};
use super::clock::Clock;
use super::config::PipelineConfig;
use super::core::Core;
use super::engine::{DRIVERS, join_finished, wait_for};
use super::error::PipelineError;
use super::generation::{Generation, Loaded};
use super::handle::Pipeline;
use super::loading::{Changing, change};
use super::records;
use super::store::{Shape, Store};
use super::threads::watch;
use super::watchdog::Watchdog;

/// How long threads get to notice that the pipeline was stopped.
const FAREWELL: Duration = Duration::from_millis(100);

/// How a shutdown went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Whether everything that had been taken was answered in time, by whatever answer.
    pub drained: bool,
    /// Rows that were turned away because time was up.
    pub turned_away: u64,
    /// Threads that did not come back from a driver and were left behind, with the memory that
    /// they may still use.
    pub threads_left: usize,
}

impl Pipeline {
    /// Starts a pipeline on one loaded plan; others may be [attached](Pipeline::attach).
    ///
    /// The device is measured for some milliseconds first, to know what a batch costs.
    ///
    /// # Errors
    /// [`PipelineError`]: an option makes no sense, memory ran out, or the device failed.
    pub fn start(
        executable: Arc<dyn Executable>,
        config: PipelineConfig,
    ) -> Result<Pipeline, PipelineError> {
        config.check()?;
        let core = assemble(&*executable, config, Clock::real())?;
        let pipeline = Pipeline::of(Arc::clone(&core));
        let watchdog = Watchdog::new(core);
        let watched = pipeline.owner.spawn("fusewire-watch", false, move || watch(watchdog));
        match watched.and_then(|()| pipeline.attach(executable)) {
            Ok(()) => Ok(pipeline),
            Err(error) => {
                // Threads that have begun are ended and joined.
                pipeline.shutdown(Duration::ZERO);
                Err(error)
            }
        }
    }

    /// Attaches a further backend, or one that was lost and opened again: the model that runs now,
    /// loaded on it. It is measured first, and serves from then on.
    ///
    /// # Errors
    /// [`PipelineError`]: another model, rows of another shape or type, another precision, or a
    /// device that failed; the pipeline goes on without it.
    pub fn attach(&self, executable: Arc<dyn Executable>) -> Result<(), PipelineError> {
        self.owner.check_process()?;
        let _one_at_a_time = lock(&self.owner.changes);
        self.owner.attach_alone(executable)
    }

    /// Replaces the weights between two batches: the model is planned and loaded on every backend
    /// while the old one runs on, and requests that no batch has begun then run with the new one.
    /// No request sees both. Returns the new version.
    ///
    /// # Errors
    /// [`PipelineError`]: a model of another shape, or one that a backend cannot load; the old one
    /// runs on everywhere.
    pub fn swap(&self, model: &Model) -> Result<u64, PipelineError> {
        self.owner.check_process()?;
        let _one_at_a_time = lock(&self.owner.changes);
        self.owner.check_running()?;
        let core = self.core();
        let backends = lock(&core.backends).clone();
        let ready: Vec<_> = backends.iter().filter(|backend| backend.is_ready()).collect();
        let current = Arc::clone(lock(&core.dispatcher).current());
        let version = current.version + 1;
        let next = Generation::new(version, model.content_hash(), current.precision);
        let mut changing = Vec::new();
        for backend in ready {
            changing.push((backend, change(model, backend, &current, &core.config)?));
        }
        // Every device has it: from here on nothing fails.
        for (backend, Changing { executable, contexts, cost }) in changing {
            next.put(backend.serial, executable);
            cost.iter().for_each(|cost| backend.cost.replace(cost));
            for (seat, contexts) in backend.seats.iter().zip(contexts) {
                drop(seat.bring(Loaded { version, contexts }));
            }
        }
        lock(&core.dispatcher).change(Arc::new(next));
        if let Some(joining) = &mut *lock(&self.owner.joining) {
            *joining = Arc::new(model.clone());
        }
        Ok(version)
    }

    /// Takes nothing more, waits until what was taken is answered, for so long at most, turns away
    /// what is left then, and ends the threads. Other handles see a pipeline that was shut down.
    ///
    /// A driver that is being loaded just then is waited for beyond that time, for five seconds at
    /// most: a process that ends meanwhile may crash. In a child of the pipeline's process there is
    /// nothing to end, and it returns at once.
    pub fn shutdown(self, timeout: Duration) -> ShutdownReport {
        let core = self.core();
        if core.is_forked() {
            return ShutdownReport { drained: false, turned_away: 0, threads_left: 0 };
        }
        let deadline = now().checked_add(timeout);
        // A change under way may hang in a driver: it is not waited for, and finds out.
        core.drain();
        let threads = std::mem::take(&mut *lock(&self.owner.threads));
        let drained = wait_for(deadline, || core.is_drained());
        let before = core.tally.turned_away();
        if !drained {
            core.stop();
        }
        // A driver that is being loaded does not take it well when the process ends meanwhile.
        let least = now() + DRIVERS;
        wait_for(deadline.map(|deadline| deadline.max(least)), || !self.is_joining());
        let finished = || threads.iter().all(|it| it.thread.is_finished());
        if !wait_for(Some(now() + FAREWELL), finished) {
            core.stop();
            wait_for(Some(now() + FAREWELL), finished);
        }
        let threads_left = join_finished(threads);
        let turned_away = core.tally.turned_away() - before;
        ShutdownReport { drained, turned_away, threads_left }
    }
}

/// The shared parts of a pipeline for a plan, without backends or threads.
pub(crate) fn assemble(
    executable: &dyn Executable,
    config: PipelineConfig,
    clock: Clock,
) -> Result<Arc<Core>, PipelineError> {
    let plan = executable.plan();
    let rows: usize = config.lanes().iter().map(|rows| *rows as usize).sum();
    let out_of_memory = || BackendError::OutOfMemory {
        device: executable.device().info().name.clone(),
        message: format!("no room for a ring of {rows} rows; take a smaller capacity"),
    };
    let ring = records::Rows::new(&config.lanes()).ok_or_else(out_of_memory)?;
    let store = Store::new(executable.device(), Shape::of(plan), ring.rows())?;
    let generation = Generation::new(1, plan.content_hash(), plan.precision());
    let core = Core::new(config, clock, ring, store, Arc::new(generation));
    Ok(Arc::new(core.ok_or_else(out_of_memory)?))
}
