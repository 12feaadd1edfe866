//! The processor backend over batch sizes, input types and precisions, on the classifier of the
//! papers: 784-32-32-32-32-10, weights random.
//!
//! Answers are checked against the oracle before anything is timed. Inputs rotate over more rows
//! than a second-level cache holds. Not measured: loading, contexts, several threads.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fusewire::backend::{Device, Executable, cpu};
use fusewire::{Activation, Dense, InputType, Model, Plan, PlanOptions, Precision, Rows};

const WIDTHS: [usize; 6] = [784, 32, 32, 32, 32, 10];
const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::Int8];
const INPUTS: [InputType; 2] = [InputType::F32, InputType::U8];
const BATCHES: [usize; 5] = [1, 10, 100, 1000, 4096];
/// Rows that the inputs rotate over.
const ROWS: usize = 8192;

/// What an executable is timed on.
struct Case<'a> {
    name: String,
    model: &'a Model,
    device: &'a dyn Device,
    precision: Precision,
    rows: Rows<'a>,
    batches: &'a [usize],
}

fn batches(criterion: &mut Criterion) {
    let model = model();
    let bytes = random_bytes(ROWS * WIDTHS[0]);
    let floats: Vec<f32> = bytes.iter().map(|byte| f32::from(*byte) / 255.0).collect();
    let device = cpu::open();
    for (precision, input) in PRECISIONS.iter().flat_map(|p| INPUTS.map(|input| (*p, input))) {
        let rows = match input {
            InputType::U8 => Rows::U8(&bytes),
            _ => Rows::F32(&floats),
        };
        let name = format!("cpu/{}/{}", precision.name(), input.name());
        let (model, device, batches) = (&model, &*device, &BATCHES);
        time(criterion, &Case { name, model, device, precision, rows, batches });
    }
}

/// Every instruction set that this processor has, at few rows and many.
fn levels(criterion: &mut Criterion) {
    let model = model();
    let bytes = random_bytes(ROWS * WIDTHS[0]);
    for level in cpu::levels() {
        let device = cpu::open_level(level).expect("the processor has it");
        for precision in PRECISIONS {
            let name = format!("levels/{}/{}", device.info().detail, precision.name());
            let (model, device, rows) = (&model, &*device, Rows::U8(&bytes));
            time(criterion, &Case { name, model, device, precision, rows, batches: &[1, 1000] });
        }
    }
}

/// Rows and weights nearer to 0 than 2^-126, and ordinary ones whose products are, beside ordinary
/// ones: all should take the same time.
fn subnormal(criterion: &mut Criterion) {
    let ordinary = model();
    let scaled = |by: f32| {
        let layer = |layer: &Dense| {
            let weight = layer.weight().iter().map(|weight| weight * by).collect();
            let (inputs, outputs) = (layer.inputs(), layer.outputs());
            Dense::new(inputs, outputs, weight, None, Activation::Relu).expect("a sound layer")
        };
        Model::from_layers(ordinary.layers().iter().map(layer).collect()).expect("widths chain")
    };
    let (small, tiny) = (scaled(1e-20), scaled(1e-38));
    let floats = random_bytes(ROWS * WIDTHS[0]).into_iter().map(|byte| f32::from(byte) / 255.0);
    let floats: Vec<f32> = floats.collect();
    let times = |by: f32| -> Vec<f32> { floats.iter().map(|value| value * by).collect() };
    let (small_rows, tiny_rows) = (times(1e-20), times(1e-39));
    let device = cpu::open();
    for precision in PRECISIONS {
        for (what, model, rows) in [
            ("none", &ordinary, &floats),
            ("rows", &ordinary, &tiny_rows),
            ("weights", &tiny, &floats),
            ("products", &small, &small_rows),
        ] {
            let name = format!("subnormal/{}/{what}", precision.name());
            let (device, rows, batches) = (&*device, Rows::F32(rows), &[1, 1000]);
            time(criterion, &Case { name, model, device, precision, rows, batches });
        }
    }
}

fn time(criterion: &mut Criterion, case: &Case<'_>) {
    let Case { model, device, precision, rows: all, .. } = *case;
    let options = PlanOptions { input: all.input(), precision, ..PlanOptions::default() };
    let plan = Plan::new(model, device.limits(), &options).expect("the model is small");
    let executable = device.load(plan).expect("the plan is for this device");
    check(model, &*executable, all);
    let mut group = criterion.benchmark_group(&case.name);
    for &batch in case.batches {
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

/// Fails where a score is further from the oracle's than its precision allows.
fn check(model: &Model, executable: &dyn Executable, all: Rows<'_>) {
    let rows = all.slice(0..100, model.inputs());
    let mut scores = vec![0.0; 100 * model.classes()];
    executable.run(rows, &mut scores).expect("the rows are as planned");
    let expected = cpu::oracle(model, rows);
    let of_rows = scores.chunks(model.classes()).zip(expected.chunks(model.classes()));
    for (scores, expected) in of_rows {
        let largest = expected.iter().fold(1.0_f64, |most, score| most.max(score.abs()));
        for (got, expected) in scores.iter().zip(expected) {
            let off = (f64::from(*got) - expected).abs() / largest;
            assert!(off <= executable.plan().precision().tolerance(), "{got}, not {expected}");
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
    name = cpu_backend;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = batches, levels, subnormal
}
criterion_main!(cpu_backend);
