//! What runs a pipeline behind its handles: the shared parts, and the threads.
//!
//! Threads of the pipeline may hold it, and none of its handles: the last handle is a caller's.

use std::time::{Duration, Instant};

use super::super::backend::{BackendError, Executable};
use super::super::model::Model;
use super::super::sync::{Arc, Mutex, lock, now, thread};
use super::core::Core;
use super::error::PipelineError;
use super::loading::{check_model, check_shape, measure};
use super::seats::seat;
use super::threads::work;

/// How long a driver that is being loaded or called is waited for at the end.
pub(super) const DRIVERS: Duration = Duration::from_secs(5);

/// The shared parts and the threads.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) core: Arc<Core>,
    /// One change at a time: attaching, swapping, shutting down.
    pub(super) changes: Mutex<()>,
    pub(super) threads: Mutex<Vec<Running>>,
    /// The model that runs, as long as devices may join with it. Locked within changes.
    pub(super) joining: Mutex<Option<Arc<Model>>>,
}

/// A thread that was begun.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) thread: thread::JoinHandle<()>,
    /// Whether it calls a driver.
    calls_driver: bool,
}

impl Engine {
    /// Without threads.
    pub(super) fn new(core: Arc<Core>) -> Engine {
        let (changes, threads, joining) = (Mutex::new(()), Mutex::default(), Mutex::default());
        Engine { core, changes, threads, joining }
    }

    /// Attaches a backend; the caller sees to it that nothing else is changed meanwhile.
    pub(super) fn attach_alone(
        &self,
        executable: Arc<dyn Executable>,
    ) -> Result<(), PipelineError> {
        self.check_running()?;
        let core = &self.core;
        check_shape(core.store.shape(), executable.plan())?;
        check_model(lock(&core.dispatcher).current(), executable.plan())?;
        let (backend, workers) = seat(core, measure(executable, &core.config)?)?;
        // Workers leave a backend that takes no batches, so it does before they begin.
        backend.set_ready();
        let mut workers = workers.into_iter();
        while let Some(worker) = workers.next() {
            let name = format!("fusewire-{}", backend.kind().name());
            let calls_driver = !backend.computes_in_call();
            if let Err(error) = self.spawn(&name, calls_driver, move || work(worker)) {
                // Neither this one nor those after it will ever leave.
                (0..=workers.len()).for_each(|_| backend.worker_left());
                let (device, message) = (backend.info.name.clone(), error.to_string());
                core.lose(&backend, &BackendError::Device { device, message });
                return Err(error);
            }
        }
        core.joined();
        Ok(())
    }

    /// Begins a thread.
    pub(super) fn spawn(
        &self,
        name: &str,
        calls_driver: bool,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<(), PipelineError> {
        let spawned = thread::Builder::new().name(name.to_owned()).spawn(body);
        let thread =
            spawned.map_err(|error| PipelineError::Thread { message: error.to_string() })?;
        let mut threads = lock(&self.threads);
        threads.retain(|other| !other.thread.is_finished());
        threads.push(Running { thread, calls_driver });
        Ok(())
    }

    /// Whether changes may be made.
    pub(super) fn check_running(&self) -> Result<(), PipelineError> {
        if self.core.is_running() { Ok(()) } else { Err(PipelineError::ShutDown) }
    }

    /// Whether changes may be made in this process, to be asked before anything is locked.
    pub(super) fn check_process(&self) -> Result<(), PipelineError> {
        if self.core.is_forked() { Err(PipelineError::Forked) } else { Ok(()) }
    }

    /// Whether devices are still being opened that may join.
    pub(super) fn is_joining(&self) -> bool {
        !self.core.is_forked() && lock(&self.joining).is_some()
    }

    /// Lets the pipeline run what it took and end. Where threads call a driver, waits for all of
    /// them, unless this is one of them.
    pub(super) fn end(&self) {
        if self.core.is_forked() {
            return;
        }
        self.core.drain();
        let threads = std::mem::take(&mut *lock(&self.threads));
        let this = thread::current().id();
        let waits = threads.iter().any(|it| it.calls_driver)
            && threads.iter().all(|it| it.thread.thread().id() != this);
        if waits {
            let finished = || threads.iter().all(|it| it.thread.is_finished());
            wait_for(Some(now() + DRIVERS), finished);
            join_finished(threads);
        }
    }
}

/// Joins those threads that are at their end, and lets the others go. Returns their number.
pub(super) fn join_finished(threads: Vec<Running>) -> usize {
    let (ended, left): (Vec<_>, Vec<_>) =
        threads.into_iter().partition(|it| it.thread.is_finished());
    for it in ended {
        // A panic of a worker was answered for when it happened.
        let _ = it.thread.join();
    }
    left.len()
}

/// Waits until something holds, or until then; `None` is never.
pub(super) fn wait_for(deadline: Option<Instant>, mut holds: impl FnMut() -> bool) -> bool {
    while !holds() {
        if deadline.is_some_and(|deadline| now() >= deadline) {
            return false;
        }
        thread::sleep(Duration::from_micros(200));
    }
    true
}
