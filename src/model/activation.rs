//! Activations: their names, their parameters, and the formula every kernel is tested against.

use super::ModelError;

/// What follows a layer's affine part, element by element.
///
/// The formulas are those of the ONNX operator specification (`Relu`, `LeakyRelu`, .., `Mish`), so
/// that a file's activation is never approximated by another. NaN stays NaN through every one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Activation {
    /// `x`
    #[default]
    Identity,
    /// `max(x, 0)`
    Relu,
    /// `x` if `x >= 0`, else `alpha * x`
    LeakyRelu {
        /// The slope below 0; ONNX's default is 0.01.
        alpha: f32,
    },
    /// `x` if `x >= 0`, else `alpha * (exp(x) - 1)`
    Elu {
        /// The negated limit far below 0; ONNX's default is 1.
        alpha: f32,
    },
    /// `gamma * x` if `x > 0`, else `gamma * alpha * (exp(x) - 1)`
    Selu {
        /// ONNX's default is 1.67326319217681884765625.
        alpha: f32,
        /// ONNX's default is 1.05070102214813232421875.
        gamma: f32,
    },
    /// `max(x, 0) + min(0, alpha * (exp(x / alpha) - 1))`
    Celu {
        /// The scale of the negative side; ONNX's default is 1.
        alpha: f32,
    },
    /// `x / 2 * (1 + erf(x / sqrt(2)))`
    Gelu,
    /// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))`
    GeluTanh,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// `min(max(alpha * x + beta, 0), 1)`
    HardSigmoid {
        /// The slope; ONNX's default is 0.2.
        alpha: f32,
        /// The value at 0; ONNX's default is 0.5.
        beta: f32,
    },
    /// `tanh(x)`
    Tanh,
    /// `ln(1 + exp(x))`
    Softplus,
    /// `x / (1 + |x|)`
    Softsign,
    /// `x / (1 + exp(-x))`, also called swish
    Silu,
    /// `x * min(max(x / 6 + 1 / 2, 0), 1)`
    HardSwish,
    /// `x * tanh(ln(1 + exp(x)))`
    Mish,
    /// `min(max(x, min), max)`; an infinite bound is no bound. `Clip { 0, 6 }` is relu6.
    Clip {
        /// The lower bound.
        min: f32,
        /// The upper bound.
        max: f32,
    },
}

impl Activation {
    /// Every activation once, the parametrised ones with ONNX's defaults.
    pub const ALL: [Activation; 17] = [
        Activation::Identity,
        Activation::Relu,
        Activation::LeakyRelu { alpha: 0.01 },
        Activation::Elu { alpha: 1.0 },
        Activation::Selu { alpha: 1.673_263_2, gamma: 1.050_701 },
        Activation::Celu { alpha: 1.0 },
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Sigmoid,
        Activation::HardSigmoid { alpha: 0.2, beta: 0.5 },
        Activation::Tanh,
        Activation::Softplus,
        Activation::Softsign,
        Activation::Silu,
        Activation::HardSwish,
        Activation::Mish,
        Activation::Clip { min: 0.0, max: 6.0 },
    ];

