//! Pipelines on a CUDA device that fails, with another behind it.

use std::time::{Duration, Instant};

use fusewire::backend::cpu;
use fusewire::backend::fake::FakeDevice;
use fusewire::pipeline::{Health, PipelineOptions};
use fusewire::{
    Activation, BackendKind, Dense, InputType, Model, Pipeline, PipelineConfig, PlanOptions, Reply,
    f16,
};

use crate::devices::{load, open};
use crate::stub;

const OUT_OF_MEMORY: u32 = 2;
/// Values of a row; its scores are twice them, or whatever times them the model says.
const WIDTH: usize = 4;

/// Scores are values times `factor`, through two layers, so that they are fused.
fn scaled(factor: f32) -> Model {
    scaled_of(WIDTH, factor)
}

/// The same, of rows of so many values.
fn scaled_of(width: usize, factor: f32) -> Model {
    let diagonal = |factor: f32| {
        let at = |index: usize| if index / width == index % width { factor } else { 0.0 };
        let weight = (0..width * width).map(at).collect();
        Dense::new(width, width, weight, None, Activation::Identity).unwrap()
    };
    Model::from_layers(vec![diagonal(factor), diagonal(1.0)]).unwrap()
}

fn config() -> PipelineConfig {
    // Longer than a machine with other work stands still.
    let batch_timeout = Duration::from_secs(2);
    PipelineConfig { capacity: 256, max_rows: 64, batch_timeout, ..PipelineConfig::default() }
}

fn rows(first: usize, count: usize) -> Vec<f32> {
    (first * WIDTH..(first + count) * WIDTH).map(|value| value as f32).collect()
}

/// Asks about rows, and checks every answer.
fn ask(pipeline: &Pipeline, first: usize, count: usize, factor: f32) -> Reply {
    let rows = rows(first, count);
    let reply = pipeline.submit_many(&rows).unwrap().wait().unwrap();
    let scores: Vec<f32> = reply.rows().flat_map(|row| row.scores().to_vec()).collect();
    let expected: Vec<f32> = rows.iter().map(|value| value * factor).collect();
    assert_eq!(scores, expected);
    reply
}

fn until(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "it never comes true");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_pipeline_runs_on_the_device_and_gives_everything_back() {
    let test = "pipelines::a_pipeline_runs_on_the_device_and_gives_everything_back";
    if stub::alone(test, &[""], &[]).is_none() {
        return;
    }
    let mut options = PipelineOptions { config: config(), ..PipelineOptions::default() };
    options.device.backend = BackendKind::Cuda;
    let pipeline = Pipeline::open(&scaled(2.0), &options).unwrap();
    for round in 0..100 {
        let reply = ask(&pipeline, round * 7, 1 + round % 60, 2.0);
        assert!(reply.rows().all(|row| row.backend() == BackendKind::Cuda));
    }
    assert!(pipeline.shutdown(Duration::from_secs(20)).drained);
    until(|| stub::live() == 0);
}

/// Every card joins the processor, the second and the third of a family too.
#[test]
fn every_card_joins() {
    let test = "pipelines::every_card_joins";
    if stub::alone(test, &[""], &[]).is_none() {
        return;
    }
    let options = PipelineOptions { config: config(), ..PipelineOptions::default() };
    let pipeline = Pipeline::open(&scaled(2.0), &options).unwrap();
    until(|| !pipeline.is_joining());
    let devices = pipeline.devices();
    let cards: Vec<_> = devices.iter().filter(|it| it.backend == BackendKind::Cuda).collect();
    let names: Vec<_> = cards.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["CUDA on the CPU 9.0", "CUDA on the CPU 8.6", "CUDA on the CPU 7.5"]);
    assert_eq!(devices.iter().filter(|it| it.backend == BackendKind::Cpu).count(), 1);
    ask(&pipeline, 0, 60, 2.0);
    assert!(pipeline.shutdown(Duration::from_secs(20)).drained);
    until(|| stub::live() == 0);
}

