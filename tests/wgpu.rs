//! The wgpu backend against the scalar oracle, on whatever adapter there is, software included.
#![cfg(feature = "wgpu")]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Batch, Random};
use fusewire::backend::{self, Device, Executable, OpenOptions, cpu::oracle};
use fusewire::model::PerInput;
use fusewire::{
    Activation, BackendError, BackendKind, Dense, Head, InputTransform, InputType, Model, Plan,
    PlanOptions, Precision, Rows,
};

/// The adapter; none is reported, and is a failure where `CI` is set.
fn device() -> Option<Arc<dyn Device>> {
    let mut options = OpenOptions::default();
    options.backend = BackendKind::Wgpu;
    options.software = true;
    match backend::open_with(&options) {
        Ok(device) => Some(device),
        Err(error) if std::env::var_os("CI").is_some() => panic!("{error}"),
        Err(error) => {
            println!("skipped: no wgpu adapter ({error})");
            None
        }
    }
}

/// A network of these widths whose values stay around 1.
fn network(random: &mut Random, widths: &[usize], activation: Activation) -> Model {
    let layer = |(index, pair): (usize, &[usize])| {
        let spread = 1.7 / (pair[0] as f32).sqrt();
        let weight = random.values(pair[0] * pair[1]).iter().map(|w| w * spread).collect();
        let last = index + 2 == widths.len();
        let activation = if last { Activation::Identity } else { activation };
        let bias = Some(random.values(pair[1]));
        Dense::new(pair[0], pair[1], weight, bias, activation).unwrap()
    };
    Model::from_layers(widths.windows(2).enumerate().map(layer).collect()).unwrap()
}

fn load(device: &dyn Device, model: &Model, options: PlanOptions) -> Arc<dyn Executable> {
    device.load(Plan::new(model, device.limits(), &options).unwrap()).unwrap()
}

fn options(input: InputType, precision: Precision, rows_max: usize) -> PlanOptions {
    PlanOptions { input, precision, rows_max }
}

fn run(executable: &dyn Executable, rows: Rows<'_>) -> Vec<f32> {
    let plan = executable.plan();
    let mut scores = vec![f32::NAN; rows.values() / plan.inputs() * plan.classes()];
    executable.run(rows, &mut scores).unwrap();
    scores
}

/// Scores and oracle agree row by row, NaN with NaN and infinity with infinity.
fn assert_close(got: &[f32], expected: &[f64], classes: usize, precision: Precision, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let rows = got.chunks_exact(classes).zip(expected.chunks_exact(classes));
    for (row, (got, expected)) in rows.enumerate() {
        let finite = expected.iter().copied().filter(|score| score.is_finite());
        let tolerance = precision.tolerance() * finite.map(f64::abs).fold(1.0, f64::max);
        for (class, (got, expected)) in got.iter().zip(expected).enumerate() {
            let close = (f64::from(*got) - expected).abs() <= tolerance
                || f64::from(*got) == *expected
                || got.is_nan() && expected.is_nan();
            assert!(close, "{what}: row {row} class {class}: got {got}, not {expected}");
        }
    }
}

fn check(device: &dyn Device, model: &Model, options: PlanOptions, rows: Rows<'_>, what: &str) {
    let executable = load(device, model, options);
    let what = format!("{what}: {}, {options:?}, {} values", model.architecture(), rows.values());
    let got = run(&*executable, rows);
    assert_close(&got, &oracle(model, rows), model.classes(), options.precision, &what);
}

#[test]
fn the_reference_network_is_one_launch_of_tiles_of_32_rows() {
    let Some(device) = device() else { return };
    let model = network(&mut Random(1), &[784, 32, 32, 32, 32, 10], Activation::Relu);
    for precision in [Precision::F32, Precision::F16, Precision::Bf16] {
        let options = options(InputType::U8, precision, 4096);
        let plan = Plan::new(&model, device.limits(), &options).unwrap();
        assert_eq!(plan.stages().len(), 1, "{plan}");
        assert!(plan.stages()[0].tile_rows >= 32, "{plan}");
    }
}

#[test]
fn every_batch_size_and_input_type() {
    let Some(device) = device() else { return };
    let mut numbers = Random(2);
    let model = network(&mut numbers, &[784, 32, 32, 32, 32, 10], Activation::Relu);
    let model = model.with_head(Head::Softmax);
    for input in InputType::ALL {
        let batch = Batch::random(input, 1000 * 784, &mut numbers);
        let executable = load(&*device, &model, options(input, Precision::F32, 1000));
        for rows in [1, 2, 3, 7, 16, 33, 64, 100, 1000] {
            let rows = batch.rows().slice(0..rows, 784);
            let (got, expected) = (run(&*executable, rows), oracle(&model, rows));
            let what = format!("{input:?}, {} values", rows.values());
            assert_close(&got, &expected, 10, Precision::F32, &what);
        }
    }
}

