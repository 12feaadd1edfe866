//! From a model to a program: a pure function, with no device types in it.
//!
//! [`Plan::new`] decides which layers share a launch (`fuse`), lays their parameters out as
//! kernels read them (`pack`) and knows what running them costs (`cost`). Same model, same
//! [`Limits`], same [`PlanOptions`]: same plan, byte for byte.

mod cost;
mod display;
mod entry;
mod error;
mod fuse;
mod limits;
mod outliers;
mod pack;
mod rounding;
mod steps;

use std::ops::Range;
use std::sync::Arc;

pub use cost::{Cost, Link, Peak, Roofline};
pub use error::PlanError;
pub use limits::Limits;
pub use rounding::Rounding;

use crate::model::{Activation, ContentHash, Head, Model};

/// The type of a row's values as the caller hands them over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InputType {
    /// 32-bit floats, the values the model was trained on.
    #[default]
    F32,
    /// Bytes; byte `b` stands for `b` times the value of [`Model::u8_scale`].
    U8,
    /// IEEE half precision, of the values the model was trained on.
    F16,
    /// bfloat16, of the values the model was trained on.
    Bf16,
}

impl InputType {
    /// All of them.
    pub const ALL: [InputType; 4] =
        [InputType::F32, InputType::F16, InputType::Bf16, InputType::U8];

    /// The type's name in options and reports.
    pub fn name(self) -> &'static str {
        match self {
            InputType::F32 => "f32",
            InputType::U8 => "u8",
            InputType::F16 => "f16",
            InputType::Bf16 => "bf16",
        }
    }

    /// Bytes of one value.
    pub fn bytes(self) -> usize {
        match self {
            InputType::F32 => 4,
            InputType::F16 | InputType::Bf16 => 2,
            InputType::U8 => 1,
        }
    }
}

/// What weights are rounded to. Products are summed in f32, but for those of [`Int8`], whose sums
/// are exact.
///
/// Numbers nearer to 0 than 2^-126, the smallest normal f32, count as 0: weights and biases on
/// every backend, rows and results on the CPU. A GPU may compute with such rows and results.
///
/// [`Int8`]: Precision::Int8
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Precision {
    /// 32-bit floats; scores within 1e-4 of double precision.
    #[default]
    F32,
    /// IEEE half precision: 11 significant bits.
    F16,
    /// bfloat16: 8 significant bits, the range of f32. On a processor with AVX512-BF16 what a layer
    /// reads is rounded so, too, rows and activations alike: to the nearest, ties to even, numbers
    /// below f32's normal ones to 0. Rows of bytes and of bf16 lose nothing by it. With AMX the
    /// products of 32 inputs are summed before they are added to the others.
    Bf16,
    /// Whole numbers from -127 to 127 times one f32 for each output. What a layer reads becomes
    /// bytes, too: rows of bytes as they are, everything else measured row by row, from the row's
    /// least value to its largest in 255 steps. On the CPU alone. Inputs that hold a weight far
    /// above the others keep weights of f32: see [`PlannedLayer::exact_inputs`].
    Int8,
}

impl Precision {
    /// All of them.
    pub const ALL: [Precision; 4] =
        [Precision::F32, Precision::F16, Precision::Bf16, Precision::Int8];

