//! Devices that fail with batches in flight: typed errors, and not a call after a fatal one.

use std::time::{Duration, Instant};

use fusewire::backend::{BackendError, BackendKind, ExecutionContext, OpenOptions, open_with};
use fusewire::{PlanOptions, Rows};

use crate::common::Random;
use crate::devices::{load, model, open, soon};
use crate::stub;

const LAUNCH_OUT_OF_RESOURCES: u32 = 701;

fn finish(context: &mut dyn ExecutionContext, rows: &[f32]) -> Result<Vec<f32>, BackendError> {
    context.submit(Rows::F32(rows))?;
    context.wait(soon())?;
    Ok(context.scores().to_vec())
}

/// What was queued before a launch was refused is waited for; the context is as good as before.
#[test]
fn a_refused_launch_is_an_error_and_no_more() {
    if stub::alone("failing::a_refused_launch_is_an_error_and_no_more", &[""], &[]).is_none() {
        return;
    }
    let device = open(0).unwrap();
    let executable = load(&*device, &model(), &PlanOptions::default());
    let mut context = executable.create_context().unwrap();
    for rows in [3, 50] {
        let values = Random(2).values(rows * 30);
        let expected = finish(&mut *context, &values).unwrap();
        for launch in 0..2 {
            stub::fail("cuLaunchKernel", launch, LAUNCH_OUT_OF_RESOURCES);
            let error = finish(&mut *context, &values).unwrap_err();
            assert!(matches!(error, BackendError::Device { .. }), "{error}");
            assert!(error.to_string().contains("cuLaunchKernel: CUDA_ERROR_LAUNCH_OUT_OF"));
            assert_eq!(context.is_complete(), Err(BackendError::Idle));
            assert!(context.scores().is_empty());
            assert_eq!(finish(&mut *context, &values).unwrap(), expected);
        }
    }
}

/// Where what was queued before does not end, nobody can say when its rows are free again.
#[test]
fn a_refused_launch_behind_work_that_hangs_is_a_loss() {
    let test = "failing::a_refused_launch_behind_work_that_hangs_is_a_loss";
    if stub::alone(test, &[""], &[]).is_none() {
        return;
    }
    let device = open(0).unwrap();
    let executable = load(&*device, &model(), &PlanOptions::default());
    let mut context = executable.create_context().unwrap();
    let values = Random(2).values(50 * 30);
    stub::hang(true);
    stub::fail("cuLaunchKernel", 1, LAUNCH_OUT_OF_RESOURCES);
    let refused = context.submit(Rows::F32(&values)).unwrap_err();
    assert!(matches!(refused, BackendError::Device { .. }), "{refused}");
    let lost = context.submit(Rows::F32(&values)).unwrap_err();
    assert!(matches!(lost, BackendError::Lost { .. }), "{lost}");
}

/// Function, code and rows of a batch: calls that fail for good, and kernels that do.
const FATAL: [&str; 14] = [
    "cuCtxSetCurrent 201 1",
    "cuCtxSetCurrent 999 50",
    "cuMemcpyHtoDAsync 719 50",
    "cuMemcpyDtoHAsync 700 50",
    "cuLaunchKernel 719 1",
    "cuLaunchKernel 46 50",
    "cuEventRecord 214 1",
    "cuEventRecord 700 50",
    "cuEventQuery 719 50",
    "cuEventQuery 123456 50",
    "kernel 700 1",
    "kernel 719 16",
    "kernel 719 50",
    "kernel 123456 50",
];