#[test]
fn random_architectures() {
    let Some(device) = device() else { return };
    let mut numbers = Random(3);
    for case in 0..16 {
        let depth = 1 + numbers.below(4);
        let widths: Vec<usize> = (0..=depth).map(|_| 1 + numbers.below(140)).collect();
        let activation = Activation::ALL[numbers.below(Activation::ALL.len())];
        let heads = [Head::Logits, Head::Softmax, Head::LogSoftmax];
        let model = network(&mut numbers, &widths, activation).with_head(heads[case % 3]);
        let rows = 1 + numbers.below(150);
        let precision = [Precision::F32, Precision::F16, Precision::Bf16][numbers.below(3)];
        let input = InputType::ALL[case % 4];
        let batch = Batch::random(input, rows * widths[0], &mut numbers);
        let options = options(input, precision, 150);
        check(&*device, &model, options, batch.rows(), activation.name());
    }
}

#[test]
fn wide_layers() {
    let Some(device) = device() else { return };
    let mut numbers = Random(4);
    for (widths, rows) in [
        (&[300, 3000, 10][..], 5),
        (&[3000, 130, 64, 32, 10], 70),
        (&[33, 257, 301], 66),
        (&[70, 90, 20, 91, 3], 65),
    ] {
        let model = network(&mut numbers, widths, Activation::Relu).with_head(Head::LogSoftmax);
        let values = numbers.values(rows * widths[0]);
        let options = options(InputType::F32, Precision::F32, 70);
        check(&*device, &model, options, Rows::F32(&values), "wide");
    }
}

#[test]
fn every_activation_over_its_whole_range() {
    let Some(device) = device() else { return };
    let small = (-400..=400).map(|step| step as f32 / 40.0);
    let large = [1e-30, 1e-6, 15.0, 40.0, 88.0, 100.0, 1e4, 1e20, f32::INFINITY, f32::NAN];
    let points: Vec<f32> = small.chain(large.into_iter().flat_map(|x| [x, -x])).collect();
    let own = [
        Activation::LeakyRelu { alpha: -0.5 },
        Activation::Celu { alpha: 0.2 },
        Activation::Clip { min: f32::NEG_INFINITY, max: 2.5 },
        Activation::Clip { min: 1.0, max: -1.0 },
    ];
    for activation in Activation::ALL.into_iter().chain(own) {
        let one = |activation| Dense::new(1, 1, vec![1.0], None, activation).unwrap();
        let model = Model::from_layers(vec![one(activation), one(Activation::Identity)]).unwrap();
        let executable = load(&*device, &model, PlanOptions::default());
        let got = run(&*executable, Rows::F32(&points));
        for (x, got) in points.iter().zip(got) {
            let (got, expected) = (f64::from(got), activation.apply(f64::from(*x)));
            let close = (got - expected).abs() <= 2e-6 * expected.abs().max(1.0)
                || got == expected
                || got.is_nan() && expected.is_nan();
            assert!(close, "{activation:?}({x}) = {got}, not {expected}");
        }
    }
}

#[test]
fn a_spoilt_row_spoils_only_itself() {
    let Some(device) = device() else { return };
    let mut numbers = Random(6);
    let spoils = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    for widths in [&[37, 20, 21, 10][..], &[37, 150, 10]] {
        let model = network(&mut numbers, widths, Activation::Relu);
        let executable = load(&*device, &model, PlanOptions::default());
        for rows in [30, 40] {
            let mut values = numbers.values(rows * 37);
            let before = run(&*executable, Rows::F32(&values));
            for (index, spoil) in spoils.iter().enumerate() {
                values[(7 + 9 * index) * 37 + 36 - index] = *spoil;
            }
            let after = run(&*executable, Rows::F32(&values));
            let expected = oracle(&model, Rows::F32(&values));
            assert!(expected[70..80].iter().all(|score| score.is_nan()));
            assert_close(&after, &expected, 10, Precision::F32, "spoilt");
            for row in (0..rows).filter(|row| ![7, 16, 25].contains(row)) {
                let scores = row * 10..(row + 1) * 10;
                assert_eq!(before[scores.clone()], after[scores], "{widths:?}, row {row}");
            }
        }
    }
}

