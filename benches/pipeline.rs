//! The seam between callers and the pipeline, on the device that computes nothing: submit and wait,
//! spinning and parking, sixteen rows as one request, and a row written in place.
//!
//! Every answer is checked, inside the clock: the scores are the row's first bytes, which differ
//! from request to request. The loop is closed, with one caller. Not measured: several producers,
//! latency under load, models; `fusewire bench handoff` does that.

use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fusewire::backend::null::NullDevice;
use fusewire::backend::{Device, cpu};
use fusewire::pipeline::Waiting;
use fusewire::{
    Activation, Dense, InputType, Model, Pipeline, PipelineConfig, Plan, PlanOptions, Reply,
};

const CLASSES: usize = 10;
const WIDTHS: [usize; 2] = [64, 784];
const MANY: usize = 16;
/// Longer than a round trip by far, and short enough to give a core up to a worker that has none.
const SPINNING: Waiting = Waiting::spinning(Duration::from_micros(200));

fn pipeline(criterion: &mut Criterion) {
    for width in WIDTHS {
        let mut group = criterion.benchmark_group("pipeline");
        let mut row = vec![7_u8; width];
        for (name, waiting) in [("spinning", SPINNING), ("parking", Waiting::PARKING)] {
            let pipeline = start(width, waiting);
            group.throughput(Throughput::Elements(1));
            group.bench_function(BenchmarkId::new(format!("submit_{name}"), width), |bencher| {
                bencher.iter(|| {
                    advance(&mut row);
                    check(&answer(pipeline.submit(&row[..])), &row);
                });
            });
        }
        let pipeline = start(width, SPINNING);
        group.bench_function(BenchmarkId::new("reserve_commit", width), |bencher| {
            bencher.iter(|| {
                advance(&mut row);
                let mut guard = pipeline.reserve::<u8>().expect("the ring has room");
                guard.copy_from_slice(&row);
                check(&answer(guard.commit()), &row);
            });
        });
        let mut rows = vec![7_u8; MANY * width];
        group.throughput(Throughput::Elements(MANY as u64));
        group.bench_function(BenchmarkId::new("submit_many_16", width), |bencher| {
            bencher.iter(|| {
                for (place, row) in rows.chunks_exact_mut(width).enumerate() {
                    advance(row);
                    row[8] = place as u8;
                }
                check(&answer(pipeline.submit_many(&rows[..])), &rows);
            });
        });
    }
}

fn start(width: usize, waiting: Waiting) -> Pipeline {
    let weight = vec![0.0; width * CLASSES];
    let layer = Dense::new(width, CLASSES, weight, None, Activation::Identity);
    let model = Model::from_layers(vec![layer.expect("a sound layer")]).expect("widths chain");
    let device: Arc<dyn Device> = Arc::new(NullDevice::new(*cpu::open().limits()));
    let options = PlanOptions { input: InputType::U8, ..PlanOptions::default() };
    let plan = Plan::new(&model, device.limits(), &options).expect("the model is small");
    let executable = device.load(plan).expect("the plan is for this device");
    let config = PipelineConfig { waiting, ..PipelineConfig::default() };
    Pipeline::start(executable, config).expect("threads are there")
}

/// Makes a row unlike the one before it.
fn advance(row: &mut [u8]) {
    let number: [u8; 8] = row[..8].try_into().expect("eight bytes");
    let next = u64::from_le_bytes(number).wrapping_add(0x0101_0101_0101_0103);
    row[..8].copy_from_slice(&next.to_le_bytes());
}

fn answer(ticket: Result<fusewire::Ticket, fusewire::pipeline::SubmitError>) -> Reply {
    ticket.expect("the ring has room").wait().expect("the device is there")
}

/// Fails where a score is not the byte that it stands for.
fn check(reply: &Reply, rows: &[u8]) {
    for (answer, row) in reply.rows().zip(rows.chunks_exact(rows.len() / reply.len())) {
        let right = answer.scores().iter().zip(row).all(|(got, byte)| *got == f32::from(*byte));
        assert!(right, "{:?} for {:?}", answer.scores(), &row[..CLASSES]);
    }
}

criterion_group! {
    name = handing_over;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = pipeline
}
criterion_main!(handing_over);
