//! A device made of nothing: it interprets plans one value at a time and fails when told to, so
//! that programs built on the traits can be proven without hardware.
//!
//! Every submitted batch takes the next [`Fault`] of the device's script; past its end batches
//! complete. [`Executable::run`] takes none of them, and only fails once the device is lost.
//!
//! In real time a batch is complete as soon as its fault lets it, and who waits for one that hangs
//! sleeps until the deadline, as with a driver. In virtual time ([`FakeDevice::timed`]) a batch
//! takes what a GPU's engines would, by a clock that the test moves, and nothing sleeps, but for
//! [`Fault::Stick`] and [`Fault::StickAtCompletion`], which hold their thread in either.

mod context;
mod interpret;
mod script;
#[cfg(test)]
mod tests;
mod timeline;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

pub use script::Fault;
pub use timeline::{Engine, Timing, TraceEntry};

use super::refusal;
use super::sealed::Sealed;
use super::{BackendError, BackendKind, Device, DeviceInfo, Executable, ExecutionContext, Rows};
use crate::plan::{Limits, Peak, Plan};
use context::FakeContext;
use interpret::interpret;
use script::Script;
use timeline::Timeline;

/// The fake device; clones share one script and one timeline.
#[derive(Clone, Debug)]
pub struct FakeDevice {
    info: DeviceInfo,
    limits: Limits,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Told when a stuck call may go, a hung batch is finished, or the device is lost.
    changed: Condvar,
    /// Contexts that were not dropped.
    alive: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    script: Script,
    /// There in virtual time.
    timeline: Option<Timeline>,
    contexts: u64,
    /// What a batch takes in real time.
    lasting: Duration,
    /// The first value of every row of every batch handed over, once that is asked for.
    record: Option<Vec<Vec<f32>>>,
}

impl FakeDevice {
    /// A device with these limits on which everything works, named `fake`.
    pub fn new(limits: Limits) -> FakeDevice {
        FakeDevice::named(BackendKind::Cpu, "fake", limits)
    }

    /// A device that passes for one of this family, under a name that its errors bear, and refuses
    /// what that family has no kernels for.
    pub fn named(backend: BackendKind, name: impl Into<String>, limits: Limits) -> FakeDevice {
        let info = DeviceInfo {
            backend,
            name: name.into(),
            detail: String::from("interprets plans, fails on demand"),
            software: true,
            pci: None,
        };
        FakeDevice { info, limits, shared: Arc::default() }
    }

    /// The device in virtual time: a batch takes what `timing` says, by a clock in nanoseconds that
    /// the caller moves. Three engines, for uploads, computation and downloads, each do one batch
    /// at a time in the order of submission, as a GPU's do; a batch starts when it is submitted or
    /// once the engine is free. It is complete once the clock has reached the end of its download,
    /// and then its fault shows, if it has one. [`ExecutionContext::wait`] never sleeps: it times
    /// out at once while the clock has not come so far.
    #[must_use]
    pub fn timed(self, clock: Arc<AtomicU64>, timing: Timing) -> FakeDevice {
        self.lock().timeline = Some(Timeline::new(clock, timing));
        self
    }

    /// The device with batches that take so long each, in real time, beside each other where they
    /// are in flight in several contexts.
    #[must_use]
    pub fn lasting(self, each: Duration) -> FakeDevice {
        self.lock().lasting = each;
        self
    }

    /// Appends what is to happen to the next batches.
    pub fn script(&self, faults: impl IntoIterator<Item = Fault>) {
        self.lock().script.append(faults);
    }

    /// Lets every [`Fault::Stick`] and [`Fault::StickAtCompletion`] scripted so far go: calls that
    /// are stuck return, and those to come are not held.
    pub fn release(&self) {
        self.lock().script.release();
        self.shared.changed.notify_all();
    }

    /// How many calls are stuck now.
    pub fn stuck(&self) -> usize {
        self.lock().script.stuck
    }

