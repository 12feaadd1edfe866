//! A device made of nothing: it interprets plans one value at a time and fails when told to, so
//! that programs built on the traits can be proven without hardware.
//!
//! Every submitted batch takes the next [`Fault`] of the device's script; past its end batches
//! complete. Nothing here sleeps: a batch that hangs makes [`ExecutionContext::wait`] time out at
//! once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use super::sealed::Sealed;
use super::{BackendError, BackendKind, Device, DeviceInfo, Executable, ExecutionContext, Rows};
use crate::plan::{Limits, Peak, Plan, PlannedLayer, Precision};

/// What happens to one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: the batch completes.
    None,
    /// The batch completes once [`ExecutionContext::is_complete`] was asked this many times.
    Delay(u32),
    /// [`ExecutionContext::submit_pieces`] fails; the device lives on.
    FailAtSubmit,
    /// The failure shows only when the batch is waited for; the device lives on.
    FailAtCompletion,
    /// The batch never completes.
    Hang,
    /// The device is lost while the batch is in flight, and stays lost.
    Lose,
}

/// The fake device; clones share one script.
#[derive(Clone, Debug)]
pub struct FakeDevice {
    info: DeviceInfo,
    limits: Limits,
    script: Arc<Mutex<Script>>,
}

#[derive(Debug, Default)]
struct Script {
    faults: VecDeque<Fault>,
    lost: bool,
    loads_left: Option<u32>,
}

impl FakeDevice {
    /// A device with these limits on which everything works.
    pub fn new(limits: Limits) -> FakeDevice {
        let info = DeviceInfo {
            backend: BackendKind::Cpu,
            name: String::from("fake"),
            detail: String::from("interprets plans, fails on demand"),
            software: true,
        };
        FakeDevice { info, limits, script: Arc::default() }
    }

    /// Appends what is to happen to the next batches.
    pub fn script(&self, faults: impl IntoIterator<Item = Fault>) {
        self.lock().faults.extend(faults);
    }

    /// Lets this many loads succeed; those after run out of memory.
    pub fn run_out_of_memory_after(&self, loads: u32) {
        self.lock().loads_left = Some(loads);
    }

    /// Whether the device was lost.
    pub fn is_lost(&self) -> bool {
        self.lock().lost
    }

    fn lock(&self) -> MutexGuard<'_, Script> {
        // A panic while the script is held leaves a script that is still whole.
        self.script.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn check_alive(&self) -> Result<(), BackendError> {
        if self.is_lost() { Err(lost()) } else { Ok(()) }
    }
}

fn lost() -> BackendError {
    BackendError::Lost { device: String::from("fake"), message: String::from("as scripted") }
}

fn failed() -> BackendError {
    BackendError::Device { device: String::from("fake"), message: String::from("as scripted") }
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
        match &mut self.lock().loads_left {
            Some(0) => {
                return Err(BackendError::OutOfMemory {
                    device: String::from("fake"),
                    message: String::from("as scripted"),
                });
            }
            Some(left) => *left -= 1,
            None => {}
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
        Ok(Box::new(FakeContext { executable: self.clone(), flight: None, scores: Vec::new() }))
    }
}

#[derive(Debug)]
struct FakeContext {
    executable: FakeExecutable,
    flight: Option<Flight>,
    scores: Vec<f32>,
}

/// A batch in flight: what it will write, and what happens first.
#[derive(Debug)]
struct Flight {
    fault: Fault,
    scores: Vec<f32>,
}

impl FakeContext {
    fn finish(&mut self, outcome: Result<(), BackendError>) -> Result<bool, BackendError> {
        if let Some(flight) = self.flight.take()
            && outcome.is_ok()
        {
            self.scores = flight.scores;
        }
        outcome.map(|()| true)
    }
}

impl Sealed for FakeContext {}

