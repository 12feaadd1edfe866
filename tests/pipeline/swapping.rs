//! Other weights while requests run, and backends that come later.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use fusewire::backend::fake::{FakeDevice, Fault};
use fusewire::backend::{Device, cpu};
use fusewire::pipeline::{Health, PipelineError, Prediction, ReplyError};
use fusewire::{
    Activation, BackendError, Dense, InputType, Model, Pipeline, PipelineConfig, PlanOptions,
    Precision, Reply, SubmitOptions,
};

use crate::support::*;

/// Checks that a row was run with the weights of the version it names, that of this number.
#[track_caller]
fn is_of_its_version(prediction: Prediction<'_>, id: usize) -> u64 {
    let version = prediction.version();
    assert_eq!(prediction.scores(), row(id).map(|value| value * version as f32));
    assert_eq!(prediction.content_hash(), Some(scaled(version as f32).content_hash()));
    version
}

/// The one version that all rows of a reply were run with.
#[track_caller]
fn version_of(reply: &Reply, first: usize) -> u64 {
    let versions = reply.rows().zip(first..).map(|(it, id)| is_of_its_version(it, id));
    let mut versions = versions.collect::<Vec<_>>();
    versions.dedup();
    assert_eq!(versions.len(), 1, "no request sees two");
    versions[0]
}

/// Submits rows one by one and by twenties, with several under way, until told to stop; checks each
/// answer, and that versions only go up.
fn produce(pipeline: &Pipeline, producer: usize, stop: &AtomicBool) {
    let mut under_way = VecDeque::new();
    let mut latest = 1;
    let mut take = |under_way: &mut VecDeque<_>| {
        let Some((first, ticket)): Option<(usize, fusewire::Ticket)> = under_way.pop_front() else {
            return false;
        };
        let version = version_of(&ticket.wait().unwrap(), first);
        assert!(version >= latest, "{version} after {latest}");
        latest = version;
        true
    };
    for round in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let first = producer * 1000 + round % 900;
        let rows = rows(first..first + if round % 2 == 0 { 20 } else { 1 });
        match pipeline.submit_many(&rows) {
            Ok(ticket) => under_way.push_back((first, ticket)),
            Err(_) if take(&mut under_way) => {}
            Err(_) => thread::yield_now(),
        }
        if under_way.len() > 3 {
            take(&mut under_way);
        }
    }
    while take(&mut under_way) {}
}

#[test]
fn every_reply_is_of_the_one_version_it_names() {
    let (one, two) = (fake("one"), fake("two").lasting(Duration::from_micros(200)));
    let sets: [Vec<Arc<dyn Device>>; 3] =
        [vec![Arc::new(one)], vec![cpu::open()], vec![cpu::open(), Arc::new(two)]];
    for devices in sets {
        let config = PipelineConfig { capacity: 128, workers: 2, ..small() };
        let pipeline = start(&*devices[0], config);
        devices[1..].iter().for_each(|device| pipeline.attach(load(&**device)).unwrap());
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for producer in 0..3 {
                let (pipeline, stop) = (&pipeline, &stop);
                scope.spawn(move || produce(pipeline, producer, stop));
            }
            for version in 2..=40 {
                let next = scaled(version as f32);
                assert_eq!(pipeline.swap(&next), Ok(version));
                assert_eq!(pipeline.version(), (version, next.content_hash()));
                let reply = pipeline.clone().submit_blocking(&row(7), &SubmitOptions::default());
                assert_eq!(version_of(&reply.unwrap().wait().unwrap(), 7), version);
            }
            stop.store(true, Ordering::Relaxed);
        });
        let metrics = settled(&pipeline);
        assert_eq!((metrics.completed, metrics.failed), (metrics.admitted, 0));
    }
}

#[test]
fn a_request_that_was_begun_ends_with_the_weights_it_began_with() {
    let device = fake("held");
    let pipeline = start(&device, PipelineConfig { bulk_capacity: 8, ..narrow() });
    device.script([Fault::LateAfterHang]);
    let begun = pipeline.submit_many(&rows(0..20)).unwrap();
    until(|| pipeline.metrics().queue_depth == 12);
    let waits = pipeline.submit_many(&rows(20..40)).unwrap();
    let bulk = pipeline.submit_with(&row(40), &SubmitOptions::bulk()).unwrap();
    assert_eq!(pipeline.swap(&scaled(2.0)), Ok(2));
    let later = pipeline.submit(&row(50)).unwrap();
    device.finish_hung();
    assert_eq!(version_of(&begun.wait().unwrap(), 0), 1);
    for (ticket, first) in [(waits, 20), (bulk, 40), (later, 50)] {
        assert_eq!(version_of(&ticket.wait().unwrap(), first), 2);
    }
}

