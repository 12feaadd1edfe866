//! Parameters as kernels read them: normalisation folded, panels padded, weights rounded.

use half::{bf16, f16};

use super::entry::{Entry, flushed};
use super::rounding::{Output, Rounding, Sum};
use super::steps::{INT8_MAX, Step};
use super::{Limits, PlanError, PlanOptions, PlannedLayer, Precision, outliers};
use crate::model::{Dense, Model};

/// Packs every layer of `model` into one block; see [`PlannedLayer`] for the layout.
pub(super) fn pack(
    model: &Model,
    limits: &Limits,
    options: &PlanOptions,
) -> Result<(Vec<PlannedLayer>, Vec<u8>), PlanError> {
    check_widths(model, options.precision)?;
    let (first, later) = (Entry::of(model, options.input)?, Entry::none());
    let entry = |index| if index == 0 { &first } else { &later };
    let mut layers = spans(model, limits, options.precision, entry);
    let total = layers.last().map_or(0, |layer| layer.bias.end.max(layer.exact_weights.end));
    if total > limits.buffer_bytes_max {
        return Err(PlanError::BufferTooLarge {
            what: "the packed parameters",
            limit_bytes: limits.buffer_bytes_max,
            got_bytes: total,
        });
    }
    let mut block = vec![0; total];
    for (index, (planned, dense)) in layers.iter_mut().zip(model.layers()).enumerate() {
        let entry = entry(index);
        planned.scale = entry.scale;
        pack_bias(planned, dense, entry, &mut block);
        planned.rounding = if options.precision == Precision::Int8 {
            pack_int8(planned, dense, entry, limits.panel, &mut block)
        } else {
            let precision = options.precision;
            pack_weight(planned, dense, entry, limits.panel, precision, &mut block)
                .map_err(|value| PlanError::PrecisionRange { layer: index, value, precision })?;
            rounding(dense, entry, precision)
        };
    }
    Ok((layers, block))
}

/// The most inputs of a layer of [`Precision::Int8`]: so many products of a byte by a weight fit an
/// i32 whatever they are.
const INT8_INPUTS_MAX: usize = i32::MAX as usize / (255 * INT8_MAX as usize);

fn check_widths(model: &Model, precision: Precision) -> Result<(), PlanError> {
    let inputs_max = if precision == Precision::Int8 { INT8_INPUTS_MAX } else { usize::MAX };
    let inputs = |dense: &Dense| dense.inputs();
    match model.layers().iter().map(inputs).enumerate().find(|(_, inputs)| *inputs > inputs_max) {
        None => Ok(()),
        Some((layer, inputs)) => {
            Err(PlanError::PrecisionWidth { layer, inputs_max, inputs, precision })
        }
    }
}

/// Where each layer's weights and biases lie.
fn spans<'a>(
    model: &'a Model,
    limits: &Limits,
    precision: Precision,
    entry: impl Fn(usize) -> &'a Entry<'a>,
) -> Vec<PlannedLayer> {
    let mut end = 0_usize;
    let mut span = |bytes: usize| {
        let start = end.next_multiple_of(limits.align_bytes);
        end = start + bytes.next_multiple_of(4);
        start..end
    };
    let plan_layer = |(index, dense): (usize, &Dense)| {
        let outputs_padded = dense.outputs().next_multiple_of(limits.panel);
        let exact_inputs = match precision {
            Precision::Int8 => outliers::inputs(dense, entry(index)),
            _ => Vec::new(),
        };
        PlannedLayer {
            inputs: dense.inputs(),
            outputs: dense.outputs(),
            outputs_padded,
            activation: dense.activation(),
            scale: 1.0,
            weight: span(dense.inputs() * outputs_padded * precision.bytes()),
            scales: match precision {
                Precision::Int8 => span(outputs_padded * 4),
                _ => 0..0,
            },
            bias: span(outputs_padded * 4),
            exact_weights: match exact_inputs.len() {
                0 => 0..0,
                inputs => span(inputs * outputs_padded * 4),
            },
            exact_inputs,
            rounding: Rounding::NONE,
        }
    };
    model.layers().iter().enumerate().map(plan_layer).collect()
}

fn pack_bias(planned: &PlannedLayer, dense: &Dense, entry: &Entry<'_>, block: &mut [u8]) {
    let rows = dense.weight().chunks_exact(dense.inputs());
    let span = block[planned.bias.clone()].chunks_exact_mut(4);
    for (output, (row, bytes)) in rows.zip(span).enumerate() {
        let own = dense.bias().map_or(0.0, |bias| f64::from(bias[output]));
        let shift = entry.offset.map_or(0.0, |offset| {
            let terms = row.iter().enumerate();
            terms.map(|(k, weight)| f64::from(*weight) * f64::from(offset.at(k))).sum()
        });
        bytes.copy_from_slice(&flushed((own + shift) as f32).to_le_bytes());
    }
}

