//! Subnormal numbers count as 0 and cost no time, and a caller's control register has no part in a
//! score.

#![allow(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use half::{bf16, f16};

use super::*;
use crate::backend::cpu::mode::{CALLERS, Control, KernelMode, get, set};

/// Each is 0 where subnormal numbers are.
const SUBNORMAL: [f32; 5] = [1e-38, -1e-39, 1e-40, -1e-45, 1.1754942e-38];
const ROWS: usize = 37;
const INPUTS: usize = 70;

/// Some of the numbers replaced.
fn some_replaced(numbers: &[f32], by: impl Fn(usize) -> f32) -> Vec<f32> {
    let number = |(at, number): (usize, &f32)| if at % 3 == 0 { by(at) } else { *number };
    numbers.iter().enumerate().map(number).collect()
}

fn subnormal(at: usize) -> f32 {
    SUBNORMAL[at % SUBNORMAL.len()]
}

/// A network with other weights and biases.
fn changed(model: &Model, change: impl Fn(&[f32]) -> Vec<f32>) -> Model {
    let layer = |layer: &Dense| {
        let (weight, bias) = (change(layer.weight()), layer.bias().map(&change));
        Dense::new(layer.inputs(), layer.outputs(), weight, bias, layer.activation()).unwrap()
    };
    Model::from_layers(model.layers().iter().map(layer).collect()).unwrap()
}

fn assert_same_bits(got: &[f32], want: &[f32], what: &str) {
    let same = got.iter().zip(want).all(|(got, want)| got.to_bits() == want.to_bits());
    assert!(same, "{what}: {got:?}, not {want:?}");
}

#[test]
fn subnormal_rows_weights_and_biases_have_the_scores_of_zeros() {
    let mut random = Random(51);
    let model = network(&mut random, &[INPUTS, 40, 10], Activation::Tanh);
    let values = random.units(ROWS * INPUTS);
    let (rows, zero_rows) = (some_replaced(&values, subnormal), some_replaced(&values, |_| 0.0));
    let tiny = changed(&model, |numbers| some_replaced(numbers, subnormal));
    let zero = changed(&model, |numbers| some_replaced(numbers, |_| 0.0));
    for (device, precision) in devices().iter().flat_map(|d| Precision::ALL.map(|p| (d, p))) {
        let what = format!("{} {precision:?}", device.info().detail);
        let of = |model, input| load(&**device, model, &options(input, precision));
        for count in [1, 2, ROWS] {
            let (rows, zero_rows) = (&rows[..count * INPUTS], &zero_rows[..count * INPUTS]);
            let want = scores(&*of(&zero, InputType::F32), Rows::F32(zero_rows));
            let got = scores(&*of(&tiny, InputType::F32), Rows::F32(rows));
            assert_same_bits(&got, &want, &what);
            let brains = |rows: &[f32]| rows.iter().copied().map(bf16::from_f32).collect();
            // What rounds to a normal number is none.
            let (rows, zero_rows): (Vec<bf16>, Vec<bf16>) = (brains(rows), brains(zero_rows));
            let normal = |(a, b): (&bf16, &bf16)| if a.to_f32().is_normal() { *a } else { *b };
            let zero_rows: Vec<bf16> = rows.iter().zip(&zero_rows).map(normal).collect();
            let want = scores(&*of(&zero, InputType::Bf16), Rows::Bf16(&zero_rows));
            let got = scores(&*of(&tiny, InputType::Bf16), Rows::Bf16(&rows));
            assert_same_bits(&got, &want, &what);
        }
    }
}

/// The subnormal numbers of f16 are ordinary ones of f32, in rows and in weights.
#[test]
fn subnormal_halves_keep_their_values() {
    let halves: Vec<f16> = (0..ROWS * 20).map(|at| f16::from_bits(1 + at as u16 % 1000)).collect();
    let wide: Vec<f32> = halves.iter().map(|half| half.to_f32()).collect();
    let weights: Vec<f32> = (0..60).map(|at| f16::from_bits(7 + at).to_f32() * 0.5).collect();
    let scaled = |by: f32| weights.iter().map(|weight| weight * by).collect();
    let layer = |weights| Dense::new(20, 3, weights, None, Activation::Identity).unwrap();
    let rounded = layer(weights.iter().map(|w| f16::from_f32(*w).to_f32()).collect());
    let (tiny, rounded) = (layer(weights.clone()), Model::from_layers(vec![rounded]).unwrap());
    let (large, tiny) = (layer(scaled(16_777_216.0)), Model::from_layers(vec![tiny]).unwrap());
    let large = Model::from_layers(vec![large]).unwrap();
    for (device, count) in devices().iter().flat_map(|d| [1, ROWS].map(|count| (d, count))) {
        let what = format!("{} {count}", device.info().detail);
        let of = |model, input, precision| load(&**device, model, &options(input, precision));
        let (halves, wide) = (&halves[..count * 20], &wide[..count * 20]);
        let got = scores(&*of(&large, InputType::F16, Precision::F32), Rows::F16(halves));
        let want = scores(&*of(&large, InputType::F32, Precision::F32), Rows::F32(wide));
        assert!(want.iter().all(|score| *score > 0.0), "{what}");
        assert_same_bits(&got, &want, &what);
        let ones = vec![1.0; count * 20];
        let got = scores(&*of(&tiny, InputType::F32, Precision::F16), Rows::F32(&ones));
        let want = scores(&*of(&rounded, InputType::F32, Precision::F32), Rows::F32(&ones));
        assert!(want.iter().all(|score| *score > 0.0), "{what}");
        assert_same_bits(&got, &want, &what);
    }
}