    /// The precision's name in options and reports.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::F16 => "f16",
            Precision::Bf16 => "bf16",
            Precision::Int8 => "int8",
        }
    }

    /// Bytes of one weight.
    pub fn bytes(self) -> usize {
        match self {
            Precision::F32 => 4,
            Precision::F16 | Precision::Bf16 => 2,
            Precision::Int8 => 1,
        }
    }

    /// What weights are laid out as where a device multiplies rows by weights of the rows' own type
    /// or of f32: the same, but for f16 beside bf16.
    pub(crate) fn beside(self, input: InputType) -> Precision {
        match (input, self) {
            (InputType::F16, Precision::Bf16) | (InputType::Bf16, Precision::F16) => Precision::F32,
            (_, precision) => precision,
        }
    }

    /// How far a score may be from the double-precision one, as a share of the largest score of its
    /// row or of 1, whichever is larger.
    ///
    /// What rounding weights does to a score adds up like noise over a layer's inputs and over
    /// layers. For weights spread evenly from `-w` to `w`, that of one layer is, as a share of its
    /// outputs' own spread: 0.01 % for `F16`, 0.1 % for `Bf16` (and half as much again where what
    /// layers read is rounded, too), and 0.6 % for `Int8`, which is 0.4 % from weights in steps of
    /// `w / 127` and as much from rows in 255 steps. Through a dozen layers and at five times the
    /// spread that is 10 %, the tolerance of `Int8`. It bounds what a sound kernel does to networks
    /// like those; whether a model of yours bears it, `fusewire eval` tells.
    pub fn tolerance(self) -> f64 {
        match self {
            Precision::F32 => 1e-4,
            Precision::F16 => 1e-2,
            Precision::Bf16 => 5e-2,
            Precision::Int8 => 1e-1,
        }
    }
}

/// What the caller chooses about a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlanOptions {
    /// The type of the rows that will be handed over.
    pub input: InputType,
    /// What weights are rounded to.
    pub precision: Precision,
    /// The largest batch wanted; [`Plan::rows_max`] is this, or less where the device is smaller.
    pub rows_max: usize,
}

impl Default for PlanOptions {
    fn default() -> PlanOptions {
        PlanOptions { input: InputType::F32, precision: Precision::F32, rows_max: 4096 }
    }
}

/// What one launch does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StageKind {
    /// Two or more narrow layers, chained through on-chip memory for one tile of rows at a time.
    Fused,
    /// One layer as a tiled matrix product, bias and activation in its epilogue.
    Dense,
    /// The head alone, where the last layer's launch cannot see whole rows.
    Head,
}

impl StageKind {
    /// The kind's name, which is also the stem of its kernel file.
    pub fn name(self) -> &'static str {
        match self {
            StageKind::Fused => "fused_mlp",
            StageKind::Dense => "dense",
            StageKind::Head => "head",
        }
    }
}

/// One launch.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// What the launch does.
    pub kind: StageKind,
    /// Which of [`Plan::layers`] it runs; empty for [`StageKind::Head`].
    pub layers: Range<usize>,
    /// Rows a tile holds on chip at once; 1 for [`StageKind::Head`].
    pub tile_rows: usize,
    /// On-chip memory one tile takes, in bytes; 0 for stages that keep no activations on chip.
    pub on_chip_bytes: usize,
    /// The head this launch applies to the rows it writes.
    pub head: Head,
}

/// One layer as kernels read it.
///
/// The kernel computes `activation(sum_k(x[k] * weight[k]) * scale + bias)`. Weights lie in panels
/// of [`Limits::panel`] outputs: weight `[output, k]` is element
/// `(output / panel * inputs + k) * panel + output % panel` of the weight span. Panels and biases
/// are padded with zeros to whole panels; `k` is not padded. Weights of [`Precision::Int8`] are
/// signed bytes; the weight of output `o` is one of them times `scales[o]`, and to the sum is added
/// that of `x[exact_inputs[i]] * exact_weights[i, o]`.
///
/// No packed number is subnormal: one nearer to 0 than 2^-126 is packed as 0.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedLayer {
    /// Values read.
    pub inputs: usize,
    /// Values written.
    pub outputs: usize,
    /// `outputs` rounded up to whole panels.
    pub outputs_padded: usize,
    /// What follows the affine part.
    pub activation: Activation,
    /// What the sum is multiplied by, in f32: the input normalisation for the first layer, else 1.
    pub scale: f32,
    /// Byte range of the packed weights in [`Plan::parameters`].
    pub weight: Range<usize>,
    /// Byte range of the `outputs_padded` f32 that [`Precision::Int8`] has one of for each output's
    /// weights, in [`Plan::parameters`]; empty at any other precision.
    pub scales: Range<usize>,
    /// Byte range of the `outputs_padded` f32 biases in [`Plan::parameters`].
    pub bias: Range<usize>,
    /// The inputs whose weights [`Precision::Int8`] keeps as f32, ascending: those that hold an
    /// outlier, beside which the other weights of its output would be lost. Their signed bytes are
    /// 0.
    pub exact_inputs: Vec<usize>,
    /// Byte range of their f32 weights in [`Plan::parameters`], `[exact input][outputs_padded]`.
    pub exact_weights: Range<usize>,
    /// What packing took from the weights.
    pub rounding: Rounding,
}

