//! What a kernel has to compute, by the plan's own words.

use std::ops::Range;

use crate::backend::Rows;
use crate::plan::{Plan, PlannedLayer, Precision};

/// The scores of `rows`, one value at a time.
pub(super) fn interpret(plan: &Plan, rows: Rows<'_>) -> Vec<f32> {
    let values: Vec<f64> = numbers(rows).into_iter().map(|x| flushed(x.into())).collect();
    values.chunks_exact(plan.inputs()).flat_map(|row| interpret_row(plan, row)).collect()
}

/// The first value of each of `rows`.
pub(super) fn first_values(plan: &Plan, rows: Rows<'_>) -> Vec<f32> {
    numbers(rows).chunks(plan.inputs()).map(|row| row[0]).collect()
}

/// A number, or 0 where it is subnormal, as the oracle takes it.
fn flushed(number: f64) -> f64 {
    if number.abs() < f64::from(f32::MIN_POSITIVE) { 0.0 } else { number }
}

fn numbers(rows: Rows<'_>) -> Vec<f32> {
    match rows {
        Rows::F32(values) => values.to_vec(),
        Rows::U8(values) => values.iter().map(|byte| f32::from(*byte)).collect(),
        Rows::F16(values) => values.iter().map(|value| value.to_f32()).collect(),
        Rows::Bf16(values) => values.iter().map(|value| value.to_f32()).collect(),
    }
}

fn interpret_row(plan: &Plan, row: &[f64]) -> Vec<f32> {
    let mut x = row.to_vec();
    for layer in plan.layers() {
        x = (0..layer.outputs).map(|output| neuron(plan, layer, output, &x)).collect();
    }
    plan.head().apply(&mut x);
    x.into_iter().map(|score| score as f32).collect()
}

fn neuron(plan: &Plan, layer: &PlannedLayer, output: usize, x: &[f64]) -> f64 {
    let panel = plan.limits().panel;
    let first = output / panel * layer.inputs * panel + output % panel;
    let step = match plan.precision() {
        Precision::Int8 => f32_at(plan, &layer.scales, output),
        _ => 1.0,
    };
    let weight = |k: usize| weight_at(plan, layer, first + k * panel) * f64::from(step);
    let sum: f64 = x.iter().enumerate().map(|(k, x)| x * weight(k)).sum();
    let exact = layer.exact_inputs.iter().enumerate().map(|(at, k)| {
        x[*k] * f64::from(f32_at(plan, &layer.exact_weights, at * layer.outputs_padded + output))
    });
    let sum = sum + exact.sum::<f64>();
    let bias = f32_at(plan, &layer.bias, output);
    flushed(layer.activation.apply(sum * f64::from(layer.scale) + f64::from(bias)))
}

fn f32_at(plan: &Plan, span: &Range<usize>, index: usize) -> f32 {
    f32::from_le_bytes(read(&plan.parameters()[span.clone()], index * 4))
}

fn weight_at(plan: &Plan, layer: &PlannedLayer, element: usize) -> f64 {
    let bytes = &plan.parameters()[layer.weight.clone()];
    match plan.precision() {
        Precision::F32 => f32::from_le_bytes(read(bytes, element * 4)).into(),
        Precision::F16 => half::f16::from_le_bytes(read(bytes, element * 2)).into(),
        Precision::Bf16 => half::bf16::from_le_bytes(read(bytes, element * 2)).into(),
        Precision::Int8 => i8::from_le_bytes(read(bytes, element)).into(),
    }
}

fn read<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    std::array::from_fn(|index| bytes[at + index])
}
