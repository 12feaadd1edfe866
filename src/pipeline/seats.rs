//! Where a backend that joins is put: its place among the others, and its workers' numbers.

use super::super::backend::{BackendError, Executable};
use super::super::sync::{Arc, lock};
use super::backends::{Backend, Seat};
use super::bell::WORKERS_MAX;
use super::config::PipelineConfig;
use super::core::Core;
use super::error::PipelineError;
use super::generation::Loaded;
use super::loading::Joining;
use super::worker::Worker;

/// The most backends a pipeline ever has, lost ones counted: answers name them in one byte.
const BACKENDS_MAX: usize = 255;

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
    let numbers = (number, serial);
    let backend = Arc::new(Backend::new(numbers, executable, cost, seats, &core.config));
    let worker = |seat: &Arc<Seat>| {
        let (core, backend) = (Arc::clone(core), Arc::clone(&backend));
        Worker::new(core, backend, Arc::clone(seat), Arc::clone(&generation))
    };
    let workers: Option<Vec<_>> = backend.seats.iter().map(worker).collect();
    let workers = workers.ok_or_else(|| BackendError::OutOfMemory {
        device: backend.info.name.clone(),
        message: format!("no room for batches of {} rows; take fewer max_rows", backend.max_rows),
    })?;
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
