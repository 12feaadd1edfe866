//! Which weights of int8 are kept as they are: a step is a share of an output's largest weight, so
//! that one weight far above the others leaves them no steps.

use super::entry::Entry;
use super::rounding::{Output, Rounding};
use super::steps::Step;
use crate::model::Dense;

/// Of so many inputs at most one is kept exact: with more of them it would be cheaper to compute
/// the layer at another precision.
const INPUTS_OF_EXACT: usize = 8;

/// The inputs that hold outliers, ascending. None where no output would lose more than weights
/// usually do, nor where there were too many of them.
pub(super) fn inputs(dense: &Dense, entry: &Entry<'_>) -> Vec<usize> {
    let mut is_exact = vec![false; dense.inputs()];
    for row in dense.weight().chunks_exact(dense.inputs()) {
        let weights = row.iter().enumerate().map(|(k, weight)| entry.weight(*weight, k));
        let step = Step::of(weights.clone());
        let output = Output::of(weights.clone().map(|weight| (weight, step.rounded(weight))));
        let share = output.share();
        if share.lost > Rounding::WARNING {
            for (is_exact, weight) in is_exact.iter_mut().zip(weights) {
                *is_exact |= output.is_left_out(share, weight);
            }
        }
    }
    let inputs = (0..dense.inputs()).filter(|input| is_exact[*input]);
    let inputs: Vec<usize> = inputs.collect();
    if inputs.len() * INPUTS_OF_EXACT <= dense.inputs() { inputs } else { Vec::new() }
}
