//! Weights as signed bytes.

/// The largest weight of [`Precision::Int8`](super::Precision::Int8).
pub(super) const INT8_MAX: i8 = 127;

/// What one step of an output's signed bytes stands for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// The step.
    pub(super) size: f32,
}

impl Step {
    /// The step of these weights.
    pub(super) fn of(weights: impl Iterator<Item = f32>) -> Step {
        let largest = weights.fold(0.0_f32, |most, weight| most.max(weight.abs()));
        let least = if largest == 0.0 { 0.0 } else { f32::MIN_POSITIVE };
        Step { size: (largest / f32::from(INT8_MAX)).max(least) }
    }

    /// How many steps a weight is; none where all weights are 0.
    pub(super) fn count(self, weight: f32) -> i8 {
        let most = f64::from(INT8_MAX);
        let steps = f64::from(weight) / f64::from(self.size);
        if self.size == 0.0 { 0 } else { steps.round_ties_even().clamp(-most, most) as i8 }
    }

    /// What the steps of a weight stand for.
    pub(super) fn rounded(self, weight: f32) -> f64 {
        f64::from(self.count(weight)) * f64::from(self.size)
    }
}