/// Padding times infinity is NaN, so padding must not be multiplied at all.
#[test]
fn an_infinite_row_meets_no_padding() {
    let Some(device) = device() else { return };
    let positive = |inputs, outputs| {
        Dense::new(inputs, outputs, vec![0.5; inputs * outputs], None, Activation::Relu).unwrap()
    };
    let model = vec![positive(24, 5), positive(5, 6), positive(6, 3)];
    let model = Model::from_layers(model).unwrap();
    let executable = load(&*device, &model, PlanOptions::default());
    for rows in [3, 40] {
        let mut values = vec![0.25; rows * 24];
        values[24 + 20] = f32::INFINITY;
        let got = run(&*executable, Rows::F32(&values));
        let expected = oracle(&model, Rows::F32(&values));
        assert_eq!(expected[3..6], [f64::INFINITY; 3]);
        assert_close(&got, &expected, 3, Precision::F32, "infinite");
    }
}

/// What follows a layer's weights are biases, which read as f16 here would be NaN.
#[test]
fn nothing_is_read_past_a_layers_weights() {
    let Some(device) = device() else { return };
    let mut numbers = Random(13);
    // 16 panels of 34 times 4 weights of 2 bytes end where the biases begin.
    let bias = vec![f32::from_bits(0x3f80_7e00); 64];
    let first = numbers.values(34 * 64);
    let first = Dense::new(34, 64, first, Some(bias), Activation::Identity).unwrap();
    let last = Dense::new(64, 3, numbers.values(64 * 3), None, Activation::Identity).unwrap();
    let model = Model::from_layers(vec![first, last]).unwrap();
    for rows in [3, 40] {
        let values = numbers.values(rows * 34);
        let options = options(InputType::F32, Precision::F16, 40);
        check(&*device, &model, options, Rows::F32(&values), "past the weights");
    }
}

#[test]
fn the_input_transform_ends_in_scale_weights_and_bias() {
    let Some(device) = device() else { return };
    let mut numbers = Random(7);
    let transform = InputTransform {
        scale: PerInput::Each(numbers.values(50)),
        offset: PerInput::Each(numbers.values(50)),
    };
    let model = network(&mut numbers, &[50, 24, 5], Activation::Gelu);
    let model = model.with_transform(transform).unwrap().with_u8_scale(Model::U8_SCALE).unwrap();
    for precision in [Precision::F32, Precision::F16, Precision::Bf16] {
        for input in InputType::ALL {
            let batch = Batch::random(input, 17 * 50, &mut numbers);
            let options = options(input, precision, 32);
            check(&*device, &model, options, batch.rows(), "transform");
        }
    }
}

/// A head takes one workgroup a row, and one dimension of a grid holds 65,535.
#[test]
fn more_workgroups_than_one_dimension_holds() {
    let Some(device) = device() else { return };
    let mut numbers = Random(14);
    let model = network(&mut numbers, &[1, 2], Activation::Relu).with_head(Head::Softmax);
    let bytes = numbers.bytes(65_600);
    let options = options(InputType::U8, Precision::F32, 65_600);
    check(&*device, &model, options, Rows::U8(&bytes), "folded grid");
}

#[test]
fn run_splits_and_reuses_contexts() {
    let Some(device) = device() else { return };
    let mut numbers = Random(8);
    let model = network(&mut numbers, &[19, 16, 7], Activation::Tanh);
    let executable = load(&*device, &model, options(InputType::F32, Precision::F32, 8));
    executable.run(Rows::F32(&[]), &mut []).unwrap();
    for rows in [1, 8, 9, 24, 100, 5] {
        let values = numbers.values(rows * 19);
        let got = run(&*executable, Rows::F32(&values));
        let expected = oracle(&model, Rows::F32(&values));
        assert_close(&got, &expected, 7, Precision::F32, "split");
    }
}

#[test]
fn several_threads_share_an_executable() {
    let Some(device) = device() else { return };
    let model = network(&mut Random(9), &[64, 32, 10], Activation::Relu);
    let executable = load(&*device, &model, options(InputType::F32, Precision::F32, 16));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (executable, model) = (&executable, &model);
            scope.spawn(move || {
                let mut numbers = Random(100 + thread);
                for _ in 0..10 {
                    let values = numbers.values(40 * 64);
                    let got = run(&**executable, Rows::F32(&values));
                    let expected = oracle(model, Rows::F32(&values));
                    assert_close(&got, &expected, 10, Precision::F32, "threads");
                }
            });
        }
    });
}

