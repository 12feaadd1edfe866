//! The wgpu backend over batch sizes and input types, on the classifier of the papers:
//! 784-32-32-32-32-10, weights random.
//!
//! Answers are checked against the oracle before anything is timed. Where there is no adapter that
//! is fast, it says so and measures nothing; `FUSEWIRE_BENCH_SOFTWARE=1` takes one that renders on
//! the processor, whose figures say nothing of a GPU. The clock covers transfers, too. Not
//! measured: several batches in flight; `fusewire bench kernel` does that.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fusewire::backend::{self, Device, Executable, OpenOptions, cpu};
use fusewire::{Activation, BackendKind, Dense, InputType, Model, Plan, PlanOptions, Rows};

const WIDTHS: [usize; 6] = [784, 32, 32, 32, 32, 10];
const BATCHES: [usize; 4] = [1, 32, 1000, 4096];
/// Rows that the inputs rotate over.
const ROWS: usize = 16_384;
/// Where it is set, an adapter that renders on the processor will do.
const SOFTWARE: &str = "FUSEWIRE_BENCH_SOFTWARE";

fn batches(criterion: &mut Criterion) {
    let Some(device) = device() else { return };
    let model = model();
    let bytes = random_bytes(ROWS * WIDTHS[0]);
    let floats: Vec<f32> = bytes.iter().map(|byte| f32::from(*byte) / 255.0).collect();
    for input in [InputType::F32, InputType::U8] {
        let all = match input {
            InputType::U8 => Rows::U8(&bytes),
            _ => Rows::F32(&floats),
        };
        let options = PlanOptions { input, ..PlanOptions::default() };
        let plan = Plan::new(&model, device.limits(), &options).expect("the model is small");
        let rows_max = plan.rows_max();
        let executable = device.load(plan).expect("the plan is for this device");
        check(&model, &*executable, all);
        let mut group = criterion.benchmark_group(format!("wgpu/{}", input.name()));
        for batch in BATCHES.into_iter().filter(|batch| *batch <= rows_max) {
            group.throughput(Throughput::Elements(batch as u64));
            let mut scores = vec![0.0; batch * model.classes()];
            let mut next = (0..ROWS / batch).cycle();
            group.bench_function(BenchmarkId::from_parameter(batch), |bencher| {
                bencher.iter(|| {
                    let at = next.next().expect("a cycle has no end") * batch;
                    let rows = all.slice(at..at + batch, model.inputs());
                    executable.run(rows, &mut scores).expect("the rows are as planned");
                    black_box(&scores);
                });
            });
        }
    }
}

/// The adapter, or why there is none.
fn device() -> Option<Arc<dyn Device>> {
    let mut options = OpenOptions::default();
    options.backend = BackendKind::Wgpu;
    options.software = std::env::var_os(SOFTWARE).is_some();
    match backend::open_with(&options) {
        Ok(device) => {
            println!("wgpu: {}, {}", device.info().name, device.info().detail);
            Some(device)
        }
        Err(error) => {
            println!("wgpu: skipped: {error}; with {SOFTWARE}=1 a software adapter will do");
            None
        }
    }
}

/// Fails where a score is further from the oracle's than f32 allows.
fn check(model: &Model, executable: &dyn Executable, all: Rows<'_>) {
    for count in [1, 100] {
        let rows = all.slice(0..count, model.inputs());
        let mut scores = vec![0.0; count * model.classes()];
        executable.run(rows, &mut scores).expect("the rows are as planned");
        for (got, expected) in scores.iter().zip(cpu::oracle(model, rows)) {
            let off = (f64::from(*got) - expected).abs() / expected.abs().max(1.0);
            assert!(off <= 1e-4, "{got}, not {expected}");
        }
    }
}

fn model() -> Model {
    let mut random = random_bytes(1 << 20).into_iter().map(|byte| f32::from(byte) / 128.0 - 1.0);
    let mut layer = |pair: &[usize]| {
        let spread = (3.0 / pair[0] as f32).sqrt();
        let weight =
            random.by_ref().take(pair[0] * pair[1]).map(|weight| weight * spread).collect();
        let bias = Some(random.by_ref().take(pair[1]).collect());
        Dense::new(pair[0], pair[1], weight, bias, Activation::Relu).expect("a sound layer")
    };
    Model::from_layers(WIDTHS.windows(2).map(&mut layer).collect()).expect("widths chain")
}

/// Bytes that look random and are the same every time (SplitMix64).
fn random_bytes(count: usize) -> Vec<u8> {
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z >> 56) as u8
    };
    (0..count).map(|_| next()).collect()
}

criterion_group! {
    name = wgpu_backend;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = batches
}
criterion_main!(wgpu_backend);
