//! What is done to a pipeline as a whole: start, attach, swap, shut down.

use std::time::{Duration, Instant};

use super::super::backend::{BackendError, Executable};
use super::super::model::Model;
use super::super::plan::Plan;
use super::super::sync::{Arc, lock, now, thread};
use super::backends::{Backend, Seat};
use super::bell::WORKERS_MAX;
use super::clock::Clock;
use super::config::PipelineConfig;
use super::core::Core;
use super::error::PipelineError;
use super::generation::{Generation, Loaded};
use super::handle::Pipeline;
use super::loading::{Changing, Joining, change, check_shape, measure};
use super::records;
use super::store::{Shape, Store};
use super::threads::{watch, work};
use super::watchdog::Watchdog;
use super::worker::Worker;

/// How long threads get to notice that the pipeline was stopped.
const FAREWELL: Duration = Duration::from_millis(100);
/// The most backends a pipeline ever has, lost ones counted: answers name them in one byte.
const BACKENDS_MAX: usize = 255;

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
        pipeline.spawn("fusewire-watch", move || watch(watchdog))?;
        pipeline.attach(executable)?;
        Ok(pipeline)
    }

    /// Attaches a further backend, or one that was lost and opened again: the model that runs now,
    /// loaded on it. It is measured first, and serves from then on.
    ///
    /// # Errors
    /// [`PipelineError`]: another model, rows of another shape or type, another precision, or a
    /// device that failed; the pipeline goes on without it.
    pub fn attach(&self, executable: Arc<dyn Executable>) -> Result<(), PipelineError> {
        let _one_at_a_time = lock(&self.owner.changes);
        self.attach_alone(executable)
    }

    /// Attaches a backend; the caller sees to it that nothing else is changed meanwhile.
    pub(super) fn attach_alone(
        &self,
        executable: Arc<dyn Executable>,
    ) -> Result<(), PipelineError> {
        self.check_running()?;
        let core = self.core();
        check_shape(core.store.shape(), executable.plan())?;
        check_model(lock(&core.dispatcher).current(), executable.plan())?;
        let (backend, workers) = seat(core, measure(executable, &core.config)?)?;
        // Workers leave a backend that takes no batches, so it does before they begin.
        backend.set_ready();
        for worker in workers {
            let name = format!("fusewire-{}", backend.kind().name());
            self.spawn(&name, move || work(worker)).inspect_err(|error| {
                let (device, message) = (backend.info.name.clone(), error.to_string());
                self.core().lose(&backend, &BackendError::Device { device, message });
            })?;
        }
        self.core().joined();
        Ok(())
    }

    /// Replaces the weights between two batches: the model is planned and loaded on every backend
    /// while the old one runs on, and requests that no batch has begun then run with the new one.
    /// No request sees both. Returns the new version.
    ///
    /// # Errors
    /// [`PipelineError`]: a model of another shape, or one that a backend cannot load; the old one
    /// runs on everywhere.
    pub fn swap(&self, model: &Model) -> Result<u64, PipelineError> {
        let _one_at_a_time = lock(&self.owner.changes);
        self.check_running()?;
        let core = self.core();
        let backends = lock(&core.backends).clone();
        let ready: Vec<_> = backends.iter().filter(|backend| backend.is_ready()).collect();
        let current = Arc::clone(lock(&core.dispatcher).current());
        let version = current.version + 1;
        let next = Generation::new(version, model.content_hash(), current.precision);
        let mut changing = Vec::new();
        for backend in ready {
            changing.push((backend, change(model, backend, &core.config)?));
        }
        // Every device has it: from here on nothing fails.
        for (backend, Changing { executable, contexts }) in changing {
            next.put(backend.serial, executable);
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
    pub fn shutdown(self, timeout: Duration) -> ShutdownReport {
        let core = self.core();
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
        wait_for(deadline, || !self.is_joining());
        let finished = || threads.iter().all(|thread| thread.is_finished());
        if !wait_for(Some(now() + FAREWELL), finished) {
            core.stop();
            wait_for(Some(now() + FAREWELL), finished);
        }
        let (ended, left): (Vec<_>, Vec<_>) =
            threads.into_iter().partition(|thread| thread.is_finished());
        for thread in ended {
            // A panic of a worker was answered for when it happened.
            let _ = thread.join();
        }
        let turned_away = core.tally.turned_away() - before;
        ShutdownReport { drained, turned_away, threads_left: left.len() }
    }

    pub(super) fn spawn(
        &self,
        name: &str,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<(), PipelineError> {
        let spawned = thread::Builder::new().name(name.to_owned()).spawn(body);
        match spawned {
            Ok(thread) => {
                let mut threads = lock(&self.owner.threads);
                threads.retain(|thread| !thread.is_finished());
                threads.push(thread);
                Ok(())
            }
            Err(error) => Err(PipelineError::Thread { message: error.to_string() }),
        }
    }

    fn check_running(&self) -> Result<(), PipelineError> {
        if self.core().is_running() { Ok(()) } else { Err(PipelineError::ShutDown) }
    }
}

/// The shared parts of a pipeline for a plan, without backends or threads.
pub(crate) fn assemble(
    executable: &dyn Executable,
    config: PipelineConfig,
    clock: Clock,
) -> Result<Arc<Core>, PipelineError> {
    let plan = executable.plan();
    let ring = records::Rows::new(&config.lanes());
    let store = Store::new(executable.device(), Shape::of(plan), ring.rows())?;
    let generation = Generation::new(1, plan.content_hash(), plan.precision());
    Ok(Arc::new(Core::new(config, clock, ring, store, Arc::new(generation))))
}

/// Gives a backend its place and its workers their seats; it serves once it is made ready.
pub(crate) fn seat(
    core: &Arc<Core>,
    joining: Joining,
) -> Result<(Arc<Backend>, Vec<Worker>), PipelineError> {
    let Joining { executable, cost, contexts } = joining;
    let generation = Arc::clone(lock(&core.dispatcher).current());
    let mut backends = lock(&core.backends);
    let number = place_for(&backends, &*executable)?;
    let seats = seats_for(&backends, contexts.len(), &core.config)?;
    let serial = backends.iter().map(|other| other.serial + 1).max().unwrap_or(0);
    generation.put(serial, Arc::clone(&executable));
    for (seat, contexts) in seats.iter().zip(contexts) {
        drop(seat.bring(Loaded { version: generation.version, contexts }));
    }
    let max_rows = core.config.max_rows.min(executable.plan().rows_max());
    let backend = Arc::new(Backend::new((number, serial), executable, cost, seats, max_rows));
    let worker = |seat: &Arc<Seat>| {
        let (core, backend) = (Arc::clone(core), Arc::clone(&backend));
        Worker::new(core, backend, Arc::clone(seat), Arc::clone(&generation))
    };
    let workers = backend.seats.iter().map(worker).collect();
    for other in backends.iter().filter(|other| other.info == backend.info) {
        other.set_replaced();
    }
    match backends.get_mut(number) {
        Some(place) => {
            let gone = std::mem::replace(place, Arc::clone(&backend));
            let mut past = lock(&core.past);
            gone.seats.iter().for_each(|seat| seat.gauges.add_to(&mut past));
        }
        None => backends.push(Arc::clone(&backend)),
    }
    Ok((backend, workers))
}

/// Whether a plan computes what the present version does: the same model, rounded alike.
fn check_model(generation: &Generation, plan: &Plan) -> Result<(), PipelineError> {
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

/// A number for a backend: that of a lost one of the same device, where nothing runs any more.
fn place_for(
    backends: &[Arc<Backend>],
    executable: &dyn Executable,
) -> Result<usize, PipelineError> {
    let info = executable.device().info();
    let gone = |other: &&Arc<Backend>| other.is_gone() && other.info == *info;
    match backends.iter().find(gone) {
        Some(gone) => Ok(gone.number),
        None if backends.len() < BACKENDS_MAX => Ok(backends.len()),
        None => Err(PipelineError::TooMany { count: backends.len() }),
    }
}

/// Seats for so many workers, at numbers of the bell that nobody has.
fn seats_for(
    backends: &[Arc<Backend>],
    count: usize,
    config: &PipelineConfig,
) -> Result<Vec<Arc<Seat>>, PipelineError> {
    let living = backends.iter().filter(|backend| !backend.is_gone());
    let taken = living.fold(0, |mask, backend| mask | backend.bell_mask());
    let free = (0..WORKERS_MAX).filter(|number| taken & 1 << number == 0);
    let seat = |number| Arc::new(Seat::new(number, config.depth));
    let seats: Vec<_> = free.take(count).map(seat).collect();
    if seats.len() < count {
        return Err(PipelineError::TooMany { count: taken.count_ones() as usize });
    }
    Ok(seats)
}

/// Waits until something holds, or until then; `None` is never.
fn wait_for(deadline: Option<Instant>, mut holds: impl FnMut() -> bool) -> bool {
    while !holds() {
        if deadline.is_some_and(|deadline| now() >= deadline) {
            return false;
        }
        thread::sleep(Duration::from_micros(200));
    }
    true
}
