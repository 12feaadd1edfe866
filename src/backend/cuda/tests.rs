//! Blocks read back by an independent walk over what `kernels/stage.cuh` says, and the sizes of
//! launches by hand.

use std::sync::Arc;

use half::{bf16, f16};

use super::shape;
use super::stage::{Layout, Room};
use crate::model::{Activation, Dense, Head, Model};
use crate::plan::{InputType, Limits, Plan, PlanOptions, Precision};

const LIMITS: Limits = Limits {
    on_chip_bytes: 2 * 4 * 128 * 32,
    resident_bytes: 160 << 10,
    panel: 16,
    tile_rows_min: 32,
    tile_rows_max: 128,
    align_bytes: 16,
    buffer_bytes_max: 1 << 30,
};
/// Shared memory of a block on the largest devices, less some of a kernel's own.
const SHARED: usize = 232_448 - 1024;

/// A layer whose weight `[output, k]` is `output + k / 64`, and whose bias is `-output`.
fn numbered(inputs: usize, outputs: usize, activation: Activation) -> Dense {
    let weight = |index: usize| (index / inputs) as f32 + (index % inputs) as f32 / 64.0;
    let weights = (0..inputs * outputs).map(weight).collect();
    let bias = (0..outputs).map(|output| -(output as f32)).collect();
    Dense::new(inputs, outputs, weights, Some(bias), activation).unwrap()
}

fn plan(widths: &[usize], input: InputType, precision: Precision) -> Arc<Plan> {
    let layers = widths.windows(2).map(|pair| numbered(pair[0], pair[1], Activation::Relu));
    let model = Model::from_layers(layers.collect()).unwrap().with_head(Head::Softmax);
    Plan::new(&model, &LIMITS, &PlanOptions { input, precision, rows_max: 4096 }).unwrap()
}

fn word(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(block[at..at + 4].try_into().unwrap())
}

fn number(block: &[u8], at: usize, precision: Precision) -> f32 {
    let two = || block[at..at + 2].try_into().unwrap();
    match precision {
        Precision::F32 => f32::from_bits(word(block, at)),
        Precision::F16 => f16::from_le_bytes(two()).to_f32(),
        Precision::Bf16 => bf16::from_le_bytes(two()).to_f32(),
        Precision::Int8 => unreachable!("such plans are refused"),
    }
}

/// Where the weight `[output, k]` of a layer lies among its fragments, found the other way round
/// than they are written.
fn fragment_index(output: usize, k: usize, tiles: usize, is_first: bool) -> usize {
    let (g, within) = (output % 8, k % 16);
    let (t, i) = if is_first {
        (within / 4, within % 4)
    } else {
        (within % 8 / 2, within / 8 * 2 + within % 2)
    };
    ((k / 16 * tiles + output / 8) * 32 + 4 * g + t) * 4 + i
}

#[test]
fn blocks_hold_every_number_where_the_layout_says() {
    let same = [Precision::F32, Precision::F16, Precision::Bf16].map(|it| (InputType::U8, it, it));
    // No kernel multiplies halves of one kind by those of the other.
    let mixed = [
        (InputType::F16, Precision::Bf16, Precision::F32),
        (InputType::Bf16, Precision::F16, Precision::F32),
        (InputType::F16, Precision::F16, Precision::F16),
        (InputType::Bf16, Precision::F32, Precision::F32),
    ];
    for (input, precision, written) in same.into_iter().chain(mixed) {
        let plan = plan(&[37, 20, 9, 5], input, precision);
        assert_eq!(plan.stages().len(), 1);
        let stage = &plan.stages()[0];
        let layout = Layout::new(&plan, stage);
        let mut block = vec![0; layout.bytes];
        layout.write(&plan, stage, Some(Room { step: 3, depth: 2 }), &mut block);
        let header: Vec<u32> = (0..8).map(|index| word(&block, index * 4)).collect();
        let (row_bytes, piece) = (37 * input.bytes() as u32, input.bytes() as u32);
        assert_eq!(header, [3, layout.bytes as u32, row_bytes, 5, 1, 3, 2, piece]);
        assert!(layout.bytes.is_multiple_of(16));
        for (index, (inputs, outputs)) in
            [(37_usize, 20_usize), (20, 9), (9, 5)].into_iter().enumerate()
        {
            let words: Vec<u32> =
                (0..12).map(|at| word(&block, 32 + index * 48 + at * 4)).collect();
            let (chunks, tiles) = (inputs.div_ceil(16), outputs.div_ceil(16) * 2);
            assert_eq!(words[..4], [inputs, outputs, chunks, tiles].map(|size| size as u32));
            let is_first_of_bytes = index == 0 && input == InputType::U8;
            let scale = if is_first_of_bytes { 1.0 / 255.0 } else { 1.0_f32 };
            assert_eq!(words[6..], [1, 0, 0, scale.to_bits(), 0, 0]);
            let (weights, bias) = (words[4] as usize, words[5] as usize);
            assert!(weights.is_multiple_of(16) && bias.is_multiple_of(16));
            for output in 0..tiles * 8 {
                let is_real = output < outputs;
                let expected = if is_real { -(output as f32) } else { 0.0 };
                assert_eq!(number(&block, bias + output * 4, Precision::F32), expected);
                for k in 0..chunks * 16 {
                    let weight = output as f32 + k as f32 / 64.0;
                    let expected = if is_real && k < inputs { weight } else { 0.0 };
                    let rounded = match precision {
                        Precision::F32 => expected,
                        Precision::F16 => f16::from_f32(expected).to_f32(),
                        Precision::Bf16 => bf16::from_f32(expected).to_f32(),
                        Precision::Int8 => unreachable!("such plans are refused"),
                    };
                    let at = fragment_index(output, k, tiles, index == 0) * written.bytes();
                    assert_eq!(number(&block, weights + at, written), rounded, "{output}, {k}");
                }
            }
        }
    }
}

