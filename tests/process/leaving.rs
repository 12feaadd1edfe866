//! A process that ends by a return from `main`, while a GPU's driver is loaded on another thread.

use fusewire::backend::open_with;
use fusewire::{BackendKind, Pipeline, PipelineOptions};

use crate::runner::own_process;
use crate::support::*;

const LEAVES: (&str, &str) = ("FUSEWIRE_LEAVES", "1");

pub fn joining() {
    let mut options = PipelineOptions::default();
    options.device.software = true;
    if std::env::var_os(LEAVES.0).is_some() {
        let pipeline = Pipeline::open(&identity(4), &options).unwrap();
        assert_eq!(pipeline.submit(&[1.0; 4]).unwrap().wait().unwrap().scores(), [1.0; 4]);
        return;
    }
    let mut adapter = options.device;
    adapter.backend = BackendKind::Wgpu;
    if let Err(error) = open_with(&adapter) {
        return println!("skipped: {error}");
    }
    // A driver that finds its compiled shaders in a cache is loaded too soon.
    let environment = [LEAVES, ("MESA_SHADER_CACHE_DISABLE", "true")];
    for _ in 0..10 {
        let own = own_process("leaving::main_may_return_while_a_device_joins", &environment);
        assert!(own.status.success(), "{}", own.status);
    }
}