    /// The activation's name in files, plans and reports.
    pub fn name(self) -> &'static str {
        match self {
            Activation::Identity => "identity",
            Activation::Relu => "relu",
            Activation::LeakyRelu { .. } => "leaky_relu",
            Activation::Elu { .. } => "elu",
            Activation::Selu { .. } => "selu",
            Activation::Celu { .. } => "celu",
            Activation::Gelu => "gelu",
            Activation::GeluTanh => "gelu_tanh",
            Activation::Sigmoid => "sigmoid",
            Activation::HardSigmoid { .. } => "hard_sigmoid",
            Activation::Tanh => "tanh",
            Activation::Softplus => "softplus",
            Activation::Softsign => "softsign",
            Activation::Silu => "silu",
            Activation::HardSwish => "hard_swish",
            Activation::Mish => "mish",
            Activation::Clip { .. } => "clip",
        }
    }

    /// The activation of this [`name`](Activation::name) with ONNX's default parameters.
    pub fn from_name(name: &str) -> Option<Activation> {
        Activation::ALL.into_iter().find(|activation| activation.name() == name)
    }

    /// The two parameters in the order of the variant's fields; 0 where there is none.
    pub fn parameters(self) -> [f32; 2] {
        match self {
            Activation::LeakyRelu { alpha }
            | Activation::Elu { alpha }
            | Activation::Celu { alpha } => [alpha, 0.0],
            Activation::Selu { alpha, gamma } => [alpha, gamma],
            Activation::HardSigmoid { alpha, beta } => [alpha, beta],
            Activation::Clip { min, max } => [min, max],
            _ => [0.0, 0.0],
        }
    }

    /// The same activation with other [`parameters`](Activation::parameters).
    pub fn with_parameters(self, [first, second]: [f32; 2]) -> Activation {
        match self {
            Activation::LeakyRelu { .. } => Activation::LeakyRelu { alpha: first },
            Activation::Elu { .. } => Activation::Elu { alpha: first },
            Activation::Celu { .. } => Activation::Celu { alpha: first },
            Activation::Selu { .. } => Activation::Selu { alpha: first, gamma: second },
            Activation::HardSigmoid { .. } => {
                Activation::HardSigmoid { alpha: first, beta: second }
            }
            Activation::Clip { .. } => Activation::Clip { min: first, max: second },
            other => other,
        }
    }

    /// The activation of one value, in double precision: the definition the kernels approximate.
    pub fn apply(self, x: f64) -> f64 {
        match self {
            Activation::Identity => x,
            Activation::Relu => clip(x, 0.0, f64::INFINITY),
            Activation::LeakyRelu { alpha } if x < 0.0 => f64::from(alpha) * x,
            Activation::Elu { alpha } if x < 0.0 => f64::from(alpha) * x.exp_m1(),
            Activation::LeakyRelu { .. } | Activation::Elu { .. } => x,
            Activation::Selu { gamma, .. } if x > 0.0 => f64::from(gamma) * x,
            Activation::Selu { alpha, gamma } => f64::from(gamma) * f64::from(alpha) * x.exp_m1(),
            Activation::Celu { .. } if x > 0.0 => x,
            Activation::Celu { alpha } => f64::from(alpha) * (x / f64::from(alpha)).exp_m1(),
            Activation::Gelu => 0.5 * x * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2)),
            Activation::GeluTanh => {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
                0.5 * x * (1.0 + inner.tanh())
            }
            Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Activation::HardSigmoid { alpha, beta } => {
                clip(f64::from(alpha) * x + f64::from(beta), 0.0, 1.0)
            }
            Activation::Tanh => x.tanh(),
            Activation::Softplus => softplus(x),
            Activation::Softsign => x / (1.0 + x.abs()),
            Activation::Silu => x / (1.0 + (-x).exp()),
            Activation::HardSwish => x * clip(x / 6.0 + 0.5, 0.0, 1.0),
            Activation::Mish => x * softplus(x).tanh(),
            Activation::Clip { min, max } => clip(x, f64::from(min), f64::from(max)),
        }
    }

    /// How many of [`parameters`](Activation::parameters) the activation has.
    pub(super) fn parameter_count(self) -> usize {
        match self {
            Activation::LeakyRelu { .. } | Activation::Elu { .. } | Activation::Celu { .. } => 1,
            Activation::Selu { .. } | Activation::HardSigmoid { .. } | Activation::Clip { .. } => 2,
            _ => 0,
        }
    }

    pub(super) fn check(self) -> Result<(), ModelError> {
        let invalid = |expected| {
            Err(ModelError::invalid(
                format!("parameters of {}", self.name()),
                expected,
                format!("{:?}", self.parameters()),
            ))
        };
        match self {
            Activation::Clip { min, max } if min.is_nan() || max.is_nan() => invalid("no NaN"),
            Activation::Clip { .. } => Ok(()),
            Activation::Celu { alpha } if alpha <= 0.0 => invalid("alpha above 0"),
            _ if self.parameters().iter().any(|p| !p.is_finite()) => invalid("finite numbers"),
            _ => Ok(()),
        }
    }
}

/// `min(max(x, low), high)` that keeps NaN, and gives `high` where the bounds cross, as ONNX does.
fn clip(x: f64, low: f64, high: f64) -> f64 {
    let raised = if x < low { low } else { x };
    if raised > high { high } else { raised }
}

/// `ln(1 + exp(x))` that does not overflow.
fn softplus(x: f64) -> f64 {
    // For x > 0: ln(1 + e^x) = x + ln(1 + e^-x).
    clip(x, 0.0, f64::INFINITY) + (-x.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values worked out by hand, or with bc at 20 digits, from the ONNX formulas.
    #[test]
    fn formulas_are_those_of_onnx() {
        let table: [(Activation, f64, f64); 22] = [
            (Activation::Identity, -1.5, -1.5),
            (Activation::Relu, -1.5, 0.0),
            (Activation::Relu, 1.5, 1.5),
            (Activation::LeakyRelu { alpha: 0.25 }, -2.0, -0.5),
            (Activation::Elu { alpha: 2.0 }, -1.0, -1.2642411176571153),
            (Activation::Selu { alpha: 2.0, gamma: 3.0 }, -1.0, -3.792723352971346),
            (Activation::Selu { alpha: 2.0, gamma: 3.0 }, 1.0, 3.0),
            (Activation::Celu { alpha: 2.0 }, -2.0, -1.2642411176571153),
            (Activation::Gelu, 1.0, 0.8413447460685429),
            (Activation::GeluTanh, 1.0, 0.8411919906082768),
            (Activation::Sigmoid, 1.0, 0.7310585786300049),
            (Activation::HardSigmoid { alpha: 0.25, beta: 0.5 }, 1.0, 0.75),
            (Activation::HardSigmoid { alpha: 0.25, beta: 0.5 }, 9.0, 1.0),
            (Activation::Tanh, 1.0, 0.7615941559557649),
            (Activation::Softplus, 1.0, 1.3132616875182228),
            (Activation::Softplus, 1000.0, 1000.0),
            (Activation::Softsign, -3.0, -0.75),
            (Activation::Silu, 1.0, 0.7310585786300049),
            (Activation::HardSwish, 1.5, 1.125),
            (Activation::Mish, 1.0, 0.8650983882673103),
            (Activation::Clip { min: -1.0, max: 2.0 }, 5.0, 2.0),
            (Activation::Clip { min: -1.0, max: 2.0 }, -5.0, -1.0),
        ];
        for (activation, x, expected) in table {
            let got = activation.apply(x);
            assert!((got - expected).abs() < 1e-15, "{activation:?}({x}) = {got}, not {expected}");
        }
    }

    #[test]
    fn nan_stays_nan() {
        for activation in Activation::ALL {
            assert!(activation.apply(f64::NAN).is_nan(), "{activation:?}");
        }
    }

    #[test]
    fn names_and_parameters_round_trip() {
        for activation in Activation::ALL {
            let again = Activation::from_name(activation.name()).unwrap();
            assert_eq!(again.with_parameters(activation.parameters()), activation);
        }
    }
}