#[test]
fn activations_and_heads_have_their_numbers() {
    for (code, activation) in Activation::ALL.into_iter().enumerate() {
        let model = Model::from_layers(vec![numbered(5, 4, activation)]).unwrap();
        let model = model.with_head(Head::LogSoftmax);
        let plan = Plan::new(&model, &LIMITS, &PlanOptions::default()).unwrap();
        let blocks = plan.stages().iter().map(|stage| {
            let layout = Layout::new(&plan, stage);
            let mut block = vec![0; layout.bytes];
            layout.write(&plan, stage, None, &mut block);
            block
        });
        let blocks: Vec<_> = blocks.collect();
        let [first, second] = activation.parameters().map(f32::to_bits);
        let layer = [24, 28, 32].map(|at| word(&blocks[0], 32 + at));
        assert_eq!(layer, [code as u32, first, second], "{activation:?}");
        // The head is a stage of its own: no layers, rows of scores to rows of scores.
        let header: Vec<u32> = (0..8).map(|index| word(&blocks[1], index * 4)).collect();
        assert_eq!(header, [0, 32, 16, 4, 2, 0, 0, 16]);
    }
}

/// The paper's network on the largest device, in every type that it may come in.
#[test]
fn the_fused_kernel_has_as_many_rows_under_way_as_fit() {
    let widths = [784, 32, 32, 32, 32, 10];
    let parameters = 784 * 32 + 3 * 32 * 32 + 32 * 16;
    let around = 32 + 5 * 48 + (4 * 32 + 16) * 4;
    for (input, precision, step, depth) in [
        (InputType::U8, Precision::F16, 7, 3),
        (InputType::F32, Precision::F16, 3, 3),
        (InputType::U8, Precision::F32, 7, 3),
        (InputType::F32, Precision::F32, 3, 2),
        (InputType::F16, Precision::F16, 7, 3),
        (InputType::Bf16, Precision::F32, 7, 2),
    ] {
        let plan = plan(&widths, input, precision);
        let stage = &plan.stages()[0];
        let layout = Layout::new(&plan, stage);
        assert_eq!(layout.bytes, around + parameters * precision.bytes());
        let (shape, room) = shape::any(&plan, stage, layout.bytes, SHARED).unwrap();
        assert_eq!(room, Some(Room { step, depth }), "{input:?}, {precision:?}");
        assert_eq!(shape.name, format!("fused_mlp_{}_{}_4", input.name(), precision.name()));
        let rows = 8 * depth * 32 * step * 16 * input.bytes() + 8 * depth * 8;
        assert_eq!(shape.shared, layout.bytes + rows);
        assert_eq!([1, 256, 257, 1 << 20].map(|rows| shape.grid(rows, 132)[0]), [1, 1, 2, 132]);
    }
}

