//! Measuring what the device and the way to it can do, also where it fails meanwhile.

use fusewire::backend::BackendError;

use crate::devices::open;
use crate::stub;

#[test]
fn ceilings_are_measured_and_leave_nothing_behind() {
    let test = "ceilings::ceilings_are_measured_and_leave_nothing_behind";
    if stub::alone(test, &[""], &[]).is_none() {
        return;
    }
    for number in 0..3 {
        let device = open(number).unwrap();
        let opened = stub::live();
        let peak = device.peak(0).expect("nothing fails");
        let link = peak.link.expect("the device has a memory of its own");
        let rates = [peak.bytes_per_s, link.in_bytes_per_s, link.out_bytes_per_s];
        assert!(rates.iter().all(|rate| rate.is_finite() && *rate > 1e6), "{peak:?}");
        assert_eq!(peak.flops_per_s, None);
        assert_eq!(stub::live(), opened);
    }
    for function in ["cuMemcpyHtoDAsync", "cuMemcpyDtoHAsync", "cuMemcpyDtoDAsync"] {
        assert!(stub::calls(function) > 3, "{function} was not measured");
    }
}

/// Function and code: memory that runs out or a call that is refused leaves the device alive; a
/// fatal answer loses it, and nothing touches it again.
const FAULTS: [&str; 5] = [
    "cuMemAlloc 2",
    "cuMemHostAlloc 2",
    "cuMemcpyDtoDAsync 1",
    "cuEventElapsedTime 719",
    "cuMemcpyDtoDAsync 700",
];

#[test]
fn ceilings_that_cannot_be_measured_are_unknown() {
    let test = "ceilings::ceilings_that_cannot_be_measured_are_unknown";
    let Some(told) = stub::alone(test, &FAULTS, &[]) else { return };
    let (function, code) = told.split_once(' ').unwrap();
    let device = open(0).unwrap();
    let opened = stub::live();
    stub::fail(function, 0, code.parse().unwrap());
    assert_eq!(device.peak(0), None);
    let after = device.alloc_host(64).map(|_| ());
    if code.len() == 1 {
        assert_eq!((stub::live(), after), (opened, Ok(())), "the device lives");
    } else {
        assert!(matches!(after, Err(BackendError::Lost { .. })), "{after:?}");
        assert_eq!(stub::calls_after_fatal(), 0);
    }
}

#[test]
fn a_copy_that_hangs_loses_the_device() {
    if stub::alone("ceilings::a_copy_that_hangs_loses_the_device", &[""], &[]).is_none() {
        return;
    }
    let device = open(0).unwrap();
    stub::hang(true);
    // The stub ends the process where memory in use is freed.
    assert_eq!(device.peak(0), None);
    assert!(matches!(device.alloc_host(64), Err(BackendError::Lost { .. })));
}