/// As the oracle has it: of 1e-39 times 1e38 nothing is left, be the small number a row's, a
/// weight's, or a layer's own output.
#[test]
fn nothing_is_left_of_a_subnormal_number_times_a_huge_one() {
    let layer = |weight, bias: f32| {
        let bias = Some(vec![bias; 3]);
        Dense::new(3, 3, vec![weight; 9], bias, Activation::Identity).unwrap()
    };
    let model = |first, second| Model::from_layers(vec![layer(first, 0.0), second]).unwrap();
    let huge = || layer(1e38, 0.5);
    let cases = [
        (Model::from_layers(vec![huge()]).unwrap(), 1e-39),
        (Model::from_layers(vec![layer(1e-39, 0.5)]).unwrap(), 1e38),
        (model(1e-20, huge()), 1e-20),
        (model(1.0, layer(1e-39, 0.5)), 1e37),
        (Model::from_layers(vec![layer(1.0, 1e-39), huge()]).unwrap(), 0.0),
    ];
    for (model, value) in &cases {
        for (device, count) in devices().iter().flat_map(|d| [1, ROWS].map(|count| (d, count))) {
            let rows = vec![*value; 3 * count];
            assert!(oracle(model, Rows::F32(&rows)).iter().all(|score| *score == 0.5));
            for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
                let options = options(InputType::F32, precision);
                let got = scores(&*load(&**device, model, &options), Rows::F32(&rows));
                let what = format!("{} {precision:?} {value}", device.info().detail);
                assert!(got.iter().all(|score| *score == 0.5), "{what}: {got:?}");
            }
        }
    }
}

/// The shortest of some calls.
fn time(executable: &dyn Executable, rows: &[f32]) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..25 {
        let start = Instant::now();
        scores(executable, Rows::F32(rows));
        best = best.min(start.elapsed());
    }
    best
}

/// A subnormal operand or result costs a hundred times an ordinary one where it is computed with.
#[test]
fn subnormal_numbers_cost_no_time() {
    let mut random = Random(52);
    let model = network(&mut random, &[784, 32, 32, 10], Activation::Relu);
    // Of normal numbers, whose products are subnormal: those are flushed by the kernels alone.
    let small = changed(&model, |numbers| numbers.iter().map(|number| number * 1e-20).collect());
    let tiny = changed(&model, |numbers| numbers.iter().map(|number| number * 1e-38).collect());
    let ordinary = random.units(784 * 50);
    let scaled = |by: f32| -> Vec<f32> { ordinary.iter().map(|value| value * by).collect() };
    let (subnormal, small_rows) = (scaled(1e-39), scaled(1e-20));
    let cases = [(&model, &subnormal), (&small, &small_rows), (&tiny, &ordinary)];
    for (device, precision) in devices().iter().flat_map(|d| Precision::ALL.map(|p| (d, p))) {
        let detail = &device.info().detail;
        // The stand-in is too slow to see it, and other architectures keep their mode.
        let has_mode = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));
        if detail.contains("+blocks") || !has_mode {
            continue;
        }
        let of = |model: &Model| load(&**device, model, &options(InputType::F32, precision));
        for (index, (model, rows)) in cases.iter().enumerate() {
            let slow = || time(&*of(model), rows).as_secs_f64();
            let ratio = || slow() / time(&*of(cases[0].0), &ordinary).as_secs_f64();
            // Other programs may take the processor in between: the best of three counts.
            let ratio = (0..3).map(|_| ratio()).fold(f64::INFINITY, f64::min);
            assert!(ratio < 3.0, "{detail} {precision:?}, case {index}: {ratio} times as long");
        }
    }
}

/// In a caller's mode, on this thread alone.
fn in_mode<T>(mode: Control, call: impl FnOnce() -> T) -> T {
    let before = get();
    // SAFETY: the mode is one that callers may have set, for calls that set their own.
    unsafe { set(mode) };
    let result = call();
    let after = get();
    // SAFETY: this is what the register held.
    unsafe { set(before) };
    assert_eq!(mode_of(after), mode_of(mode), "the caller's mode is not what it was");
    result
}

/// Without the flags, which tell what happened so far.
#[cfg(target_arch = "x86_64")]
fn mode_of(control: Control) -> Control {
    control & !0x3f
}

#[cfg(not(target_arch = "x86_64"))]
fn mode_of(control: Control) -> Control {
    control
}

#[test]
fn a_callers_mode_changes_no_score_and_is_kept() {
    let mut random = Random(53);
    let model = network(&mut random, &[INPUTS, 40, 10], Activation::Softplus);
    let rows = some_replaced(&random.units(ROWS * INPUTS), subnormal);
    for (device, precision) in devices().iter().flat_map(|d| Precision::ALL.map(|p| (d, p))) {
        let plan = Plan::new(&model, device.limits(), &options(InputType::F32, precision)).unwrap();
        let want = scores(&*device.load(Arc::clone(&plan)).unwrap(), Rows::F32(&rows));
        for mode in CALLERS {
            let executable = in_mode(mode, || device.load(Arc::clone(&plan)).unwrap());
            let mut context = executable.create_context().unwrap();
            let mut got = vec![0.0; ROWS * 10];
            in_mode(mode, || executable.run(Rows::F32(&rows), &mut got).unwrap());
            let what = format!("{} {precision:?} {mode:?}", device.info().detail);
            assert_same_bits(&got, &want, &what);
            in_mode(mode, || context.submit_pieces(&[Rows::F32(&rows)]).unwrap());
            assert_same_bits(context.scores(), &want, &what);
        }
    }
}

#[test]
fn a_panic_restores_the_callers_mode() {
    for mode in CALLERS {
        in_mode(mode, || {
            let panics = || {
                let _mode = KernelMode::enter();
                std::panic::resume_unwind(Box::new(()));
            };
            assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        });
    }
}