#[test]
fn layers_are_given_the_narrowest_kernel_that_holds_them() {
    for (width, tiles, rows) in [(16, 2, 256), (17, 4, 256), (64, 8, 256), (65, 16, 128)] {
        let plan = plan(&[20, width, 3], InputType::F32, Precision::Bf16);
        let (stage, bytes) = (&plan.stages()[0], Layout::new(&plan, &plan.stages()[0]).bytes);
        let (shape, room) = shape::any(&plan, stage, bytes, SHARED).unwrap();
        assert_eq!((shape.name, shape.rows), (format!("fused_mlp_f32_bf16_{tiles}"), rows));
        // Two chunks are one step of three, and no more room is asked for.
        assert_eq!(room, Some(Room { step: 3, depth: 3 }));
        let (few, row) = (shape::few(&plan, stage), 20 * 4);
        let widest = width.next_multiple_of(16);
        assert_eq!(few.name, "few_rows_f32_bf16_1");
        let shared = row + 4 * (2 * widest + 8 * 32);
        assert_eq!((few.shared, few.grid(16, 1)), (shared, [16, 1]));
        let old = shape::any_old(&plan, stage);
        assert_eq!(old.name, "few_rows_f32_bf16_8");
        let shared = 8 * (row + 4 * (2 * widest + 8 * 32));
        assert_eq!((old.shared, old.grid(17, 1)), (shared, [3, 1]));
    }
}

#[test]
fn a_wide_layer_and_a_head_are_launches_of_their_own() {
    let plan = plan(&[784, 300], InputType::U8, Precision::F32);
    let [dense, head] = plan.stages() else { panic!("two stages") };
    let (shape, room) = shape::any(&plan, dense, 0, SHARED).unwrap();
    assert_eq!((shape.name.as_str(), room), ("dense_u8_f32", None));
    // 304 outputs with their padding.
    assert_eq!((shape.grid(129, 1), shape.shared), ([2, 5], 49_152));
    let few = shape::few(&plan, dense);
    assert_eq!((few.grid(3, 1), few.shared), ([3, 10], 784 + 4 * 8 * 32));
    let (shape, _) = shape::any(&plan, head, 32, SHARED).unwrap();
    assert_eq!((shape.name.as_str(), shape.threads, shape.grid(5, 1)), ("head", 128, [2, 1]));
    assert_eq!(shape::few(&plan, head), shape);
}

#[test]
fn rows_are_read_in_the_largest_pieces_that_they_begin_on() {
    for (inputs, input, piece) in [
        (16, InputType::F32, 16),
        (10, InputType::F32, 8),
        (7, InputType::F32, 4),
        (8, InputType::F16, 16),
        (100, InputType::F16, 8),
        (10, InputType::Bf16, 4),
        (7, InputType::Bf16, 2),
        (10, InputType::U8, 2),
        (9, InputType::U8, 1),
    ] {
        let plan = plan(&[inputs, 5, 3], input, Precision::F32);
        let (stage, layout) = (&plan.stages()[0], Layout::new(&plan, &plan.stages()[0]));
        let mut block = vec![0; layout.bytes];
        layout.write(&plan, stage, None, &mut block);
        assert_eq!(word(&block, 28), piece, "{inputs} of {input:?}");
    }
}

#[test]
fn large_batches_leave_room_for_kernels_that_stay() {
    let of = |all| [false, true].map(|some_stay| shape::multiprocessors(all, some_stay));
    assert_eq!([of(132), of(40), of(4)], [[132, 128], [40, 38], [4, 3]]);
    assert_eq!([of(1), of(0)], [[1, 1], [1, 1]]);
}

/// What fusing counts as kept on chip is what is kept there: every fused stage fits, with the least
/// room for rows, on devices with much shared memory and with little.
#[test]
fn every_fused_stage_finds_room() {
    let mut seed = 1_u64;
    let mut below = |end: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % end as usize
    };
    let precisions = [Precision::F32, Precision::F16, Precision::Bf16];
    for (device, rows) in [(232_448, 64 << 10), (101_376, 40 << 10)] {
        let limits = Limits { resident_bytes: device - rows, ..LIMITS };
        let mut fused = 0;
        for _ in 0..300 {
            let widths: Vec<usize> = (0..2 + below(20)).map(|_| 1 + below(140)).collect();
            let layer = |pair: &[usize]| numbered(pair[0], pair[1], Activation::Relu);
            let model = Model::from_layers(widths.windows(2).map(layer).collect()).unwrap();
            let (input, precision) = (InputType::ALL[below(4)], precisions[below(3)]);
            let options = PlanOptions { input, precision, rows_max: 4096 };
            let plan = Plan::new(&model, &limits, &options).unwrap();
            for stage in plan.stages() {
                let bytes = Layout::new(&plan, stage).bytes;
                let shaped = shape::any(&plan, stage, bytes, device - 1024);
                assert!(shaped.is_some(), "{widths:?}, {precision:?}: {bytes} bytes");
                fused += usize::from(shape::fused_name(&plan, stage).is_some());
            }
        }
        assert!(fused > 100);
    }
}
