//! What rounding took from a plan's weights, as `inspect` and `eval` report it.

use serde::Serialize;

use super::output;
use crate::plan::Plan;

/// What one layer's weights lost, each as a share of the weights' own root mean square.
#[derive(Serialize)]
pub(super) struct RoundingPart {
    layer: usize,
    /// Of all weights.
    rms: f64,
    /// Of the output that loses most, without its few largest weights.
    worst: f64,
    worst_output: usize,
    /// Inputs whose weights are kept in f32, because they hold outliers.
    exact_inputs: Vec<usize>,
    /// Whether that is more than weights usually lose.
    warning: bool,
}

/// One of each layer.
pub(super) fn of(plan: &Plan) -> Vec<RoundingPart> {
    let layers = plan.layers().iter().enumerate();
    let part = layers.map(|(layer, planned)| RoundingPart {
        layer,
        rms: planned.rounding.rms,
        worst: planned.rounding.worst,
        worst_output: planned.rounding.worst_output,
        exact_inputs: planned.exact_inputs.clone(),
        warning: planned.rounding.is_large(),
    });
    part.collect()
}

/// A line a layer; `None` where no weight lost anything.
pub(super) fn table(parts: &[RoundingPart]) -> Option<String> {
    if parts.iter().all(|part| part.rms == 0.0 && part.exact_inputs.is_empty()) {
        return None;
    }
    let percent = |share: f64| format!("{:.3}", share * 100.0);
    let row = |part: &RoundingPart| {
        vec![
            part.layer.to_string(),
            percent(part.rms),
            percent(part.worst),
            part.worst_output.to_string(),
            part.exact_inputs.len().to_string(),
            String::from(if part.warning { "warning" } else { "" }),
        ]
    };
    let header = ["layer", "lost by rounding, %", "at worst, %", "in output", "inputs in f32", ""];
    Some(output::table(&header, &[""], parts.iter().map(row).collect()))
}