#[test]
fn contexts_keep_their_batches_apart() {
    let Some(device) = device() else { return };
    let mut numbers = Random(10);
    let model = network(&mut numbers, &[64, 32, 10], Activation::Relu);
    let executable = load(&*device, &model, options(InputType::F32, Precision::F32, 40));
    let mut contexts: Vec<_> = (0..3).map(|_| executable.create_context().unwrap()).collect();
    for round in 0..3 {
        let batches: Vec<_> = (0..3).map(|at| numbers.values((40 - at - round) * 64)).collect();
        for (context, batch) in contexts.iter_mut().zip(&batches) {
            context.submit(Rows::F32(batch)).unwrap();
            assert!(context.scores().is_empty());
            assert_eq!(context.submit(Rows::F32(batch)), Err(BackendError::Busy));
        }
        for (context, batch) in contexts.iter_mut().zip(&batches).rev() {
            context.wait(Instant::now() + Duration::from_secs(60)).unwrap();
            assert_eq!(context.is_complete(), Ok(true));
            let expected = oracle(&model, Rows::F32(batch));
            assert_close(context.scores(), &expected, 10, Precision::F32, "contexts");
        }
    }
}

#[test]
fn a_context_says_what_is_wrong() {
    let Some(device) = device() else { return };
    let model = network(&mut Random(11), &[64, 32, 10], Activation::Relu);
    let executable = load(&*device, &model, options(InputType::F32, Precision::F32, 4));
    let mut context = executable.create_context().unwrap();
    assert_eq!(context.wait(Instant::now()), Err(BackendError::Idle));
    assert_eq!(context.is_complete(), Err(BackendError::Idle));
    let too_many = context.submit(Rows::F32(&[0.0; 5 * 64]));
    assert_eq!(too_many, Err(BackendError::BatchSize { rows_max: 4, rows: 5 }));
    assert!(matches!(context.submit(Rows::U8(&[0; 64])), Err(BackendError::WrongInput { .. })));
    let limits = *backend::open(BackendKind::Cpu).unwrap().limits();
    let plan = Plan::new(&model, &limits, &PlanOptions::default()).unwrap();
    assert_eq!(device.load(plan).unwrap_err(), BackendError::WrongPlan);
}

#[test]
fn a_deadline_passes_and_the_batch_still_completes() {
    let Some(device) = device() else { return };
    let mut numbers = Random(12);
    let model = network(&mut numbers, &[784, 256, 256, 10], Activation::Relu);
    let executable = load(&*device, &model, options(InputType::F32, Precision::F32, 512));
    let values = numbers.values(512 * 784);
    let mut context = executable.create_context().unwrap();
    context.submit(Rows::F32(&values)).unwrap();
    match context.wait(Instant::now()) {
        Err(BackendError::Timeout { .. }) => assert!(context.scores().is_empty()),
        fast => assert_eq!(fast, Ok(())),
    }
    while !context.is_complete().unwrap() {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(context.scores().len(), 5120);
}

#[test]
fn a_software_adapter_is_opened_only_where_it_is_allowed() {
    let Some(allowed) = device() else { return };
    if allowed.info().software {
        assert!(allowed.info().detail.ends_with(", software"), "{:?}", allowed.info());
        let refused = backend::open(BackendKind::Wgpu).unwrap_err().to_string();
        assert!(refused.contains("--software"), "{refused}");
    }
    let mut named = OpenOptions::default();
    named.backend = BackendKind::Wgpu;
    named.adapter = Some(allowed.info().name[..4].to_uppercase());
    assert_eq!(backend::open_with(&named).unwrap().info(), allowed.info());
    named.adapter = Some(String::from("no such adapter"));
    let refused = backend::open_with(&named).unwrap_err().to_string();
    assert!(refused.contains(&allowed.info().name), "{refused}");
}

#[test]
fn a_device_is_opened_by_its_number() {
    let mut options = OpenOptions::default();
    options.backend = BackendKind::Wgpu;
    options.device = Some(1000);
    let error = backend::open_with(&options).map(|_| ()).expect_err("there are not so many");
    assert!(matches!(error, BackendError::Unavailable { backend: BackendKind::Wgpu, .. }));
    assert!(error.to_string().contains("device 1000 was asked for, and there are"), "{error}");
    // No number of a GPU is the processor's.
    options.backend = BackendKind::Auto;
    assert!(backend::open_with(&options).is_err());
    options.backend = BackendKind::Cpu;
    assert!(backend::open_with(&options).is_err());
    options.device = Some(0);
    assert_eq!(
        backend::open_with(&options).map(|device| device.info().backend),
        Ok(BackendKind::Cpu)
    );
    if device().is_some() {
        options.backend = BackendKind::Wgpu;
        let first = backend::open_with(&options).map(|device| device.info().backend);
        assert_eq!(first, Ok(BackendKind::Wgpu));
    }
}