#[test]
fn versions_nobody_runs_are_let_go() {
    let device = fake("counted");
    let pipeline = start(&device, small());
    for version in 2..30 {
        assert_eq!(pipeline.swap(&scaled(version as f32)), Ok(version));
        // Two contexts for each of the versions that may yet be needed.
        assert!(device.contexts() <= 8, "{} contexts", device.contexts());
    }
    for version in 30..60 {
        assert_eq!(pipeline.swap(&scaled(version as f32)), Ok(version));
        let reply = pipeline.submit(&row(3)).unwrap().wait().unwrap();
        assert_eq!(version_of(&reply, 3), version);
    }
    until(|| device.contexts() <= 8);
    pipeline.shutdown(LONG);
    until(|| device.contexts() == 0);
}

fn model(inputs: usize, classes: usize) -> Model {
    let layer = Dense::new(inputs, classes, vec![1.0; inputs * classes], None, Activation::Relu);
    Model::from_layers(vec![layer.unwrap()]).unwrap()
}

/// Checks that a refusal is one line and changed nothing: the first version serves.
#[track_caller]
fn serves_on(pipeline: &Pipeline, refused: &PipelineError) {
    assert_eq!(refused.to_string().lines().count(), 1, "{refused}");
    assert_eq!((pipeline.version().0, pipeline.health()), (1, Health::Ready));
    for id in 0..20 {
        let reply = pipeline.submit(&row(id)).unwrap().wait().unwrap();
        assert_eq!(version_of(&reply, id), 1);
    }
}

#[test]
fn models_of_another_shape_are_refused() {
    let device = fake("device");
    let pipeline = start(&device, small());
    for (inputs, classes) in [(WIDTH + 1, WIDTH), (WIDTH, WIDTH - 1), (1, 1)] {
        let (expected_inputs, expected_classes) = (WIDTH, WIDTH);
        let expected = PipelineError::Shape { expected_inputs, expected_classes, inputs, classes };
        let swapped = pipeline.swap(&model(inputs, classes)).unwrap_err();
        assert_eq!(swapped, expected);
        serves_on(&pipeline, &swapped);
        let loaded = load_as(&fake("other"), &model(inputs, classes), PlanOptions::default());
        assert_eq!(pipeline.attach(loaded).unwrap_err(), expected);
    }
    assert_eq!(pipeline.swap(&scaled(2.0)), Ok(2), "refusals are no versions");
}

#[test]
fn backends_that_run_something_else_are_refused() {
    let (device, other) = (fake("device"), fake("other"));
    let pipeline = start(&device, small());
    let wrong_model = load_as(&other, &scaled(3.0), PlanOptions::default());
    let (expected, got) = (scaled(1.0).content_hash().short(), scaled(3.0).content_hash().short());
    let refused = pipeline.attach(wrong_model).unwrap_err();
    assert_eq!(refused, PipelineError::WrongModel { expected, got });
    serves_on(&pipeline, &refused);
    let refused = pipeline.attach(load_bytes(&other)).unwrap_err();
    let (expected, got) = (InputType::F32, InputType::U8);
    assert_eq!(refused, BackendError::WrongInput { expected, got }.into());
    serves_on(&pipeline, &refused);
    for got in [Precision::Bf16, Precision::F16] {
        let rounded = PlanOptions { precision: got, ..PlanOptions::default() };
        let refused = pipeline.attach(load_as(&other, &scaled(1.0), rounded)).unwrap_err();
        let expected = Precision::F32;
        assert_eq!(refused, PipelineError::WrongPrecision { expected, got });
        serves_on(&pipeline, &refused);
    }
    let sound = load(&other);
    for fault in [Fault::FailAtSubmit, Fault::FailAtCompletion, Fault::WrongStatus] {
        other.script([fault]);
        let refused = pipeline.attach(Arc::clone(&sound)).unwrap_err();
        assert!(matches!(refused, PipelineError::Backend(_)), "{refused}");
        serves_on(&pipeline, &refused);
    }
    assert_eq!((other.contexts(), pipeline.devices().len()), (0, 1));
    pipeline.attach(sound).unwrap();
    assert_eq!(pipeline.devices().len(), 2);
}

#[test]
fn a_device_that_hangs_while_it_is_measured_is_refused() {
    let device = fake("device");
    let pipeline = start(&device, impatient());
    let hung = fake("hung");
    let loaded = load(&hung);
    hung.script([Fault::None, Fault::Hang]);
    let refused = pipeline.attach(Arc::clone(&loaded)).unwrap_err();
    assert!(matches!(refused, PipelineError::Backend(BackendError::Timeout { .. })));
    serves_on(&pipeline, &refused);
    hung.script([Fault::Hang]);
    let refused = Pipeline::start(loaded, impatient()).unwrap_err();
    assert!(matches!(refused, PipelineError::Backend(BackendError::Timeout { .. })));
}

