//! Plans of [`Precision::Int8`](crate::plan::Precision): weights of signed bytes, rows of bytes,
//! sums of whole numbers.
//!
//! A tile of rows goes through all layers before the next does. What a layer writes is f32, through
//! its scale, bias and activation; between two layers each row is measured and becomes bytes again
//! (see [`dots`](super::dots)).

mod layer;
mod program;

pub(super) use layer::Int8Layer;
pub(super) use program::Int8Program;
