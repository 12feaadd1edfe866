//! What turns the last layer's outputs into scores.

/// What is applied to the last layer's outputs to make the scores of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Head {
    /// Scores are the last layer's outputs as they are.
    #[default]
    Logits,
    /// Scores are probabilities: `exp(x - max) / sum(exp(x - max))`.
    Softmax,
    /// Scores are log-probabilities: `x - max - ln(sum(exp(x - max)))`.
    LogSoftmax,
}

impl Head {
    /// The head's name in files, plans and reports.
    pub fn name(self) -> &'static str {
        match self {
            Head::Logits => "logits",
            Head::Softmax => "softmax",
            Head::LogSoftmax => "log_softmax",
        }
    }

    /// The head with this [`name`](Head::name), if there is one.
    pub fn from_name(name: &str) -> Option<Head> {
        [Head::Logits, Head::Softmax, Head::LogSoftmax].into_iter().find(|h| h.name() == name)
    }

    /// Applies the head to one row in double precision: the definition the kernels approximate.
    pub fn apply(self, row: &mut [f64]) {
        if self == Head::Logits {
            return;
        }
        let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|score| (score - largest).exp()).sum();
        for score in row {
            *score -= largest;
            *score = if self == Head::Softmax { score.exp() / sum } else { *score - sum.ln() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_by_hand() {
        // e^0 + e^ln3 = 4, at an offset that would overflow without subtracting the largest.
        let row = [1000.0, 1000.0 + 3.0_f64.ln()];
        for (head, expected) in [
            (Head::Logits, row),
            (Head::Softmax, [0.25, 0.75]),
            (Head::LogSoftmax, [-4.0_f64.ln(), (0.75_f64).ln()]),
        ] {
            let mut got = row;
            head.apply(&mut got);
            let close = got.iter().zip(expected).all(|(got, want)| (got - want).abs() < 1e-12);
            assert!(close, "{head:?}: {got:?}, not {expected:?}");
        }
    }

    #[test]
    fn one_nan_spoils_the_row() {
        for head in [Head::Softmax, Head::LogSoftmax] {
            let mut row = [1.0, f64::NAN];
            head.apply(&mut row);
            assert!(row.iter().all(|score| score.is_nan()), "{head:?}");
        }
    }
}