/// A fused program for one model on one kind of device: stages, packed parameters, cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    name: String,
    content_hash: ContentHash,
    options: PlanOptions,
    limits: Limits,
    head: Head,
    layers: Vec<PlannedLayer>,
    stages: Vec<Stage>,
    parameters: Vec<u8>,
    cost: Cost,
}

impl Plan {
    /// Plans `model` for a device with these `limits`.
    ///
    /// # Errors
    /// [`PlanError`]: the limits make no sense, a buffer would be larger than the device takes, a
    /// weight or a layer does not fit the chosen precision, or rows are bytes and what one stands
    /// for is [unknown](crate::model::U8Scale::Unknown).
    pub fn new(
        model: &Model,
        limits: &Limits,
        options: &PlanOptions,
    ) -> Result<Arc<Plan>, PlanError> {
        limits.check()?;
        let rows_max = limits.rows_that_fit(model, options)?;
        let (layers, parameters) = pack::pack(model, limits, options)?;
        let stages = fuse::fuse(&layers, model.head(), limits, options);
        let cost = cost::of(&layers, &stages, options);
        Ok(Arc::new(Plan {
            name: model.name().to_owned(),
            content_hash: model.content_hash(),
            options: PlanOptions { rows_max, ..*options },
            limits: *limits,
            head: model.head(),
            layers,
            stages,
            parameters,
            cost,
        }))
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The model's content hash.
    pub fn content_hash(&self) -> ContentHash {
        self.content_hash
    }

    /// The type of the rows the plan takes.
    pub fn input(&self) -> InputType {
        self.options.input
    }

    /// What weights are rounded to.
    pub fn precision(&self) -> Precision {
        self.options.precision
    }

    /// The most rows one submitted batch may hold.
    pub fn rows_max(&self) -> usize {
        self.options.rows_max
    }

    /// The limits the plan was made for.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Values in a row.
    pub fn inputs(&self) -> usize {
        self.layers[0].inputs
    }

    /// Scores of a row.
    pub fn classes(&self) -> usize {
        self.layers[self.layers.len() - 1].outputs
    }

    /// What turns the last layer's outputs into scores.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The layers, first to last.
    pub fn layers(&self) -> &[PlannedLayer] {
        &self.layers
    }

    /// The launches, first to last; together they run every layer once.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// The layers of one stage.
    pub fn layers_of(&self, stage: &Stage) -> &[PlannedLayer] {
        &self.layers[stage.layers.clone()]
    }

    /// The packed weights and biases of all layers, as a device uploads them: one block, each span
    /// aligned to [`Limits::align_bytes`], padding zeroed.
    pub fn parameters(&self) -> &[u8] {
        &self.parameters
    }

    /// What a batch costs.
    pub fn cost(&self) -> &Cost {
        &self.cost
    }

    /// The widest value a stage hands to the next through global memory, in elements a row; 0 for a
    /// plan of one stage.
    pub fn widest_between_stages(&self) -> usize {
        let last = self.stages.len() - 1;
        let written = |stage: &Stage| self.layers_of(stage).last().map_or(0, |layer| layer.outputs);
        self.stages[..last].iter().map(written).max().unwrap_or(0)
    }
}
