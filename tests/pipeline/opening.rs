//! Pipelines that open their devices themselves.

use std::time::Duration;

use fusewire::backend::fake::FakeDevice;
use fusewire::backend::{BackendError, OpenOptions, cpu, open_with};
use fusewire::pipeline::{BackendHealth, PipelineOptions};
use fusewire::{BackendKind, Pipeline, Plan, PlanOptions, Precision};

use crate::support::*;

/// Any device of this kind, a software one too.
fn options(backend: BackendKind) -> PipelineOptions {
    let mut options = PipelineOptions { config: small(), ..PipelineOptions::default() };
    options.device.backend = backend;
    options.device.software = true;
    options
}

/// Whether there is an adapter; where there is none, says so, or fails where `CI` is set.
fn has_adapter() -> bool {
    let mut wanted = OpenOptions::default();
    wanted.backend = BackendKind::Wgpu;
    wanted.software = true;
    match open_with(&wanted) {
        Ok(_) => true,
        Err(error) if std::env::var_os("CI").is_some() => panic!("{error}"),
        Err(error) => {
            println!("skipped: {error}");
            false
        }
    }
}

#[test]
fn the_processor_serves_at_once_and_a_gpu_joins() {
    if !has_adapter() {
        return;
    }
    let pipeline = Pipeline::open(&scaled(1.0), &options(BackendKind::Auto)).unwrap();
    check(&pipeline.submit(&row(1)).unwrap().wait().unwrap(), [1]);
    let version = pipeline.swap(&scaled(3.0)).unwrap();
    until(|| !pipeline.is_joining());
    let backends = pipeline.explain().backends;
    let kinds: Vec<_> = backends.iter().map(|it| it.backend).collect();
    assert_eq!(kinds, [BackendKind::Cpu, BackendKind::Wgpu]);
    assert!(backends.iter().all(|it| it.health == BackendHealth::Ready), "{backends:?}");
    let reply = pipeline.submit(&row(2)).unwrap().wait().unwrap();
    assert_eq!(
        (reply.scores(), reply.first().version()),
        (&row(2).map(|it| 3.0 * it)[..], version)
    );
    assert!(pipeline.shutdown(LONG).drained);
}

#[test]
fn one_device_of_a_kind_runs_every_row_itself() {
    if !has_adapter() {
        return;
    }
    let pipeline = Pipeline::open(&scaled(1.0), &options(BackendKind::Wgpu)).unwrap();
    assert!(!pipeline.is_joining());
    for round in 0..20 {
        let ids = round * 16..round * 16 + 16;
        let tickets: Vec<_> = ids.clone().map(|id| pipeline.submit(&row(id)).unwrap()).collect();
        for (id, ticket) in ids.zip(tickets) {
            let reply = ticket.wait().unwrap();
            check(&reply, [id]);
            assert_eq!(reply.first().backend(), BackendKind::Wgpu);
            assert!(reply.first().times().total() > Duration::ZERO);
        }
    }
    pipeline.swap(&scaled(2.0)).unwrap();
    let reply = pipeline.submit_many(&rows(0..40)).unwrap().wait().unwrap();
    for (id, prediction) in reply.rows().enumerate() {
        assert_eq!(prediction.scores(), row(id).map(|it| 2.0 * it));
        assert_eq!(prediction.version(), 2);
    }
    drop(reply);
    settled(&pipeline);
    let report = pipeline.shutdown(LONG);
    assert_eq!((report.drained, report.turned_away, report.threads_left), (true, 0, 0));
}

/// No GPU is opened for a plan that the processor alone has kernels for, and one that is brought
/// says so; the pipeline serves on.
#[test]
fn a_pipeline_of_int8_is_the_processors() {
    let int8 = PlanOptions { precision: Precision::Int8, ..PlanOptions::default() };
    let options = PipelineOptions { plan: int8, ..options(BackendKind::Auto) };
    let pipeline = Pipeline::open(&scaled(1.0), &options).unwrap();
    assert!(!pipeline.is_joining());
    for backend in [BackendKind::Cuda, BackendKind::Wgpu] {
        let card = FakeDevice::named(backend, "a card", *cpu::open().limits());
        let plan = Plan::new(&scaled(1.0), &limits(), &int8).unwrap();
        let refusal = fusewire::backend::Device::load(&card, plan).map(|_| ()).unwrap_err();
        let device = String::from("a card");
        assert_eq!(refusal, BackendError::NoKernels { device, precision: Precision::Int8 });
        let text = refusal.to_string();
        assert!(text.contains("int8") && text.lines().count() == 1, "{text}");
    }
    let reply = pipeline.submit(&[0.0_f32, 255.0, 1.0, 2.0]).unwrap().wait().unwrap();
    assert_eq!(
        (reply.scores(), reply.first().backend()),
        (&[0.0, 255.0, 1.0, 2.0][..], BackendKind::Cpu)
    );
    let kinds: Vec<_> = pipeline.explain().backends.iter().map(|it| it.backend).collect();
    assert_eq!(kinds, [BackendKind::Cpu]);
    assert!(pipeline.shutdown(LONG).drained);
}