impl ExecutionContext for FakeContext {
    fn submit_pieces(&mut self, pieces: &[Rows<'_>]) -> Result<(), BackendError> {
        let device = &self.executable.device;
        device.check_alive()?;
        if self.flight.is_some() {
            return Err(BackendError::Busy);
        }
        Rows::count_batch(pieces, &self.executable.plan)?;
        let fault = device.lock().faults.pop_front().unwrap_or(Fault::None);
        if fault == Fault::FailAtSubmit {
            return Err(failed());
        }
        let plan = &self.executable.plan;
        let scores = pieces.iter().flat_map(|piece| interpret(plan, *piece)).collect();
        self.scores.clear();
        self.flight = Some(Flight { fault, scores });
        Ok(())
    }

    fn is_complete(&mut self) -> Result<bool, BackendError> {
        if self.executable.device.is_lost() {
            return self.finish(Err(lost()));
        }
        let Some(flight) = &mut self.flight else {
            return if self.scores.is_empty() { Err(BackendError::Idle) } else { Ok(true) };
        };
        match &mut flight.fault {
            Fault::Hang => Ok(false),
            Fault::Delay(left) if *left > 0 => {
                *left -= 1;
                Ok(false)
            }
            Fault::FailAtCompletion => self.finish(Err(failed())),
            Fault::Lose => {
                self.executable.device.lock().lost = true;
                self.finish(Err(lost()))
            }
            Fault::None | Fault::Delay(_) | Fault::FailAtSubmit => self.finish(Ok(())),
        }
    }

    fn wait(&mut self, _deadline: Instant) -> Result<(), BackendError> {
        if let Some(Flight { fault: fault @ Fault::Delay(_), .. }) = &mut self.flight {
            *fault = Fault::None;
        }
        match self.is_complete()? {
            true => Ok(()),
            false => Err(BackendError::Timeout { device: String::from("fake") }),
        }
    }

    fn scores(&self) -> &[f32] {
        &self.scores
    }
}

/// The scores of `rows` by the plan's own words, one value at a time: what a kernel has to compute.
fn interpret(plan: &Plan, rows: Rows<'_>) -> Vec<f32> {
    let values: Vec<f32> = match rows {
        Rows::F32(values) => values.to_vec(),
        Rows::U8(values) => values.iter().map(|byte| f32::from(*byte)).collect(),
    };
    values.chunks_exact(plan.inputs()).flat_map(|row| interpret_row(plan, row)).collect()
}

fn interpret_row(plan: &Plan, row: &[f32]) -> Vec<f32> {
    let mut x: Vec<f64> = row.iter().copied().map(f64::from).collect();
    for layer in plan.layers() {
        x = (0..layer.outputs).map(|output| neuron(plan, layer, output, &x)).collect();
    }
    plan.head().apply(&mut x);
    x.into_iter().map(|score| score as f32).collect()
}

fn neuron(plan: &Plan, layer: &PlannedLayer, output: usize, x: &[f64]) -> f64 {
    let panel = plan.limits().panel;
    let first = output / panel * layer.inputs * panel + output % panel;
    let weight = |k: usize| weight_at(plan, layer, first + k * panel);
    let sum: f64 = x.iter().enumerate().map(|(k, x)| x * weight(k)).sum();
    let bias = read(&plan.parameters()[layer.bias.clone()], output * 4);
    layer.activation.apply(sum * f64::from(layer.scale) + f64::from(f32::from_le_bytes(bias)))
}

fn weight_at(plan: &Plan, layer: &PlannedLayer, element: usize) -> f64 {
    let bytes = &plan.parameters()[layer.weight.clone()];
    match plan.precision() {
        Precision::F32 => f32::from_le_bytes(read(bytes, element * 4)).into(),
        Precision::F16 => half::f16::from_le_bytes(read(bytes, element * 2)).into(),
        Precision::Bf16 => half::bf16::from_le_bytes(read(bytes, element * 2)).into(),
    }
}

fn read<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    std::array::from_fn(|index| bytes[at + index])
}
