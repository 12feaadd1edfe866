//! What only the inside can reach: losing the device, and the shapes of shaders.

use std::time::{Duration, Instant};

use super::kernel::Shape;
use super::*;
use crate::backend::Rows;
use crate::model::{Activation, Dense, Head, Model};
use crate::plan::{InputType, PlanOptions};

fn device() -> Option<WgpuDevice> {
    match WgpuDevice::open(&OpenOptions { software: true, ..OpenOptions::default() }) {
        Ok(device) => Some(device),
        Err(error) if std::env::var_os("CI").is_some() => panic!("{error}"),
        Err(error) => {
            println!("skipped: no wgpu adapter ({error})");
            None
        }
    }
}

fn model(widths: &[usize]) -> Model {
    let layer = |pair: &[usize]| {
        let weight = vec![0.01; pair[0] * pair[1]];
        Dense::new(pair[0], pair[1], weight, None, Activation::Relu).unwrap()
    };
    Model::from_layers(widths.windows(2).map(layer).collect()).unwrap()
}

fn loaded(device: &WgpuDevice, widths: &[usize]) -> Arc<dyn Executable> {
    let plan = Plan::new(&model(widths), device.limits(), &PlanOptions::default()).unwrap();
    device.load(plan).unwrap()
}

#[test]
fn a_batch_is_timed_by_the_devices_clock_where_asked() {
    let Some(untimed) = device() else { return };
    let asked = OpenOptions { software: true, timestamps: true, ..OpenOptions::default() };
    let timed = WgpuDevice::open(&asked).unwrap();
    let rows = vec![1.0; 64 * 512];
    let run = |device: &WgpuDevice| {
        let mut context = loaded(device, &[512, 512, 10]).create_context().unwrap();
        assert_eq!(context.compute_time(), None);
        let start = Instant::now();
        context.submit(Rows::F32(&rows)).unwrap();
        assert_eq!(context.compute_time(), None);
        context.wait(start + Duration::from_secs(60)).unwrap();
        (context.compute_time(), start.elapsed(), context.scores().to_vec())
    };
    let ((none, _, scores), (time, elapsed, timed_scores)) = (run(&untimed), run(&timed));
    assert_eq!((none, scores), (None, timed_scores));
    match time {
        Some(time) => assert!(time > Duration::ZERO && time < elapsed, "{time:?} of {elapsed:?}"),
        None => assert!(timed.gpu.tick_ns().is_none(), "the device has a clock"),
    }
}

fn is_lost<T>(result: Result<T, BackendError>) -> bool {
    matches!(result, Err(BackendError::Lost { .. }))
}

#[test]
fn a_lost_device_answers_every_call_at_once() {
    let Some(device) = device() else { return };
    let executable = loaded(&device, &[64, 32, 10]);
    let mut completed = executable.create_context().unwrap();
    let mut in_flight = executable.create_context().unwrap();
    let rows = [1.0; 64];
    completed.submit(Rows::F32(&rows)).unwrap();
    completed.wait(Instant::now() + Duration::from_secs(60)).unwrap();
    in_flight.submit(Rows::F32(&rows)).unwrap();
    device.gpu.destroy();
    let start = Instant::now();
    // What was in flight may have completed before the device went; then it may be published.
    let after = in_flight.wait(start + Duration::from_secs(60));
    assert!(after.is_ok() && in_flight.scores().len() == 10 || is_lost(after));
    // The first call may be the one that notices.
    let _ = executable.run(Rows::F32(&rows), &mut [0.0; 10]);
    assert!(is_lost(executable.run(Rows::F32(&rows), &mut [0.0; 10])));
    assert!(is_lost(executable.create_context()));
    assert!(is_lost(completed.submit(Rows::F32(&rows))));
    assert!(is_lost(completed.is_complete()));
    assert!(is_lost(in_flight.is_complete()));
    assert!(is_lost(in_flight.wait(start + Duration::from_secs(60))));
    let plan = Plan::new(&model(&[3, 2]), device.limits(), &PlanOptions::default()).unwrap();
    assert!(is_lost(device.load(plan)));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn losing_the_device_under_running_threads_ends_all_of_them() {
    let Some(device) = device() else { return };
    let executable = loaded(&device, &[784, 256, 256, 10]);
    std::thread::scope(|scope| {
        let runner = || {
            let (rows, mut scores) = (vec![1.0; 256 * 784], vec![0.0; 2560]);
            while executable.run(Rows::F32(&rows), &mut scores).is_ok() {}
            assert!(is_lost(executable.run(Rows::F32(&rows), &mut scores)));
        };
        let runners = [scope.spawn(runner), scope.spawn(runner)];
        std::thread::sleep(Duration::from_millis(60));
        device.gpu.destroy();
        runners.into_iter().for_each(|runner| runner.join().unwrap());
    });
}

#[test]
fn a_panic_below_loses_the_device_and_goes_no_further() {
    let Some(device) = device() else { return };
    let panicked = device.gpu.guarded(|_, _| panic!("a driver's own words"));
    let expected = BackendError::Lost {
        device: device.gpu.name().to_owned(),
        message: String::from("a driver's own words"),
    };
    assert_eq!(panicked, Err::<(), _>(expected.clone()));
    assert_eq!(device.gpu.check(), Err(expected));
}

#[test]
fn what_a_call_brings_back_from_a_device_lost_meanwhile_is_not_published() {
    let Some(device) = device() else { return };
    let executable = loaded(&device, &[64, 32, 10]);
    let mut context = executable.create_context().unwrap();
    context.submit(Rows::F32(&[1.0; 64])).unwrap();
    let read = device.gpu.guarded(|_, _| {
        device.gpu.lose(String::from("seen by another thread"));
        7
    });
    assert!(is_lost(read));
    assert!(is_lost(context.wait(Instant::now() + Duration::from_secs(60))));
    assert!(context.scores().is_empty());
}

#[test]
fn a_kernel_that_does_not_compile_leaves_the_device_alive() {
    let Some(device) = device() else { return };
    let refused = device.gpu.scoped(|device| {
        let source = wgpu::ShaderSource::Wgsl("fn main() { nonsense }".into());
        device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source })
    });
    assert!(matches!(refused, Err(BackendError::Device { .. })), "{refused:?}");
    assert_eq!(device.gpu.check(), Ok(()));
}

#[test]
fn a_buffer_too_large_is_an_error_and_leaves_the_device_alive() {
    let Some(device) = device() else { return };
    let refused = device.gpu.scoped(|device| {
        device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 1 << 50,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        })
    });
    assert!(refused.is_err());
    assert_eq!(device.gpu.check(), Ok(()));
}

#[test]
fn no_two_shaders_differ_by_more_than_their_prelude() {
    let model = model(&[50, 20, 10]).with_head(Head::Softmax);
    let text = |input| {
        let options = PlanOptions { input, ..PlanOptions::default() };
        let limits = planning_limits(&wgpu::Limits::downlevel_defaults());
        let plan = Plan::new(&model, &limits, &options).unwrap();
        let stage = &plan.stages()[0];
        shader::source(&plan, stage, &Shape::of(&plan, stage), input, 10)
    };
    let body =
        |text: &str| text[text.find("// What every launch is bound to").unwrap()..].to_owned();
    let floats = text(InputType::F32);
    for other in [InputType::U8, InputType::F16, InputType::Bf16].map(text) {
        assert_ne!(floats, other);
        assert_eq!(body(&floats), body(&other));
    }
}
