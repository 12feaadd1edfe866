//! Plans: snapshots of what fusion decides, and the packed block read back by its layout.
//!
//! `FUSEWIRE_UPDATE_SNAPSHOTS=1` writes the snapshots anew; read the difference before committing.

mod common;

use std::fs;
use std::path::PathBuf;

use common::Random;
use fusewire::model::PerInput;
use fusewire::plan::{Link, Peak};
use fusewire::{
    Activation, Dense, Head, InputTransform, InputType, Limits, Model, Plan, PlanError,
    PlanOptions, Precision,
};

/// Workgroup storage of any WebGPU device.
const SMALL: Limits = Limits {
    on_chip_bytes: 16 << 10,
    resident_bytes: usize::MAX,
    panel: 4,
    tile_rows_min: 8,
    tile_rows_max: 64,
    align_bytes: 256,
    buffer_bytes_max: 128 << 20,
};

fn relu_model(widths: &[usize]) -> Model {
    let last = widths.len() - 2;
    let mut index = 0;
    let activations = move || {
        index += 1;
        if index - 1 == last { Activation::Identity } else { Activation::Relu }
    };
    let text = widths.iter().map(ToString::to_string).collect::<Vec<_>>().join("-");
    common::model(&mut Random(1), widths, activations).with_name(text)
}