/// Packs the weights; the error is a weight that is not finite once rounded.
fn pack_weight(
    planned: &PlannedLayer,
    dense: &Dense,
    entry: &Entry<'_>,
    panel: usize,
    precision: Precision,
    block: &mut [u8],
) -> Result<(), f32> {
    let size = precision.bytes();
    let span = &mut block[planned.weight.clone()];
    for (output, row) in dense.weight().chunks_exact(dense.inputs()).enumerate() {
        let first = output / panel * dense.inputs() * panel + output % panel;
        for (k, weight) in row.iter().enumerate() {
            let weight = entry.weight(*weight, k);
            let at = (first + k * panel) * size;
            write_rounded(weight, precision, &mut span[at..at + size])?;
        }
    }
    Ok(())
}

/// What the weights lose where they are not packed as bytes.
fn rounding(dense: &Dense, entry: &Entry<'_>, precision: Precision) -> Rounding {
    let is_exact = || !dense.weight().iter().any(|weight| weight.is_subnormal());
    if precision == Precision::F32 && entry.column.is_none() && is_exact() {
        return Rounding::NONE;
    }
    let mut sum = Sum::new();
    for row in dense.weight().chunks_exact(dense.inputs()) {
        sum.add(&Output::of(row.iter().enumerate().map(|(k, weight)| {
            let packed = rounded(entry.weight(*weight, k), precision);
            (entry.unflushed(*weight, k), f64::from(packed))
        })));
    }
    sum.rounding()
}

/// Packs the weights as signed bytes, and for each output what one step of them stands for: its
/// largest weight is 127 or -127, unless that would take a subnormal step. Weights of inputs that
/// are kept exact are packed beside them. Says what is lost.
fn pack_int8(
    planned: &PlannedLayer,
    dense: &Dense,
    entry: &Entry<'_>,
    panel: usize,
    block: &mut [u8],
) -> Rounding {
    let mut is_exact = vec![false; dense.inputs()];
    planned.exact_inputs.iter().for_each(|input| is_exact[*input] = true);
    let mut sum = Sum::new();
    for (output, row) in dense.weight().chunks_exact(dense.inputs()).enumerate() {
        let weights = || row.iter().enumerate().map(|(k, weight)| entry.weight(*weight, k));
        let step =
            Step::of(weights().zip(&is_exact).map(|(w, exact)| if *exact { 0.0 } else { w }));
        write_f32(block, planned.scales.start + output * 4, step.size);
        let first = planned.weight.start + output / panel * dense.inputs() * panel + output % panel;
        for (k, weight) in weights().enumerate().filter(|(k, _)| !is_exact[*k]) {
            block[first + k * panel] = step.count(weight).to_le_bytes()[0];
        }
        for (at, input) in planned.exact_inputs.iter().enumerate() {
            let element = at * planned.outputs_padded + output;
            let weight = entry.weight(row[*input], *input);
            write_f32(block, planned.exact_weights.start + element * 4, weight);
        }
        sum.add(&Output::of(row.iter().enumerate().map(|(k, weight)| {
            let packed = entry.weight(*weight, k);
            let packed = if is_exact[k] { f64::from(packed) } else { step.rounded(packed) };
            (entry.unflushed(*weight, k), packed)
        })));
    }
    sum.rounding()
}

fn write_f32(block: &mut [u8], at: usize, number: f32) {
    block[at..at + 4].copy_from_slice(&number.to_le_bytes());
}

/// A weight as a float of the precision.
fn rounded(weight: f32, precision: Precision) -> f32 {
    match precision {
        Precision::F16 => f16::from_f32(weight).to_f32(),
        Precision::Bf16 => bf16::from_f32(weight).to_f32(),
        _ => weight,
    }
}

fn write_rounded(weight: f32, precision: Precision, bytes: &mut [u8]) -> Result<(), f32> {
    let rounded = match precision {
        Precision::F32 => {
            bytes.copy_from_slice(&weight.to_le_bytes());
            weight
        }
        Precision::F16 => {
            let half = f16::from_f32(weight);
            bytes.copy_from_slice(&half.to_le_bytes());
            half.to_f32()
        }
        Precision::Bf16 => {
            let half = bf16::from_f32(weight);
            bytes.copy_from_slice(&half.to_le_bytes());
            half.to_f32()
        }
        Precision::Int8 => unreachable!("its weights are packed with their scales"),
    };
    if rounded.is_finite() { Ok(()) } else { Err(weight) }
}