#[test]
fn a_swap_that_one_backend_cannot_follow_is_none() {
    let (first, second) = (fake("first"), fake("second"));
    let pipeline = start(&first, impatient());
    pipeline.attach(load(&second)).unwrap();
    let contexts = (first.contexts(), second.contexts());
    let refuse = |expected: fn(&PipelineError) -> bool| {
        let refused = pipeline.swap(&scaled(2.0)).unwrap_err();
        assert!(expected(&refused), "{refused}");
        serves_on(&pipeline, &refused);
        assert_eq!((first.contexts(), second.contexts()), contexts, "nothing is left of it");
    };
    for loads in [0, 1, 0] {
        second.run_out_of_memory_after(0);
        first.run_out_of_memory_after(loads);
        refuse(|it| matches!(it, PipelineError::Backend(BackendError::OutOfMemory { .. })));
    }
    [&first, &second].into_iter().for_each(|it| it.run_out_of_memory_after(u32::MAX));
    second.script([Fault::None, Fault::FailAtCompletion]);
    refuse(|it| matches!(it, PipelineError::Backend(BackendError::Device { .. })));
    second.script([Fault::Hang]);
    refuse(|it| matches!(it, PipelineError::Backend(BackendError::Timeout { .. })));
    assert_eq!(pipeline.swap(&scaled(2.0)), Ok(2));
    for id in 0..20 {
        let reply = pipeline.submit(&row(id)).unwrap().wait().unwrap();
        assert_eq!(version_of(&reply, id), 2);
    }
}

#[test]
fn a_backend_that_comes_after_a_swap_runs_what_runs_now() {
    let pipeline = start(&fake("first"), small());
    pipeline.swap(&scaled(2.0)).unwrap();
    let second = fake("second");
    let old = pipeline.attach(load(&second)).unwrap_err();
    assert!(matches!(old, PipelineError::WrongModel { .. }));
    pipeline.attach(load_as(&second, &scaled(2.0), PlanOptions::default())).unwrap();
    for version in [2, 3] {
        for id in 0..20 {
            let reply = pipeline.submit(&row(id)).unwrap().wait().unwrap();
            assert_eq!(version_of(&reply, id), version);
        }
        pipeline.swap(&scaled(version as f32 + 1.0)).unwrap();
    }
}

/// What a backend has never loaded it cannot run again; but it is none the worse for that.
#[test]
fn a_backend_survives_work_from_before_its_time() {
    let (old, new) = (fake("old"), fake("new"));
    let pipeline = start(&old, impatient());
    old.script([Fault::Hang]);
    let begun = pipeline.submit_many(&rows(0..20)).unwrap();
    until(|| pipeline.metrics().queue_depth < 20);
    assert_eq!(pipeline.swap(&scaled(2.0)), Ok(2));
    pipeline.attach(load_as(&new, &scaled(2.0), PlanOptions::default())).unwrap();
    match begun.wait() {
        Ok(reply) => assert_eq!(version_of(&reply, 0), 1),
        Err(error) => assert!(matches!(error, ReplyError::Failed { .. })),
    }
    until(|| matches!(pipeline.health(), Health::Degraded { .. }));
    assert_eq!(device_names(&pipeline), ["new"]);
    for id in 0..20 {
        let reply = pipeline.submit(&row(id)).unwrap().wait().unwrap();
        assert_eq!(version_of(&reply, id), 2);
    }
    let metrics = settled(&pipeline);
    assert_eq!(metrics.admitted, 40);
    drop(old);
}

fn device_names(pipeline: &Pipeline) -> Vec<String> {
    pipeline.devices().into_iter().map(|info| info.name).collect()
}

#[test]
fn a_pipeline_that_lost_everything_takes_another_model() {
    let device: FakeDevice = fake("device");
    let pipeline = start(&device, impatient());
    device.script([Fault::Lose]);
    assert!(pipeline.submit(&row(1)).unwrap().wait().is_err());
    until(|| pipeline.devices().is_empty());
    assert_eq!(pipeline.swap(&scaled(2.0)), Ok(2), "for those that come");
    pipeline.attach(load_as(&fake("device"), &scaled(2.0), PlanOptions::default())).unwrap();
    assert_eq!(version_of(&pipeline.submit(&row(5)).unwrap().wait().unwrap(), 5), 2);
}