#[test]
fn nothing_touches_a_lost_device_again() {
    let test = "failing::nothing_touches_a_lost_device_again";
    let Some(told) = stub::alone(test, &FATAL, &[]) else { return };
    let words: Vec<&str> = told.split(' ').collect();
    let (function, code, rows) = (words[0], words[1].parse().unwrap(), words[2]);
    let device = open(0).unwrap();
    let memory = device.alloc_host(1 << 12).unwrap();
    let executable = load(&*device, &model(), &PlanOptions::default());
    let mut other = executable.create_context().unwrap();
    let mut context = executable.create_context().unwrap();
    let values = Random(3).values(rows.parse::<usize>().unwrap() * 30);
    finish(&mut *context, &values).unwrap();
    stub::fail(function, 0, code);
    let lost = |error: &BackendError| matches!(error, BackendError::Lost { .. });
    let first = finish(&mut *context, &values).unwrap_err();
    assert!(lost(&first) && first.to_string().lines().count() == 1, "{first}");
    let calls = stub::calls_after_fatal();
    assert_eq!(calls, 0, "{told}");
    // The same reason every time, whoever asks.
    assert_eq!(finish(&mut *context, &values), Err(first.clone()));
    assert_eq!(finish(&mut *other, &values), Err(first.clone()));
    assert_eq!(context.is_complete(), Err(first.clone()));
    assert_eq!(executable.run(Rows::F32(&values[..30]), &mut [0.0; 5]), Err(first.clone()));
    assert!(executable.create_context().is_err_and(|error| lost(&error)));
    assert!(device.alloc_host(64).is_err_and(|error| lost(&error)));
    assert!(device.load(executable.plan().clone().into()).is_err_and(|error| lost(&error)));
    drop((context, other, executable, memory, device));
    assert_eq!(stub::calls_after_fatal(), 0, "{told}");
}

/// A device that hangs is waited for no longer than asked, and for little when a context is
/// dropped; then it is lost, and what it may still read is left behind.
#[test]
fn a_hang_ends_in_a_timeout_and_then_in_a_loss() {
    let test = "failing::a_hang_ends_in_a_timeout_and_then_in_a_loss";
    let Some(rows) = stub::alone(test, &["1", "50"], &[]) else { return };
    let device = open(0).unwrap();
    let executable = load(&*device, &model(), &PlanOptions::default());
    let mut context = executable.create_context().unwrap();
    let values = Random(4).values(rows.parse::<usize>().unwrap() * 30);
    let expected = finish(&mut *context, &values).unwrap();
    stub::hang(true);
    context.submit(Rows::F32(&values)).unwrap();
    let deadline = Instant::now() + Duration::from_millis(30);
    assert!(matches!(context.wait(deadline), Err(BackendError::Timeout { .. })));
    assert!(Instant::now() >= deadline);
    assert_eq!(context.is_complete(), Ok(false));
    assert!(context.scores().is_empty());
    assert_eq!(context.submit(Rows::F32(&values)), Err(BackendError::Busy));
    // It may have been slow, and no more.
    stub::hang(false);
    context.wait(soon()).unwrap();
    assert_eq!(context.scores(), expected);
    stub::hang(true);
    context.submit(Rows::F32(&values)).unwrap();
    drop(context);
    let error = executable.create_context().map(|_| ()).unwrap_err();
    assert!(matches!(error, BackendError::Lost { .. }), "{error}");
    let live = stub::live();
    // The stub ends the process where memory in use is freed.
    drop((executable, device));
    assert_eq!(stub::live(), live, "left behind");
}

/// Timed by the device's own clock where that is asked for, a batch of any size.
#[test]
fn launches_are_timed_where_it_is_asked_for() {
    if stub::alone("failing::launches_are_timed_where_it_is_asked_for", &[""], &[]).is_none() {
        return;
    }
    for timestamps in [false, true] {
        let mut options = OpenOptions::default();
        (options.backend, options.timestamps) = (BackendKind::Cuda, timestamps);
        let device = open_with(&options).unwrap();
        let executable = load(&*device, &model(), &PlanOptions::default());
        let mut context = executable.create_context().unwrap();
        for rows in [1, 200] {
            finish(&mut *context, &Random(9).values(rows * 30)).unwrap();
            let time = context.compute_time();
            assert_eq!(time.is_some_and(|time| !time.is_zero()), timestamps, "{rows}: {time:?}");
        }
        drop((context, executable, device));
        assert_eq!(stub::live(), 0);
    }
}