/// Rows of halves lie in the device's own block, and begin on 2, 4, 8 or 16 bytes.
#[test]
fn halves_are_read_from_the_ring() {
    if stub::alone("pipelines::halves_are_read_from_the_ring", &[""], &[]).is_none() {
        return;
    }
    for width in [5, 6, 8, 12] {
        let mut options = PipelineOptions { config: config(), ..PipelineOptions::default() };
        options.device.backend = BackendKind::Cuda;
        options.plan.input = InputType::F16;
        let pipeline = Pipeline::open(&scaled_of(width, 2.0), &options).unwrap();
        for round in 0..60 {
            let values = (0..(1 + round % 40) * width).map(|at| ((at + 7 * round) % 512) as f32);
            let rows: Vec<f16> = values.clone().map(f16::from_f32).collect();
            let reply = pipeline.submit_many(&rows).unwrap().wait().unwrap();
            let scores = reply.rows().flat_map(|row| row.scores().to_vec());
            assert!(scores.eq(values.map(|value| 2.0 * value)), "{width}, round {round}");
        }
        assert!(pipeline.shutdown(Duration::from_secs(20)).drained);
    }
}

#[test]
fn the_old_model_serves_on_where_there_is_no_memory_for_a_new_one() {
    let test = "pipelines::the_old_model_serves_on_where_there_is_no_memory_for_a_new_one";
    let functions = ["cuMemAlloc", "cuMemHostAlloc"];
    let Some(function) = stub::alone(test, &functions, &[]) else { return };
    let device = open(0).unwrap();
    let pipeline = Pipeline::start(load(&*device, &scaled(2.0), &options()), config()).unwrap();
    ask(&pipeline, 0, 50, 2.0);
    for calls in [0, 2] {
        stub::fail(&function, calls, OUT_OF_MEMORY);
        let error = pipeline.swap(&scaled(3.0)).unwrap_err().to_string();
        assert!(error.contains("out of memory"), "{error}");
        assert_eq!(pipeline.health(), Health::Ready);
        let reply = ask(&pipeline, 5, 50, 2.0);
        assert!(reply.rows().all(|row| row.backend() == BackendKind::Cuda));
    }
    pipeline.swap(&scaled(3.0)).unwrap();
    ask(&pipeline, 9, 50, 3.0);
}

fn options() -> PlanOptions {
    PlanOptions { rows_max: 64, ..PlanOptions::default() }
}

/// What happens to the device while it serves: function, code, and how many calls go well before.
const LOSSES: [&str; 6] = [
    "kernel 719 0",
    "kernel 700 3",
    "cuLaunchKernel 999 2",
    "cuEventQuery 719 1",
    "cuMemcpyHtoDAsync 46 0",
    "hang 0 0",
];

#[test]
fn another_device_takes_over_from_a_lost_device() {
    let test = "pipelines::another_device_takes_over_from_a_lost_device";
    let Some(told) = stub::alone(test, &LOSSES, &[]) else { return };
    let words: Vec<&str> = told.split(' ').collect();
    let device = open(0).unwrap();
    let pipeline = Pipeline::start(load(&*device, &scaled(2.0), &options()), config()).unwrap();
    ask(&pipeline, 0, 60, 2.0);
    match words[0] {
        "hang" => stub::hang(true),
        function => stub::fail(function, words[2].parse().unwrap(), words[1].parse().unwrap()),
    }
    // Dearer than the device, so that it is not asked before.
    let dear = FakeDevice::named(BackendKind::Cpu, "dear", *cpu::open().limits());
    let dear = dear.lasting(Duration::from_millis(20));
    pipeline.attach(load(&dear, &scaled(2.0), &options())).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut first = 0;
    while pipeline.health() == Health::Ready {
        assert!(Instant::now() < deadline, "{told}: the device was never lost");
        ask(&pipeline, first, 60, 2.0);
        ask(&pipeline, first, 1, 2.0);
        first += 1;
    }
    let Health::Degraded { lost } = pipeline.health() else { panic!("{told}: all is lost") };
    assert_eq!((lost.len(), lost[0].backend), (1, BackendKind::Cuda));
    for round in 0..50 {
        let reply = ask(&pipeline, round, 1 + round, 2.0);
        assert!(reply.rows().all(|row| row.backend() == BackendKind::Cpu));
    }
    // The worker of a device that hangs may be waiting for it a little longer.
    let threads_left = pipeline.shutdown(Duration::from_secs(20)).threads_left;
    assert!(threads_left <= usize::from(words[0] == "hang"), "{told}");
    drop(device);
    assert_eq!(stub::calls_after_fatal(), 0, "{told}");
}