    /// Lets every [`Fault::LateAfterHang`] scripted so far complete.
    pub fn finish_hung(&self) {
        self.lock().script.finish_hung();
        self.shared.changed.notify_all();
    }

    /// Lets this many loads succeed; those after run out of memory.
    pub fn run_out_of_memory_after(&self, loads: u32) {
        self.lock().script.loads_left = Some(loads);
    }

    /// Keeps record of what is handed over from now on.
    pub fn record(&self) {
        self.lock().record = Some(Vec::new());
    }

    /// The first value of every row of every batch handed over, whatever became of it, since
    /// [`record`](FakeDevice::record) was called.
    pub fn recorded(&self) -> Vec<Vec<f32>> {
        self.lock().record.clone().unwrap_or_default()
    }

    /// How many contexts there are that were not dropped.
    pub fn contexts(&self) -> u64 {
        self.shared.alive.load(Ordering::Relaxed)
    }

    /// Whether the device was lost.
    pub fn is_lost(&self) -> bool {
        self.lock().script.lost
    }

    /// What the engines did and will do, in the order of submission; empty in real time.
    pub fn trace(&self) -> Vec<TraceEntry> {
        self.lock().timeline.as_ref().map(|timeline| timeline.trace().to_vec()).unwrap_or_default()
    }

    /// The next instant of the clock, past the present one, at which a batch in flight has come
    /// through its download; `None` where there is none, and in real time.
    pub fn next_event_ns(&self) -> Option<u64> {
        self.lock().timeline.as_mut()?.next_event_ns()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the state is held leaves a state that is still whole.
        self.shared.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Gives the lock up until something has changed.
    fn sleep<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        // As in `lock`.
        self.shared.changed.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Gives the lock up until something may have changed, or for so long.
    fn sleep_for<'a>(&self, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        let woken = self.shared.changed.wait_timeout(state, time);
        // As in `lock`.
        woken.unwrap_or_else(|poisoned| poisoned.into_inner()).0
    }

    fn check_alive(&self) -> Result<(), BackendError> {
        if self.is_lost() { Err(self.lost()) } else { Ok(()) }
    }

    fn lost(&self) -> BackendError {
        let (device, message) = self.words();
        BackendError::Lost { device, message }
    }

    fn failed(&self) -> BackendError {
        let (device, message) = self.words();
        BackendError::Device { device, message }
    }

    fn words(&self) -> (String, String) {
        (self.info.name.clone(), String::from("as scripted"))
    }
}

impl Sealed for FakeDevice {}

impl Device for FakeDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn peak(&self, _working_set_bytes: u64) -> Option<Peak> {
        None
    }

    fn load(&self, plan: Arc<Plan>) -> Result<Arc<dyn Executable>, BackendError> {
        self.check_alive()?;
        if *plan.limits() != self.limits {
            return Err(BackendError::WrongPlan);
        }
        if self.info.backend != BackendKind::Cpu {
            refusal::check_precision(&plan, &self.info)?;
        }
        if !self.lock().script.may_load() {
            let (device, message) = self.words();
            return Err(BackendError::OutOfMemory { device, message });
        }
        Ok(Arc::new(FakeExecutable { device: self.clone(), plan }))
    }
}

#[derive(Clone, Debug)]
struct FakeExecutable {
    device: FakeDevice,
    plan: Arc<Plan>,
}

impl Sealed for FakeExecutable {}

impl Executable for FakeExecutable {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn device(&self) -> &dyn Device {
        &self.device
    }

    fn run(&self, rows: Rows<'_>, scores: &mut [f32]) -> Result<(), BackendError> {
        self.device.check_alive()?;
        rows.count_for(&self.plan, scores)?;
        scores.copy_from_slice(&interpret(&self.plan, rows));
        Ok(())
    }

    fn create_context(&self) -> Result<Box<dyn ExecutionContext>, BackendError> {
        self.device.check_alive()?;
        let number = {
            let mut state = self.device.lock();
            state.contexts += 1;
            state.contexts - 1
        };
        self.device.shared.alive.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(FakeContext::new(self.clone(), number)))
    }
}
