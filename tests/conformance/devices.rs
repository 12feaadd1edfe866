//! The devices of this machine, each under the name a failure should show.

use std::sync::Arc;

use fusewire::backend::fake::FakeDevice;
use fusewire::backend::{BackendKind, Device, OpenOptions, cpu, open_with};
use fusewire::{Limits, Model, Plan, PlanOptions};

/// Limits unlike any real device's: panels that divide nothing, tiles of odd sizes.
const ODD: Limits = Limits {
    on_chip_bytes: 5000,
    resident_bytes: usize::MAX,
    panel: 3,
    tile_rows_min: 2,
    tile_rows_max: 5,
    align_bytes: 8,
    buffer_bytes_max: 1 << 30,
};

/// Which backends take part, where not all that are there; each of them has to be there.
const WANTED: &str = "FUSEWIRE_TEST_DEVICES";

/// Every device there is: the processor at each SIMD level, a wgpu adapter (a software one will
/// do), a CUDA device where there is one, and the fake. A missing adapter
/// is a reported skip, or a failure where `CI` is set. Where `FUSEWIRE_TEST_DEVICES` names `cuda`,
/// `persistent` (the same with kernels that stay) or `wgpu`, those alone.
pub fn devices() -> Vec<(String, Arc<dyn Device>)> {
    if let Ok(wanted) = std::env::var(WANTED) {
        return wanted.split(',').map(named).collect();
    }
    let mut devices: Vec<(String, Arc<dyn Device>)> = Vec::new();
    for level in cpu::levels() {
        let device = cpu::open_level(level).expect("the processor has the level");
        devices.push((format!("cpu {}", level.name()), device));
    }
    let mut options = OpenOptions::default();
    options.backend = BackendKind::Wgpu;
    options.software = true;
    match open_with(&options) {
        Ok(device) => devices.push((format!("wgpu {}", device.info().name), device)),
        Err(error) if std::env::var_os("CI").is_some() => panic!("{error}"),
        Err(error) => println!("skipped: {error}"),
    }
    options.backend = BackendKind::Cuda;
    // Without a card, `tests/cuda` runs the same tests on a driver of its own.
    if let Ok(device) = open_with(&options) {
        devices.push((format!("cuda {}", device.info().name), device));
    }
    devices.push((String::from("fake"), Arc::new(FakeDevice::new(ODD))));
    devices
}

/// The device of a backend, which is there.
fn named(backend: &str) -> (String, Arc<dyn Device>) {
    let mut options = OpenOptions::default();
    options.software = true;
    options.backend = match backend {
        "cuda" | "persistent" => BackendKind::Cuda,
        "wgpu" => BackendKind::Wgpu,
        other => panic!("{WANTED} names {other:?}, and knows cuda, persistent and wgpu"),
    };
    options.persistent = backend == "persistent";
    let device = open_with(&options).unwrap_or_else(|error| panic!("{WANTED}: {error}"));
    println!("{WANTED}: {} {}, {}", backend, device.info().name, device.info().detail);
    (format!("{backend} {}", device.info().name), device)
}

/// Multiply-adds a test may ask of a device in one batch, so that the suite ends in minutes.
pub fn work_max(device: &dyn Device) -> usize {
    match device.info().backend {
        _ if device.info().name == "fake" => 4_000_000,
        BackendKind::Cpu if device.info().detail == "portable" => 120_000_000,
        BackendKind::Cpu => 400_000_000,
        _ if device.info().software => 120_000_000,
        _ => 1_000_000_000,
    }
}

/// Where set, plans are loaded on devices that have kernels made for them, and run on another: the
/// processor.
const LOAD_ONLY: &str = "FUSEWIRE_TEST_LOAD_ONLY";

/// Plans `model` for `device` and loads it. Says which kernels run it, where the backend has
/// several ways to run a plan.
pub fn load(
    device: &dyn Device,
    model: &Model,
    options: &PlanOptions,
) -> Arc<dyn fusewire::backend::Executable> {
    let plan = Plan::new(model, device.limits(), options).expect("the model can be planned");
    let loaded = device.load(plan).expect("the plan can be loaded");
    let kernels = loaded.kernels();
    kernels.iter().for_each(|stage| println!("kernels: {stage}"));
    if !kernels.is_empty() && std::env::var_os(LOAD_ONLY).is_some() {
        let processor = cpu::open();
        let plan = Plan::new(model, processor.limits(), options).expect("a plan for it");
        return processor.load(plan).expect("the processor loads it");
    }
    loaded
}
