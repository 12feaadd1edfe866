//! Which devices there are, and what is said where there is none.

use fusewire::backend::{BackendError, BackendKind, Finding, OpenOptions, open_with, survey};

use crate::devices;
use crate::stub;

/// What the survey says of CUDA, a line each.
fn surveyed() -> Vec<String> {
    let of_cuda = |finding| match finding {
        Finding::Found(info) if info.backend == BackendKind::Cuda => {
            Some(format!("{}: {}", info.name, info.detail))
        }
        Finding::Missing { backend: BackendKind::Cuda, looked_for, advice } => {
            assert!(!advice.is_empty());
            Some(format!("missing: {looked_for}"))
        }
        _ => None,
    };
    survey().into_iter().filter_map(of_cuda).collect()
}

fn error_of(options: &OpenOptions) -> String {
    let error = open_with(options).map(|_| ()).expect_err("there is no such device");
    assert!(matches!(error, BackendError::Unavailable { backend: BackendKind::Cuda, .. }));
    let text = error.to_string();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

#[test]
fn devices_are_listed_and_chosen_by_number_and_by_name() {
    let test = "finding::devices_are_listed_and_chosen_by_number_and_by_name";
    let shown = [("CUDA_ON_CPU_DEVICES", "6.1,9.0,7.5")];
    if stub::alone(test, &[""], &shown).is_none() {
        return;
    }
    let listed = surveyed();
    assert_eq!(listed.len(), 3, "{listed:?}");
    assert!(listed[0].starts_with("missing: device 0 is CUDA on the CPU 6.1"), "{listed:?}");
    let detail = "device 1, compute capability 9.0, 8.0 GiB, driver for CUDA 12.4";
    assert_eq!(listed[1], format!("CUDA on the CPU 9.0: {detail}"));
    let mut options = OpenOptions::default();
    options.backend = BackendKind::Cuda;
    // Not the first one, which there are no kernels for.
    let detail_of = |options: &OpenOptions| open_with(options).unwrap().info().detail.clone();
    assert_eq!(detail_of(&options), format!("{detail}, sm_90"));
    options.adapter = Some(String::from("cpu 7.5"));
    assert!(detail_of(&options).starts_with("device 2, compute capability 7.5"));
    options.adapter = Some(String::from("H200"));
    assert!(error_of(&options).contains("no device has \"H200\" in its name"));
    options.adapter = None;
    options.device = Some(2);
    assert!(detail_of(&options).ends_with("compute_75"));
    options.device = Some(0);
    assert!(error_of(&options).contains("compute capability 6.1, and kernels need 7.5"));
    options.device = Some(3);
    assert!(error_of(&options).contains("device 3 was asked for, and there are CUDA on the CPU"));
    drop(open_with(&options));
    assert_eq!(stub::live(), 0, "every device was closed");
}

#[test]
fn hidden_devices_are_not_there() {
    let test = "finding::hidden_devices_are_not_there";
    let shown = [("CUDA_ON_CPU_DEVICES", "9.0,7.5"), ("CUDA_VISIBLE_DEVICES", "1")];
    if stub::alone(test, &[""], &shown).is_none() {
        return;
    }
    assert!(surveyed()[0].contains("device 0, compute capability 7.5"));
    assert!(devices::open(0).unwrap().info().detail.contains("compute capability 7.5"));
    let error = devices::open(1).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("CUDA_VISIBLE_DEVICES=1"), "{error}");
}

#[test]
fn a_variable_that_hides_every_device_is_named() {
    let test = "finding::a_variable_that_hides_every_device_is_named";
    if stub::alone(test, &[""], &[("CUDA_VISIBLE_DEVICES", "")]).is_none() {
        return;
    }
    let error = error_of(&cuda());
    assert!(error.contains("CUDA_ERROR_NO_DEVICE (CUDA_VISIBLE_DEVICES=)"), "{error}");
    assert!(error.contains("unset CUDA_VISIBLE_DEVICES"), "{error}");
}

fn cuda() -> OpenOptions {
    let mut options = OpenOptions::default();
    options.backend = BackendKind::Cuda;
    options
}

/// Of every call before a context: what it answers is in the error.
#[test]
fn a_driver_that_answers_with_errors_is_reported() {
    let test = "finding::a_driver_that_answers_with_errors_is_reported";
    let functions = [
        "cuInit",
        "cuDriverGetVersion",
        "cuDeviceGetCount",
        "cuDeviceGet",
        "cuDeviceGetName",
        "cuDeviceTotalMem",
        "cuDeviceGetAttribute",
    ];
    let Some(function) = stub::alone(test, &functions, &[]) else { return };
    stub::fail(&function, 0, 100);
    let error = error_of(&cuda());
    assert!(error.contains(&format!("{function}: CUDA_ERROR_NO_DEVICE")), "{error}");
    assert!(open_with(&cuda()).is_ok(), "the next time it goes well");
}

/// Each function that is called is looked up before the first call of any.
#[test]
fn a_driver_that_lacks_functions_is_reported() {
    let test = "finding::a_driver_that_lacks_functions_is_reported";
    let Some(function) = stub::told() else {
        for function in ["cuInit", "cuLaunchKernel", "cuEventQuery", "cuGetErrorName"] {
            let Some(folder) = stub::build(&[function]) else { return };
            stub::run_with_library(test, function, Some(&folder));
        }
        return;
    };
    let expected = format!("the driver library has no function {function}");
    assert_eq!(surveyed(), [format!("missing: {expected}")]);
    assert!(error_of(&cuda()).contains(&expected));
}

/// Where the machine has a driver, that is what is found.
#[test]
fn without_a_driver_there_is_a_reason() {
    let test = "finding::without_a_driver_there_is_a_reason";
    if stub::told().is_none() {
        return stub::run_with_library(test, "none", None);
    }
    let listed = surveyed();
    match open_with(&cuda()) {
        Ok(device) => assert!(listed.iter().any(|line| line.contains(&device.info().name))),
        Err(error) => {
            assert!(matches!(error, BackendError::Unavailable { .. }), "{error}");
            assert!(listed[0].starts_with("missing: the driver"), "{listed:?}");
        }
    }
}
