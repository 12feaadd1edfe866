//! Why a model cannot be planned.

use super::{Limits, Precision};

/// Why a valid model cannot be planned for a device with the options given.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A batch of no rows was asked for.
    #[error("rows_max: expected at least 1, got 0")]
    NoRows,
    /// Limits no device can have.
    #[error("limits of the device contradict themselves: {limits:?}")]
    Limits {
        /// The limits given.
        limits: Limits,
    },
    /// A block is larger than the device takes.
    #[error(
        "{what} takes {got_bytes} bytes, the largest buffer {limit_bytes}; use another backend"
    )]
    BufferTooLarge {
        /// What is too large.
        what: &'static str,
        /// The device's largest buffer, in bytes.
        limit_bytes: usize,
        /// What would be needed, in bytes.
        got_bytes: usize,
    },
    /// A weight that is finite in f32 and infinite in the chosen precision.
    #[error("layer {layer}: weight {value} does not fit {}; use f32 or bf16", precision.name())]
    PrecisionRange {
        /// The layer's index.
        layer: usize,
        /// The weight as it would be packed.
        value: f32,
        /// The precision chosen.
        precision: Precision,
    },
    /// Rows of bytes, and what a byte stands for does not follow from the model.
    #[error(
        "rows of bytes: the model's input transform may be meant for bytes or for values from 0 to \
         1; say which: 1 or 0.00392157 with --u8-scale, as u8_scale in a model.toml, or with \
         Model::with_u8_scale"
    )]
    U8ScaleUnknown,
    /// A layer of more inputs than sums of the chosen precision hold products.
    #[error(
        "layer {layer}: expected at most {inputs_max} inputs for {}, got {inputs}; use f32 or bf16",
        precision.name()
    )]
    PrecisionWidth {
        /// The layer's index.
        layer: usize,
        /// The most inputs there may be.
        inputs_max: usize,
        /// The layer's inputs.
        inputs: usize,
        /// The precision chosen.
        precision: Precision,
    },
}
