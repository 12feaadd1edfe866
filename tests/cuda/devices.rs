//! The stub's devices, one of each generation, and what is loaded on them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fusewire::backend::{BackendError, BackendKind, Device, Executable, OpenOptions, open_with};
use fusewire::{Activation, Model, Plan, PlanOptions};

use crate::common::{self, Random};
use crate::stub;

/// Every device of the stub; none where it cannot be built.
pub fn devices() -> Vec<(String, Arc<dyn Device>)> {
    if !stub::is_there() {
        return Vec::new();
    }
    (0..stub::DEVICES.split(',').count())
        .map(|number| {
            let device = open(number).expect("the stub has it");
            (device.info().name.clone(), device)
        })
        .collect()
}

/// The device of this number.
pub fn open(number: usize) -> Result<Arc<dyn Device>, BackendError> {
    let mut options = OpenOptions::default();
    options.backend = BackendKind::Cuda;
    options.device = Some(number);
    open_with(&options)
}

/// Multiply-adds a test may ask of a device in one batch: the stub computes value by value.
pub fn work_max(_: &dyn Device) -> usize {
    4_000_000
}

/// Plans `model` for `device` and loads it.
pub fn load(device: &dyn Device, model: &Model, options: &PlanOptions) -> Arc<dyn Executable> {
    let plan = Plan::new(model, device.limits(), options).expect("the model can be planned");
    device.load(plan).expect("the plan can be loaded")
}

/// A model that is two launches: a wide layer, and two narrow ones.
pub fn model() -> Model {
    common::model(&mut Random(1), &[30, 200, 20, 5], || Activation::Relu)
}

/// Longer than anything takes that does not hang.
pub fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}
