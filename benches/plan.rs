//! Planning: the classifier of the papers, and 25 million weights, packed for a processor.
//!
//! Plans are held against each other before anything is timed: the same model twice is the same
//! plan, byte for byte. Not measured: loading a plan on a device.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fusewire::backend::cpu;
use fusewire::{Activation, Dense, InputType, Limits, Model, Plan, PlanOptions, Precision};

const PAPER: [usize; 6] = [784, 32, 32, 32, 32, 10];
/// 25 million weights: 100 MB.
const LARGE: [usize; 6] = [2500, 2500, 2500, 2500, 2500, 10];
const KINDS: [(InputType, Precision); 3] = [
    (InputType::F32, Precision::F32),
    (InputType::F32, Precision::F16),
    (InputType::U8, Precision::Int8),
];

fn planning(criterion: &mut Criterion) {
    let device = cpu::open();
    for (name, widths) in [("paper", &PAPER), ("100 MB", &LARGE)] {
        let model = model(widths);
        let mut group = criterion.benchmark_group(format!("plan/{name}"));
        group.throughput(Throughput::Bytes(model.parameters() as u64 * 4));
        if widths[0] == LARGE[0] {
            group.sample_size(10);
        }
        for (input, precision) in KINDS {
            let options = PlanOptions { input, precision, ..PlanOptions::default() };
            check(&model, device.limits(), &options);
            let kind = format!("{} {}", input.name(), precision.name());
            group.bench_function(BenchmarkId::from_parameter(kind), |bencher| {
                bencher.iter(|| black_box(plan(&model, device.limits(), &options)));
            });
        }
    }
}

fn plan(model: &Model, limits: &Limits, options: &PlanOptions) -> std::sync::Arc<Plan> {
    Plan::new(model, limits, options).expect("the model fits a processor")
}

/// Fails where the same inputs give another plan.
fn check(model: &Model, limits: &Limits, options: &PlanOptions) {
    let [first, second] = [(); 2].map(|()| plan(model, limits, options));
    assert_eq!(first.parameters(), second.parameters());
    assert_eq!(first.to_string(), second.to_string());
}

/// Weights that differ, all finite.
fn model(widths: &[usize]) -> Model {
    let layer = |pair: &[usize]| {
        let weight = (0..pair[0] * pair[1]).map(|i| (i % 1013) as f32 / 1013.0 - 0.5).collect();
        let bias = Some(vec![0.25; pair[1]]);
        Dense::new(pair[0], pair[1], weight, bias, Activation::Relu).expect("a sound layer")
    };
    Model::from_layers(widths.windows(2).map(layer).collect()).expect("widths chain")
}

criterion_group! {
    name = plans;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2));
    targets = planning
}
criterion_main!(plans);
