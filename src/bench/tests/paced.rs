//! A device whose batches take what a test says, and that tells who was asked when.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::backend::fake::FakeDevice;
use crate::backend::sealed::Sealed;
use crate::backend::{
    BackendError, BackendKind, Device, DeviceInfo, Executable, ExecutionContext, Rows, cpu,
};
use crate::plan::{Limits, Peak, Plan};

/// Who ran a batch, of how many rows.
pub(in crate::bench) type Log = Arc<Mutex<Vec<(&'static str, usize)>>>;

/// A fake device that takes its time on the caller's thread.
#[derive(Clone, Debug)]
pub(in crate::bench) struct Paced {
    fake: FakeDevice,
    name: &'static str,
    log: Log,
    each: Duration,
    per_row: Duration,
    peak: Option<Peak>,
    batches_left: Option<usize>,
}

impl Paced {
    /// A device that takes no time of its own, and writes down its batches.
    pub(in crate::bench) fn new(backend: BackendKind, name: &'static str, log: &Log) -> Paced {
        let fake = FakeDevice::named(backend, name, *cpu::open().limits());
        let log = Arc::clone(log);
        let (each, per_row) = (Duration::ZERO, Duration::ZERO);
        Paced { fake, name, log, each, per_row, peak: None, batches_left: None }
    }

    /// The device with batches that take so long, besides their rows.
    pub(in crate::bench) fn lasting(self, each: Duration, per_row: Duration) -> Paced {
        Paced { each, per_row, ..self }
    }

    /// The device with these ceilings.
    pub(in crate::bench) fn below(self, peak: Peak) -> Paced {
        Paced { peak: Some(peak), ..self }
    }

    /// The device, failing once it has run so many batches.
    pub(in crate::bench) fn failing_after(self, batches: usize) -> Paced {
        Paced { batches_left: Some(batches), ..self }
    }
}

impl Sealed for Paced {}

impl Device for Paced {
    fn info(&self) -> &DeviceInfo {
        self.fake.info()
    }

    fn limits(&self) -> &Limits {
        self.fake.limits()
    }

    fn peak(&self, _working_set_bytes: u64) -> Option<Peak> {
        self.peak
    }

    fn load(&self, plan: Arc<Plan>) -> Result<Arc<dyn Executable>, BackendError> {
        Ok(Arc::new(PacedExecutable { device: self.clone(), fake: self.fake.load(plan)? }))
    }
}

#[derive(Debug)]
struct PacedExecutable {
    device: Paced,
    fake: Arc<dyn Executable>,
}

impl Sealed for PacedExecutable {}

impl Executable for PacedExecutable {
    fn plan(&self) -> &Plan {
        self.fake.plan()
    }

    fn device(&self) -> &dyn Device {
        &self.device
    }

    fn run(&self, rows: Rows<'_>, scores: &mut [f32]) -> Result<(), BackendError> {
        let Paced { name, log, each, per_row, batches_left, .. } = &self.device;
        let count = rows.count(self.plan())?;
        let mut log = log.lock().unwrap();
        let mine = log.iter().filter(|(who, _)| who == name).count();
        if batches_left.is_some_and(|left| mine >= left) {
            let (device, message) = ((*name).to_owned(), String::from("as the test wants it"));
            return Err(BackendError::Device { device, message });
        }
        log.push((name, count));
        drop(log);
        thread::sleep(*each + *per_row * u32::try_from(count).unwrap());
        self.fake.run(rows, scores)
    }

    fn create_context(&self) -> Result<Box<dyn ExecutionContext>, BackendError> {
        self.fake.create_context()
    }
}