fn check_snapshot(name: &str, got: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(name);
    if std::env::var_os("FUSEWIRE_UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, format!("{got}\n")).expect("the snapshot is writable");
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(got, expected.trim_end(), "{} differs", path.display());
}

#[test]
fn fusion_follows_the_on_chip_budget() {
    let options = PlanOptions::default();
    let plans = [
        ("paper", relu_model(&[784, 32, 32, 32, 32, 10])),
        ("wide", relu_model(&[784, 2048, 2048, 10])),
        ("wide_then_narrow", relu_model(&[784, 2048, 64, 64, 10])),
        ("narrow_wide_narrow", relu_model(&[784, 32, 2048, 32, 10])),
        ("one_layer", relu_model(&[784, 10])),
        ("one_layer_softmax", relu_model(&[784, 10]).with_head(Head::Softmax)),
        ("paper_log_softmax", relu_model(&[784, 32, 32, 10]).with_head(Head::LogSoftmax)),
        ("widest_fused", relu_model(&[3000, 256, 256, 10])),
        ("just_too_wide", relu_model(&[3000, 257, 257, 10])),
    ];
    for (name, model) in plans {
        let plan = Plan::new(&model, &SMALL, &options).unwrap();
        check_snapshot(&format!("{name}.txt"), &plan.to_string());
    }
}

/// Parameters are kept on chip as far as they fit: what does not is another launch.
#[test]
fn fusion_follows_the_room_for_parameters() {
    let ends = |widths: &[usize], resident_bytes, precision| {
        let limits = Limits { panel: 16, resident_bytes, ..SMALL };
        let options = PlanOptions { precision, ..PlanOptions::default() };
        let plan = Plan::new(&relu_model(widths), &limits, &options).unwrap();
        plan.stages().iter().map(|stage| stage.layers.end).collect::<Vec<_>>()
    };
    let paper = [784, 32, 32, 32, 32, 10];
    // Four layers of 32 outputs, one of 16, and the descriptions of all.
    let whole = (784 + 3 * 32) * 32 * 4 + 32 * 16 * 4 + (4 * 32 + 16) * 4 + 5 * 64;
    assert_eq!(ends(&paper, whole, Precision::F32), [5]);
    assert_eq!(ends(&paper, whole - 1, Precision::F32), [4, 5]);
    assert_eq!(ends(&paper, whole / 2, Precision::F32), [1, 5]);
    assert_eq!(ends(&paper, whole / 2 + 500, Precision::F16), [5]);
    assert_eq!(ends(&paper, 0, Precision::F32), [1, 2, 3, 4, 5]);
    // Inputs count as whole panels, as the outputs do that they are.
    let narrow = 2 * (16 * 16 * 4 + 16 * 4 + 64);
    assert_eq!(ends(&[1, 1, 1], narrow, Precision::F32), [2]);
    assert_eq!(ends(&[1, 1, 1], narrow - 1, Precision::F32), [1, 2]);
}

/// Where halves of the two kinds meet, the weights that rows meet are kept as f32.
#[test]
fn halves_of_two_kinds_take_the_room_of_f32() {
    use {InputType as Of, Precision as By};
    let ends = |widths: &[usize], input, precision, resident_bytes| -> Vec<usize> {
        let limits = Limits { panel: 16, resident_bytes, ..SMALL };
        let options = PlanOptions { input, precision, ..PlanOptions::default() };
        let plan = Plan::new(&relu_model(widths), &limits, &options).unwrap();
        plan.stages().iter().map(|stage| stage.layers.end).collect()
    };
    let narrow = [784, 32, 32, 10];
    for (input, precision, weight) in [
        (Of::F16, By::F16, 2),
        (Of::Bf16, By::Bf16, 2),
        (Of::F32, By::Bf16, 2),
        (Of::U8, By::F16, 2),
        (Of::F16, By::Bf16, 4),
        (Of::Bf16, By::F16, 4),
        (Of::Bf16, By::F32, 4),
    ] {
        let weights = 784 * 32 + 32 * 32 + 32 * 16;
        let bytes = weights * weight + (32 + 32 + 16) * 4 + 3 * 64;
        assert_eq!(ends(&narrow, input, precision, bytes), [3], "{input:?} {precision:?}");
        assert_eq!(ends(&narrow, input, precision, bytes - 1), [2, 3], "{input:?} {precision:?}");
    }
    // Behind the first launch rows are f32, and weights are what they are.
    let bytes = (3008 * 32 + 32 * 16) * 2 + (32 + 16) * 4 + 2 * 64;
    assert_eq!(ends(&[20, 3000, 32, 10], Of::F16, By::Bf16, bytes), [1, 3]);
    assert_eq!(ends(&[20, 3000, 32, 10], Of::F16, By::Bf16, bytes - 1), [1, 2, 3]);
}

#[test]
fn input_type_and_precision_show_in_the_plan() {
    let model = relu_model(&[784, 32, 32, 32, 32, 10]);
    let options = PlanOptions { input: InputType::U8, precision: Precision::F16, rows_max: 7 };
    let plan = Plan::new(&model, &SMALL, &options).unwrap();
    check_snapshot("paper_u8_f16.txt", &plan.to_string());
    assert_eq!(plan.rows_max(), 7);
}

#[test]
fn same_inputs_same_bytes() {
    let model = relu_model(&[20, 30, 5]);
    let plan = || Plan::new(&model, &SMALL, &PlanOptions::default()).unwrap();
    assert_eq!(plan(), plan());
}

#[test]
fn every_layer_runs_once_and_every_fused_tile_fits() {
    let mut random = Random(2);
    for _ in 0..300 {
        let layers = 1 + random.below(12);
        let widths: Vec<usize> = (0..=layers).map(|_| random.width(600)).collect();
        let plan = Plan::new(&relu_model(&widths), &SMALL, &PlanOptions::default()).unwrap();
        let run: Vec<usize> = plan.stages().iter().flat_map(|stage| stage.layers.clone()).collect();
        assert_eq!(run, (0..layers).collect::<Vec<_>>());
        for stage in plan.stages() {
            assert!(stage.on_chip_bytes <= SMALL.on_chip_bytes);
            assert!(stage.tile_rows <= SMALL.tile_rows_max);
            assert_eq!(stage.layers.len() >= 2, stage.on_chip_bytes > 0);
        }
    }
}

/// A layer whose weight `[output, k]` is `output + k / 64`, exact in f32 and f16.
fn numbered(inputs: usize, outputs: usize) -> Dense {
    let weight = |index: usize| (index / inputs) as f32 + (index % inputs) as f32 / 64.0;
    let weights = (0..inputs * outputs).map(weight).collect();
    let bias = (0..outputs).map(|output| -(output as f32)).collect();
    Dense::new(inputs, outputs, weights, Some(bias), Activation::Relu).unwrap()
}

fn f32_at(bytes: &[u8], index: usize) -> f32 {
    f32::from_le_bytes(bytes[index * 4..][..4].try_into().unwrap())
}

#[test]
fn weights_lie_where_the_layout_says() {
    let model = Model::from_layers(vec![numbered(5, 6), numbered(6, 3)]).unwrap();
    let plan = Plan::new(&model, &SMALL, &PlanOptions::default()).unwrap();
    for (layer, dense) in plan.layers().iter().zip(model.layers()) {
        assert_eq!(layer.outputs_padded, layer.outputs.next_multiple_of(4));
        assert!(layer.weight.start.is_multiple_of(256) && layer.bias.start.is_multiple_of(256));
        let weights = &plan.parameters()[layer.weight.clone()];
        let biases = &plan.parameters()[layer.bias.clone()];
        assert_eq!(weights.len(), layer.inputs * layer.outputs_padded * 4);
        for output in 0..layer.outputs_padded {
            let real = output < layer.outputs;
            let bias = if real { dense.bias().unwrap()[output] } else { 0.0 };
            assert_eq!(f32_at(biases, output), bias);
            for k in 0..layer.inputs {
                let weight = if real { dense.weight()[output * layer.inputs + k] } else { 0.0 };
                let element = (output / 4 * layer.inputs + k) * 4 + output % 4;
                assert_eq!(f32_at(weights, element), weight, "output {output}, k {k}");
            }
        }
    }
}

#[test]
fn normalisation_stays_out_of_the_weights() {
    let plan = |model: &Model, input| {
        let options = PlanOptions { input, precision: Precision::F16, ..PlanOptions::default() };
        Plan::new(model, &SMALL, &options).unwrap()
    };
    let model = Model::from_layers(vec![numbered(5, 6)]).unwrap();
    let (as_f32, as_u8) = (plan(&model, InputType::F32), plan(&model, InputType::U8));
    assert_eq!(as_f32.parameters(), as_u8.parameters());
    assert_eq!((as_f32.layers()[0].scale, as_u8.layers()[0].scale), (1.0, 1.0 / 255.0));
    for input in [InputType::F16, InputType::Bf16] {
        let halves = plan(&model, input);
        assert_eq!(halves.parameters(), as_f32.parameters());
        assert_eq!((halves.layers(), halves.input()), (as_f32.layers(), input));
        assert_eq!(halves.cost().input_bytes_per_row, 10);
    }

    let uniform = InputTransform { scale: PerInput::Uniform(0.5), offset: PerInput::Uniform(0.0) };
    let halved = plan(&model.clone().with_transform(uniform).unwrap(), InputType::F32);
    assert_eq!(halved.parameters(), as_f32.parameters());
    assert_eq!(halved.layers()[0].scale, 0.5);
}

#[test]
fn per_input_scales_and_offsets_fold_exactly() {
    let transform = InputTransform {
        scale: PerInput::Each(vec![2.0, 8.0, 4.0, 0.0, -8.0]),
        offset: PerInput::Each(vec![1.0, 0.0, 0.0, 0.0, 2.0]),
    };
    let model = Model::from_layers(vec![numbered(5, 6)]).unwrap();
    let model = model.with_transform(transform).unwrap();
    let plan = Plan::new(&model, &SMALL, &PlanOptions::default()).unwrap();
    let layer = &plan.layers()[0];
    assert_eq!(layer.scale, 8.0);
    let weights = &plan.parameters()[layer.weight.clone()];
    let columns: Vec<f32> = (0..5).map(|k| f32_at(weights, k * 4 + 1)).collect();
    let own = |k: usize| model.layers()[0].weight()[5 + k];
    assert_eq!(columns, [own(0) / 4.0, own(1), own(2) / 2.0, 0.0, -own(4)]);
    let bias = f32_at(&plan.parameters()[layer.bias.clone()], 1);
    assert_eq!(bias, -1.0 + own(0) + 2.0 * own(4));
}

#[test]
fn a_weight_past_half_precision_is_refused() {
    let weights = vec![1.0, 1e6];
    let layer = Dense::new(2, 1, weights, None, Activation::Identity).unwrap();
    let model = Model::from_layers(vec![layer]).unwrap();
    let plan =
        |precision| Plan::new(&model, &SMALL, &PlanOptions { precision, ..PlanOptions::default() });
    let error = plan(Precision::F16).unwrap_err();
    assert_eq!(error.to_string(), "layer 0: weight 1000000 does not fit f16; use f32 or bf16");
    assert!(plan(Precision::Bf16).is_ok() && plan(Precision::F32).is_ok());
}

/// Each output's largest weight is 127 of its steps, and none is further off than half a step.
#[test]
fn weights_of_int8_lie_where_the_layout_says() {
    let weights = common::model(&mut Random(9), &[7, 10], || Activation::Relu);
    let options = PlanOptions { precision: Precision::Int8, ..PlanOptions::default() };
    let plan = Plan::new(&weights, &SMALL, &options).unwrap();
    let (layer, block) = (&plan.layers()[0], plan.parameters());
    assert!(plan.to_string().contains("f32 rows, int8 weights"), "{plan}");
    for (output, row) in weights.layers()[0].weight().chunks(7).enumerate() {
        let step = f32_at(&block[layer.scales.clone()], output);
        let packed = |k: usize| {
            let element = (output / 4 * 7 + k) * 4 + output % 4;
            f32::from(block[layer.weight.clone()][element].cast_signed())
        };
        let largest = (0..7).map(|k| packed(k).abs()).fold(0.0, f32::max);
        assert_eq!(largest, 127.0);
        let off = row.iter().enumerate().map(|(k, weight)| (packed(k) * step - weight).abs());
        assert!(off.fold(0.0, f32::max) <= step * 0.5001, "output {output}");
    }
    // Padding is zeros.
    assert_eq!(f32_at(&block[layer.scales.clone()], 11), 0.0);
    let other = Plan::new(&weights, &SMALL, &PlanOptions::default()).unwrap();
    assert!(other.layers()[0].scales.is_empty());
}

/// Weights, biases and scales nearer to 0 than 2^-126 are 0, whatever makes them so small.
#[test]
fn no_packed_number_is_subnormal() {
    let layer = |weights, bias| Dense::new(4, 1, weights, bias, Activation::Identity).unwrap();
    let tiny = layer(vec![1e-38, 2e-38, -1e-45, 1.0], Some(vec![-1e-39]));
    let model = Model::from_layers(vec![tiny.clone()]).unwrap();
    let by_scale = InputTransform {
        scale: PerInput::Each(vec![1.0, 1e-3, 1.0, 1.0]),
        offset: PerInput::Uniform(0.0),
    };
    let scaled = Model::from_layers(vec![layer(vec![0.0, 1e-37, 0.0, 1.0], None)]).unwrap();
    let scaled = scaled.with_transform(by_scale).unwrap();
    for precision in [Precision::F32, Precision::Bf16] {
        let options = PlanOptions { precision, ..PlanOptions::default() };
        for (model, want) in [(&model, [0.0, 2e-38, 0.0, 1.0]), (&scaled, [0.0, 0.0, 0.0, 1.0])] {
            let plan = Plan::new(model, &SMALL, &options).unwrap();
            let (layer, bytes) = (&plan.layers()[0], plan.parameters());
            let size = precision.bytes();
            for (k, want) in want.into_iter().enumerate() {
                let at = layer.weight.start + k * 4 * size;
                let bits = &bytes[at..at + size];
                let got = match precision {
                    Precision::F32 => f32_at(bits, 0),
                    _ => fusewire::bf16::from_le_bytes([bits[0], bits[1]]).to_f32(),
                };
                assert!((got - want).abs() <= want / 256.0, "{precision:?} {k}: {got}");
                assert!(!got.is_subnormal());
            }
            assert_eq!(f32_at(&bytes[layer.bias.clone()], 0), 0.0);
        }
    }
    // A step of int8 would be subnormal, and its weights lost with it; they take a larger one.
    let small = Model::from_layers(vec![layer(vec![1e-36, -5e-37, 1e-39, 0.0], None)]).unwrap();
    let options = PlanOptions { precision: Precision::Int8, ..PlanOptions::default() };
    let plan = Plan::new(&small, &SMALL, &options).unwrap();
    let layer = &plan.layers()[0];
    assert_eq!(f32_at(&plan.parameters()[layer.scales.clone()], 0), f32::MIN_POSITIVE);
    let steps = |k: usize| plan.parameters()[layer.weight.start + k * 4].cast_signed();
    assert_eq!([0, 1, 2, 3].map(steps), [85, -43, 0, 0]);
}

/// A weight of 100 beside 63 of 0.25, which have less than half a step of int8 left: its input
/// keeps f32 weights, and no other output pays for it.
#[test]
fn an_outlier_of_int8_is_packed_beside_the_bytes() {
    let mut weights = [0.25; 64 * 3];
    weights[64 + 9] = 100.0;
    let layer = |weights| Dense::new(64, 3, weights, None, Activation::Identity).unwrap();
    let model = Model::from_layers(vec![layer(weights.to_vec())]).unwrap();
    let plan = |model: &Model, precision| {
        let options = PlanOptions { precision, ..PlanOptions::default() };
        Plan::new(model, &SMALL, &options).unwrap()
    };
    let int8 = plan(&model, Precision::Int8);
    let (layer_0, bytes) = (&int8.layers()[0], int8.parameters());
    assert_eq!(layer_0.exact_inputs, [9]);
    let exact = &bytes[layer_0.exact_weights.clone()];
    assert_eq!([0, 1, 2, 3].map(|output| f32_at(exact, output)), [0.25, 100.0, 0.25, 0.0]);
    let packed = |output: usize, k: usize| bytes[layer_0.weight.start + k * 4 + output] as i8;
    assert_eq!([packed(0, 9), packed(1, 9), packed(0, 8), packed(1, 8)], [0, 0, 127, 127]);
    assert!(layer_0.rounding.worst < 1e-6 && !layer_0.rounding.is_large());
    let text = int8.to_string();
    assert!(text.contains("layer 0 keeps the weights of 1 input in f32"), "{text}");

    // Outliers before too many inputs stay bytes, and the plan says what that costs.
    let many: Vec<f32> =
        (0..64 * 32).map(|at| if at % 64 == at / 64 { 1e3 } else { 0.25 }).collect();
    let many = Dense::new(64, 32, many, None, Activation::Identity).unwrap();
    let many = Model::from_layers(vec![many]).unwrap();
    let int8 = plan(&many, Precision::Int8);
    let planned = &int8.layers()[0];
    assert!(planned.exact_inputs.is_empty() && planned.exact_weights.is_empty());
    assert_eq!(planned.rounding.worst, 1.0);
    assert!(planned.rounding.is_large());
    let text = int8.to_string();
    assert!(text.contains("warning: in int8, layer 0 loses 100.0 %"), "{text}");
    // The other precisions keep most of them.
    assert_eq!(plan(&many, Precision::F32).layers()[0].rounding.worst, 0.0);
    for (precision, most) in [(Precision::F16, 3e-4), (Precision::Bf16, 2e-3)] {
        let random = common::model(&mut Random(8), &[64, 32], || Activation::Relu);
        let rounding = plan(&random, precision).layers()[0].rounding;
        assert!(0.0 < rounding.rms && rounding.rms < most && rounding.worst < 2.0 * most);
    }
    // What is too small for a half is gone.
    let small = Model::from_layers(vec![layer(vec![1e-9; 192])]).unwrap();
    assert_eq!(plan(&small, Precision::F16).layers()[0].rounding.rms, 1.0);
    assert!(plan(&small, Precision::F16).to_string().contains("warning: in f16"));
    // And so is what is subnormal, in any precision.
    let tiny = Model::from_layers(vec![layer(vec![1e-40; 192])]).unwrap();
    assert_eq!(plan(&tiny, Precision::F32).layers()[0].rounding.worst, 1.0);
}

/// Ordinary weights lose about what the steps of int8 are wide, and keep all of them.
#[test]
fn ordinary_weights_of_int8_have_no_outliers() {
    let options = PlanOptions { precision: Precision::Int8, ..PlanOptions::default() };
    let plan = Plan::new(&relu_model(&[784, 32, 32, 10]), &SMALL, &options).unwrap();
    for layer in plan.layers() {
        assert!(layer.exact_inputs.is_empty());
        let rounding = layer.rounding;
        assert!((0.002..0.01).contains(&rounding.rms) && !rounding.is_large(), "{rounding:?}");
    }
}

#[test]
fn what_does_not_fit_is_refused_or_made_smaller() {
    let model = relu_model(&[784, 2048, 10]);
    let tight = Limits { buffer_bytes_max: 8 << 20, ..SMALL };
    let plan = Plan::new(&model, &tight, &PlanOptions::default()).unwrap();
    assert_eq!(plan.rows_max(), (8 << 20) / (2048 * 4));
    let tighter = Limits { buffer_bytes_max: 1 << 20, ..SMALL };
    let error = Plan::new(&model, &tighter, &PlanOptions::default()).unwrap_err();
    assert!(matches!(error, PlanError::BufferTooLarge { .. }), "{error}");
    let none = PlanOptions { rows_max: 0, ..PlanOptions::default() };
    assert_eq!(Plan::new(&model, &SMALL, &none).unwrap_err(), PlanError::NoRows);
    let absurd = Limits { tile_rows_min: 9, tile_rows_max: 8, ..SMALL };
    let error = Plan::new(&model, &absurd, &PlanOptions::default()).unwrap_err();
    assert!(matches!(error, PlanError::Limits { .. }), "{error}");
}

#[test]
fn cost_counts_the_papers_model() {
    let model = relu_model(&[784, 32, 32, 32, 32, 10]);
    let plan = Plan::new(&model, &SMALL, &PlanOptions::default()).unwrap();
    let cost = plan.cost();
    assert_eq!(cost.flops_per_row, 56_960);
    assert_eq!((cost.input_bytes_per_row, cost.output_bytes_per_row), (3136, 40));
    let peak = Peak { flops_per_s: Some(1e12), bytes_per_s: 1e9, link: None };
    let roofline = cost.roofline(1000, &peak);
    assert!((roofline.compute_us.unwrap() - 56.96).abs() < 1e-9);
    assert_eq!(roofline.time_us, roofline.memory_us);
    let slow = cost.roofline(1000, &Peak { flops_per_s: Some(1e9), ..peak });
    assert_eq!(Some(slow.time_us), slow.compute_us);
    let unknown = cost.roofline(1000, &Peak { flops_per_s: None, ..peak });
    assert_eq!((unknown.time_us, unknown.compute_us), (roofline.memory_us, None));
    // What a device does in f32 bounds no sums of bytes.
    let options = PlanOptions { precision: Precision::Int8, ..PlanOptions::default() };
    let int8 = Plan::new(&model, &SMALL, &options).unwrap();
    assert_eq!(int8.cost().roofline(1000, &peak).compute_us, None);
    // A byte a weight, a scale and a bias an output, each span on 256 bytes; 12 outputs at the end.
    let weights = 784 * 32 + 3 * 32 * 32 + 32 * 12;
    assert_eq!(int8.cost().parameter_bytes, weights + (4 * 32 + 12) * 2 * 4);
    let link = Link { in_bytes_per_s: 3.136e9, out_bytes_per_s: 4e7 };
    assert!(cost.link_us(1000, &link).iter().all(|us| (us - 1000.0).abs() < 1e-9));
}
