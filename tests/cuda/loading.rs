//! Opening, loading and making contexts where the driver refuses.

use std::sync::Arc;

use fusewire::backend::{BackendError, Device};
use fusewire::{Plan, PlanOptions, Rows};

use crate::common::Random;
use crate::devices::{load, model, open, soon};
use crate::stub;

const OUT_OF_MEMORY: u32 = 2;
const UNSUPPORTED_PTX_VERSION: u32 = 222;

fn plan(device: &dyn Device) -> Arc<Plan> {
    let options = PlanOptions { rows_max: 64, ..PlanOptions::default() };
    Plan::new(&model(), device.limits(), &options).unwrap()
}

/// Calls that give memory out.
const ALLOCATORS: [&str; 2] = ["cuMemAlloc", "cuMemHostAlloc"];

/// Whichever allocation fails, it is a typed error, nothing is leaked, and the device lives.
#[test]
fn memory_may_run_out_anywhere() {
    if stub::alone("loading::memory_may_run_out_anywhere", &[""], &[]).is_none() {
        return;
    }
    let device = open(0).unwrap();
    // Kernels stay once they were asked for.
    drop(device.load(plan(&*device)).unwrap());
    let opened = stub::live();
    let mut failed = 0;
    for function in ALLOCATORS {
        for calls in 0.. {
            stub::fail(function, calls, OUT_OF_MEMORY);
            let made = device.load(plan(&*device)).and_then(|it| it.create_context());
            let Err(error) = made.map(|_| ()) else { break };
            assert!(matches!(error, BackendError::OutOfMemory { .. }), "{error}");
            assert!(error.to_string().contains("CUDA_ERROR_OUT_OF_MEMORY (out of memory)"));
            assert_eq!(stub::live(), opened, "{function}, call {calls}");
            failed += 1;
        }
        stub::forget_faults();
    }
    // Parameters, rows, scores and what lies between two stages; rows, scores and reports.
    assert_eq!(failed, 4 + 3);
    assert!(matches!(device.alloc_host(usize::MAX), Err(BackendError::OutOfMemory { .. })));
    let executable = load(&*device, &model(), &PlanOptions::default());
    let mut scores = [f32::NAN; 5];
    executable.run(Rows::F32(&Random(1).values(30)), &mut scores).unwrap();
    assert!(scores.iter().all(|score| score.is_finite()));
    drop((executable, device));
    assert_eq!(stub::live(), 0, "all of it was given back");
}

/// Whatever call of opening, loading or making a context fails, it is a typed error.
#[test]
fn every_call_may_be_refused() {
    let functions = [
        "cuDevicePrimaryCtxRetain",
        "cuCtxSetCurrent",
        "cuModuleGetFunction",
        "cuFuncGetAttribute",
        "cuFuncSetAttribute",
        "cuOccupancyMaxActiveBlocksPerMultiprocessor",
        "cuMemcpyHtoD",
        "cuMemHostGetDevicePointer",
        "cuStreamCreate",
        "cuEventCreate",
    ];
    let Some(function) = stub::alone("loading::every_call_may_be_refused", &functions, &[]) else {
        return;
    };
    let make = || {
        let device = open(0)?;
        let context = device.load(plan(&*device))?.create_context()?;
        Ok::<_, BackendError>((device, context))
    };
    let before = stub::calls(&function);
    let (device, mut context) = make().unwrap();
    let made = stub::calls(&function) - before;
    context.submit(Rows::F32(&[0.5; 30])).unwrap();
    context.wait(soon()).unwrap();
    drop((context, device));
    for call in 0..made {
        stub::fail(&function, call, 1);
        let error = make().map(|_| ()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&function) && text.lines().count() == 1, "{text}");
        assert!(!matches!(error, BackendError::Lost { .. }), "{text}");
        assert_eq!(stub::live(), 0, "{function}, call {call}");
    }
    assert!(made > 0 && make().is_ok());
}

#[test]
fn a_driver_too_old_for_the_kernels_is_reported() {
    let test = "loading::a_driver_too_old_for_the_kernels_is_reported";
    if stub::alone(test, &[""], &[]).is_none() {
        return;
    }
    stub::fail("cuModuleLoadDataEx", 0, UNSUPPORTED_PTX_VERSION);
    let second = open(0).unwrap();
    assert!(second.info().detail.ends_with("compute_80"), "{:?}", second.info());
    stub::fail("cuModuleLoadDataEx", 0, UNSUPPORTED_PTX_VERSION);
    let error = open(2).map(|_| ()).unwrap_err();
    assert!(matches!(error, BackendError::Unavailable { .. }), "{error}");
    let text = error.to_string();
    let words = [
        "CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
        "ptxas fatal : an ordered failure",
        "compute_75 with a driver for CUDA 12.4",
        "update the NVIDIA driver",
    ];
    assert!(words.iter().all(|words| text.contains(words)), "{text}");
    assert_eq!(text.lines().count(), 1);
}
