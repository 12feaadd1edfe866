//! Steps to layers: whatever is affine is folded, in double precision, into the layer it touches.

use super::affine::{Affine, PerFeature};
use super::attributes::{Attributes, rounds_to_half};
use super::draft::{Draft, Weight};
use super::front::Front;
use super::names::Graph;
use super::proto::NodeProto;
use super::reshape::reshape;
use super::shape::{InputShape, Row, View};
use super::tensor::Tensor;
use super::walk::{Kind, Step, input};
use super::{label, malformed, refuse};
use crate::model::format::numbers::element_count;
use crate::model::{
    Activation, Dense, Head, InputTransform, LAYERS_MAX, Model, ModelError, PerInput, U8Scale,
};

/// The model that the steps compute.
pub(super) fn build<'a>(
    graph: &Graph<'a>,
    steps: &[Step<'a>],
    view: View,
) -> Result<Model, ModelError> {
    let mut chain = Chain::new(graph, view)?;
    for step in steps {
        chain.apply(step)?;
    }
    chain.finish(steps.last().map(|step| step.node))
}

/// The most numbers in layers that were added because the file has none there. A few bytes of a
/// file ask for such a layer, and memory is to stay in proportion.
const ADDED_NUMBERS_MAX: usize = 1 << 22;

struct Chain<'g, 'a> {
    graph: &'g Graph<'a>,
    input: InputShape,
    row: Row,
    /// Affine steps since the last activation, for the next layer.
    before: Affine,
    transform: Affine,
    draft: Option<Draft<'a>>,
    layers: Vec<Dense>,
    head: Option<Head>,
    /// What stands before the first layer says of bytes.
    front: Front,
    folded_norms: usize,
    rounds: bool,
    added_layers: usize,
    added_numbers: usize,
}

impl<'g, 'a> Chain<'g, 'a> {
    fn new(graph: &'g Graph<'a>, view: View) -> Result<Chain<'g, 'a>, ModelError> {
        let input = InputShape::of(graph.input(), view)?;
        Ok(Chain {
            graph,
            row: input.row.clone(),
            input,
            before: Affine::default(),
            transform: Affine::default(),
            draft: None,
            layers: Vec::new(),
            head: None,
            front: Front::default(),
            folded_norms: 0,
            rounds: false,
            added_layers: 0,
            added_numbers: 0,
        })
    }

    fn apply(&mut self, step: &Step<'a>) -> Result<(), ModelError> {
        let node = step.node;
        if self.head.is_some() && !matches!(step.kind, Kind::Shape | Kind::Nothing) {
            return Err(refuse(node, "nothing can follow a softmax; it must be the last operator"));
        }
        match step.kind {
            Kind::Gemm => self.gemm(node),
            Kind::MatMul { weight } => self.product(node, weight),
            Kind::Multiply(constant) => self.scale(node, constant, |factor| factor),
            Kind::Divide(constant) => self.scale(node, constant, |divisor| 1.0 / divisor),
            Kind::Add(constant) => self.offset(node, constant, 1.0, |number| number),
            Kind::Subtract(constant) => self.offset(node, constant, 1.0, |number| -number),
            Kind::SubtractFrom(constant) => self.offset(node, constant, -1.0, |number| number),
            Kind::Negate => self.affine(uniform(-1.0, 0.0)),
            Kind::Scaler => self.scaler(node),
            Kind::Shares => self.shares(node),
            Kind::BatchNorm => self.batch_norm(node),
            Kind::Activation(activation) => self.activation(node, activation),
            Kind::Head(head) => self.head(node, head),
            Kind::Shape => self.shape(node),
            Kind::Nothing => {
                self.rounds |= rounds_to_half(node);
                Ok(())
            }
        }
    }

    fn gemm(&mut self, node: &'a NodeProto) -> Result<(), ModelError> {
        let known = ["alpha", "beta", "transA", "transB", "broadcast"];
        let attributes = Attributes::of(node, &known)?;
        if attributes.int("transA", 0)? != 0 {
            return Err(refuse(node, "transA exchanges rows and features"));
        }
        if self.row.rank() != Some(2) {
            return Err(refuse(node, "a row must have one axis here; flatten before the layer"));
        }
        let name = input(node, 1)?;
        let weight = self.decoded(node, name)?;
        if weight.dims.len() != 2 {
            return Err(wrong_weight(node, &weight));
        }
        let is_outputs_first = attributes.int("transB", 0)? != 0;
        let weight = if is_outputs_first { weight } else { weight.transposed() };
        let outputs = weight.dims[0];
        self.dense(node, weight, Some(outputs))?;
        let mut after = uniform(f64::from(attributes.float("alpha", 1.0)?), 0.0);
        if let Some(bias) = node.input.get(2).filter(|name| !name.is_empty()) {
            let beta = f64::from(attributes.float("beta", 1.0)?);
            after.offset = self.per_feature(node, bias)?.map(|number| beta * number);
        }
        self.affine(after)
    }

    fn product(&mut self, node: &'a NodeProto, weight: &'a str) -> Result<(), ModelError> {
        Attributes::of(node, &[])?;
        let mut weight = self.decoded(node, weight)?;
        // Axes of 1 before a matrix broadcast to the batch where that has as many axes.
        let rank = self.row.rank().unwrap_or(2);
        while weight.dims.len() > 2 && weight.dims.len() <= rank && weight.dims[0] == 1 {
            weight.dims.remove(0);
        }
        match weight.dims[..] {
            // A vector takes the last axis away.
            [inputs] => self.dense(node, Tensor { dims: vec![1, inputs], ..weight }, None),
            [_, outputs] => self.dense(node, weight.transposed(), Some(outputs)),
            _ => Err(wrong_weight(node, &weight)),
        }
    }

    fn decoded(&self, node: &'a NodeProto, name: &'a str) -> Result<Tensor, ModelError> {
        let constant = self
            .graph
            .constant(name)
            .ok_or_else(|| refuse(node, format!("'{name}' must be a constant")))?;
        self.graph.decode(constant)
    }

    /// Starts a layer of this weight, `[outputs, inputs]`; `axis` is what stands in the place of
    /// the axis that it takes up.
    fn dense(
        &mut self,
        node: &'a NodeProto,
        weight: Tensor,
        axis: Option<usize>,
    ) -> Result<(), ModelError> {
        let inputs = weight.dims[1];
        if !self.row.is_vector() {
            let reason = format!("a row of {} must be flattened before a layer", self.row);
            return Err(refuse(node, reason));
        }
        if self.row.width().is_some_and(|width| width != inputs) {
            let at = format!("node '{}'", label(node));
            return Err(malformed(at, format!("rows of {inputs} values"), &self.row));
        }
        self.row = self.row.after_layer(axis);
        self.start(Draft::new(node, Weight::Matrix(weight)))
    }

    /// Starts a layer that leaves every value as it is, for what has no layer of its own.
    fn identity(&mut self, node: &'a NodeProto) -> Result<(), ModelError> {
        let width = self.row.width().ok_or_else(|| {
            refuse(node, "no layer is before it, and the width of a row is not stated")
        })?;
        let numbers = width.saturating_mul(width).saturating_add(self.added_numbers);
        if numbers > ADDED_NUMBERS_MAX {
            let reason = format!(
                "a layer of {width} by {width} would have to be added for it, and layers that are \
                 added have at most {ADDED_NUMBERS_MAX} weights together"
            );
            return Err(refuse(node, reason));
        }
        self.added_numbers = numbers;
        self.added_layers += 1;
        self.start(Draft::new(node, Weight::Identity(width)))
    }

    fn start(&mut self, mut draft: Draft<'a>) -> Result<(), ModelError> {
        self.complete_draft()?;
        let before = std::mem::take(&mut self.before);
        if self.layers.is_empty() {
            self.transform = before;
        } else if !before.is_identity() {
            draft.take_up(&before);
        }
        self.draft = Some(draft);
        Ok(())
    }

    fn complete_draft(&mut self) -> Result<(), ModelError> {
        let Some(draft) = self.draft.take() else { return Ok(()) };
        if self.layers.len() == LAYERS_MAX {
            return Err(ModelError::too_large("layers", LAYERS_MAX, LAYERS_MAX + 1));
        }
        self.layers.push(draft.complete()?);
        Ok(())
    }

    fn scale(
        &mut self,
        node: &'a NodeProto,
        constant: &'a str,
        to_factor: impl Fn(f64) -> f64,
    ) -> Result<(), ModelError> {
        let scale = self.elementwise(node, constant)?.map(to_factor);
        self.affine(Affine { scale, offset: PerFeature::Uniform(0.0) })
    }

    fn offset(
        &mut self,
        node: &'a NodeProto,
        constant: &'a str,
        sign: f64,
        to_offset: impl Fn(f64) -> f64,
    ) -> Result<(), ModelError> {
        let offset = self.elementwise(node, constant)?.map(to_offset);
        self.affine(Affine { scale: PerFeature::Uniform(sign), offset })
    }

    /// The constant of an elementwise operator, spread over the features of a row.
    fn elementwise(
        &self,
        node: &'a NodeProto,
        constant: &'a str,
    ) -> Result<PerFeature, ModelError> {
        // Before opset 7 broadcasting was stated, and `axis` could align it from the left.
        let known: &[&str] = if self.graph.opset() < 7 { &["broadcast", "axis"] } else { &[] };
        let axis = Attributes::of(node, known)?.int("axis", -1)?;
        let is_aligned_right = axis == -1 || (axis == 1 && self.row.rank() == Some(2));
        if !is_aligned_right {
            return Err(refuse(node, format!("broadcasting from axis {axis} cannot be run")));
        }
        self.per_feature(node, constant)
    }

    /// A constant that broadcasts to a row without enlarging it, one number per feature.
    fn per_feature(&self, node: &'a NodeProto, name: &'a str) -> Result<PerFeature, ModelError> {
        let tensor = self.decoded(node, name)?;
        let rank = self.row.rank().unwrap_or(1);
        if let ([number], true) = (&tensor.values[..], tensor.dims.len() <= rank) {
            return Ok(PerFeature::Uniform(*number));
        }
        self.graph.spend(self.row.width().unwrap_or(0))?;
        let leading = self.row.leading();
        let spread = self.row.known().and_then(|row| spread(&tensor, leading, row));
        spread.map(PerFeature::Each).ok_or_else(|| {
            let (dims, row) = (&tensor.dims, &self.row);
            refuse(node, format!("a constant of shape {dims:?} does not fit a row of {row}"))
        })
    }

    /// Gives an affine step to the layer before it, or, past an activation, to the one after.
    fn affine(&mut self, step: Affine) -> Result<(), ModelError> {
        let is_front = self.is_front();
        let place = match &mut self.draft {
            Some(draft) if draft.activation.is_none() => &mut draft.after,
            _ => &mut self.before,
        };
        *place = place.then(&step);
        let work = place.len();
        if is_front {
            self.front.add(&step, &self.before);
        }
        self.graph.spend(work)
    }

    /// Whether no layer has begun.
    fn is_front(&self) -> bool {
        self.layers.is_empty() && self.draft.is_none()
    }

    fn scaler(&mut self, node: &'a NodeProto) -> Result<(), ModelError> {
        let attributes = Attributes::of(node, &["offset", "scale"])?;
        let per_feature = |name: &str, neutral: f64| match attributes.floats(name)? {
            [] => Ok(PerFeature::Uniform(neutral)),
            [number] => Ok(PerFeature::Uniform(f64::from(*number))),
            numbers if self.row.is_vector() && self.row.width() == Some(numbers.len()) => {
                Ok(PerFeature::Each(numbers.iter().copied().map(f64::from).collect()))
            }
            numbers => {
                let reason = format!("{} numbers do not fit a row of {}", numbers.len(), self.row);
                Err(refuse(node, reason))
            }
        };
        let offset = per_feature("offset", 0.0)?.map(|offset| -offset);
        let scale = per_feature("scale", 1.0)?;
        self.affine(Affine { scale: PerFeature::Uniform(1.0), offset })?;
        self.affine(Affine { scale, offset: PerFeature::Uniform(0.0) })
    }

    /// A layer of one input and two outputs, for what joins `1 - x` and `x`.
    fn shares(&mut self, node: &'a NodeProto) -> Result<(), ModelError> {
        let axis = Attributes::of(node, &["axis"])?.int("axis", 1)?;
        let is_last = self.row.axis(axis).is_some_and(|axis| Some(axis + 1) == self.row.rank());
        if !is_last || self.row.width() != Some(1) {
            return Err(refuse(node, format!("axis {axis} is not that of a row's one value")));
        }
        self.dense(node, Tensor { dims: vec![2, 1], values: vec![-1.0, 1.0] }, Some(2))?;
        let offset = PerFeature::Each(vec![1.0, 0.0]);
        self.affine(Affine { scale: PerFeature::Uniform(1.0), offset })
    }

    fn batch_norm(&mut self, node: &'a NodeProto) -> Result<(), ModelError> {
        let known = ["epsilon", "momentum", "spatial", "is_test", "training_mode"];
        let attributes = Attributes::of(node, &known)?;
        let trains = attributes.int("training_mode", 0)? != 0
            || (self.graph.opset() < 7 && attributes.int("is_test", 0)? == 0);
        if trains || node.output.iter().skip(1).any(|output| !output.is_empty()) {
            return Err(refuse(node, "it is in training mode; export it in evaluation mode"));
        }
        if attributes.int("spatial", 1)? != 1 {
            return Err(refuse(node, "statistics per position (spatial = 0) cannot be run"));
        }
        let epsilon = f64::from(attributes.float("epsilon", 1e-5)?);
        let [scale, bias, mean, variance] = [1, 2, 3, 4].map(|index| self.per_channel(node, index));
        let (scale, bias, mean, variance) = (scale?, bias?, mean?, variance?);
        let inverse = variance.iter().map(|v| 1.0 / (v + epsilon).sqrt()).collect::<Vec<f64>>();
        if self.is_front() {
            let offset = mean.iter().zip(&inverse).map(|(mean, inverse)| -mean * inverse).collect();
            let (scale, offset) = (PerFeature::Each(inverse), PerFeature::Each(offset));
            self.front.add_statistics(&self.before.then(&Affine { scale, offset }));
        }
        let scale: Vec<f64> =
            scale.iter().zip(&variance).map(|(scale, v)| scale / (v + epsilon).sqrt()).collect();
        let offset =
            bias.iter().zip(&mean).zip(&scale).map(|((b, mean), s)| b - mean * s).collect();
        self.folded_norms += 1;
        self.affine(Affine { scale: PerFeature::Each(scale), offset: PerFeature::Each(offset) })
    }

    /// A statistic with one number per channel, the first axis of a row, spread over its features.
    fn per_channel(&self, node: &'a NodeProto, index: usize) -> Result<Vec<f64>, ModelError> {
        let name = input(node, index)?;
        let tensor = self.decoded(node, name)?;
        if self.row.leading() != 1 {
            return Err(refuse(node, "its channels must be the axis after the batch"));
        }
        let (Some(row), Some(width)) = (self.row.known(), self.row.width()) else {
            return Err(refuse(node, "the width of a row is not stated"));
        };
        if row.first() != Some(&tensor.values.len()) || tensor.dims.len() != 1 {
            let dims = &tensor.dims;
            let reason = format!("'{name}' of shape {dims:?} does not fit a row of {}", self.row);
            return Err(refuse(node, reason));
        }
        self.graph.spend(width)?;
        let features = width / tensor.values.len().max(1);
        Ok(tensor.values.iter().flat_map(|number| std::iter::repeat_n(*number, features)).collect())
    }

    fn activation(
        &mut self,
        node: &'a NodeProto,
        activation: Activation,
    ) -> Result<(), ModelError> {
        if self.draft.as_ref().is_none_or(|draft| draft.activation.is_some()) {
            self.identity(node)?;
        }
        if let Some(draft) = &mut self.draft {
            draft.activation = Some(activation);
        }
        Ok(())
    }

    fn head(&mut self, node: &'a NodeProto, head: Head) -> Result<(), ModelError> {
        // Before opset 13 all axes from `axis` on are normalised together.
        let (default, joins) = if self.graph.opset() < 13 { (1, true) } else { (-1, false) };
        let axis = Attributes::of(node, &["axis"])?.int("axis", default)?;
        let last = self.row.rank().map_or(1, |rank| rank - 1);
        let over_all = match self.row.axis(axis) {
            Some(axis) if joins && axis == self.row.leading() => true,
            Some(axis) => axis == last && self.row.is_vector(),
            None => false,
        };
        if !over_all {
            return Err(refuse(node, format!("axis {axis} does not hold all classes of a row")));
        }
        self.head = Some(head);
        Ok(())
    }

    fn shape(&mut self, node: &'a NodeProto) -> Result<(), ModelError> {
        self.row = match node.op_type.as_str() {
            "Flatten" => {
                let axis = Attributes::of(node, &["axis"])?.int("axis", 1)?;
                self.row.flattened(node, axis)?
            }
            "Reshape" => reshape(self.graph, node, &self.row, self.input.view)?,
            "Transpose" => {
                let order = Attributes::of(node, &["perm"])?.ints("perm")?;
                self.row.transposed(node, order)?
            }
            op => {
                let axes = match Attributes::of(node, &["axes"])?.ints("axes")? {
                    Some(axes) => axes.to_vec(),
                    None => self
                        .graph
                        .integers(input(node, 1)?)
                        .ok_or_else(|| refuse(node, "the axes must be constant"))??,
                };
                self.row.with_axes(node, &axes, op == "Unsqueeze")?
            }
        };
        Ok(())
    }

    fn finish(mut self, last: Option<&'a NodeProto>) -> Result<Model, ModelError> {
        let Some(last) = last else {
            let reason = "it is the input itself, and nothing is computed";
            return Err(ModelError::unsupported(self.graph.output(), "output", reason));
        };
        if self.draft.is_none() || !self.before.is_identity() {
            self.identity(last)?;
        }
        self.complete_draft()?;
        let mut model = Model::from_layers(std::mem::take(&mut self.layers))?
            .with_transform(InputTransform {
                scale: per_input(&self.transform.scale),
                offset: per_input(&self.transform.offset),
            })?
            .with_head(self.head.unwrap_or_default());
        let scale = match self.front.u8_scale() {
            _ if self.input.bytes => U8Scale::File(1.0),
            Some(scale) => U8Scale::File(scale),
            None if model.transform().is_identity() => U8Scale::Assumed,
            None => U8Scale::Unknown,
        };
        model = model.with_u8_scale_from(scale)?;
        Ok(self.notes(scale).into_iter().fold(model, Model::with_note))
    }

    /// What was generalised, folded or assumed.
    fn notes(&self, u8_scale: U8Scale) -> Vec<String> {
        let mut notes = Vec::new();
        notes.extend(self.graph.notes());
        match (self.input.view, self.input.row.batch()) {
            (View::None, _) => {
                notes.push(String::from("the file has no batch axis: all of its input is one row"));
            }
            (_, Some(batch)) => {
                notes.push(format!("the batch, fixed at {batch} in the file, may be of any size"));
            }
            (_, None) => {}
        }
        if self.input.view == View::AllButLast {
            notes
                .push(String::from("a row is the last axis of the file's input; others are batch"));
        }
        if self.added_layers > 0 {
            notes.push(format!(
                "layers added where the file has none, with weights on the diagonal alone: {}; an \
                 infinite or NaN value spoils its whole row",
                self.added_layers
            ));
        }
        if self.rounds {
            let note = "values that the file rounds to half precision on their way are not rounded";
            notes.push(String::from(note));
        }
        if self.folded_norms > 0 {
            notes.push(format!("{} BatchNormalization folded into layers", self.folded_norms));
        }
        if !self.transform.is_identity() {
            notes.push(String::from("what stands before the first layer is the input transform"));
        }
        notes.extend(match u8_scale {
            U8Scale::File(1.0) => {
                Some(String::from("the file scales bytes itself: a byte counts as 0 to 255"))
            }
            U8Scale::File(_) => {
                Some(String::from("the file scales values from 0 to 1: a byte counts as those"))
            }
            U8Scale::Unknown => {
                Some(String::from("whether the file scales bytes or values from 0 to 1 is unknown"))
            }
            _ => None,
        });
        notes
    }
}

fn wrong_weight(node: &NodeProto, weight: &Tensor) -> ModelError {
    refuse(node, format!("the weight must have two axes, and it has {:?}", weight.dims))
}

fn uniform(scale: f64, offset: f64) -> Affine {
    Affine { scale: PerFeature::Uniform(scale), offset: PerFeature::Uniform(offset) }
}

fn per_input(numbers: &PerFeature) -> PerInput {
    match numbers {
        PerFeature::Uniform(number) => PerInput::Uniform(*number as f32),
        PerFeature::Each(numbers) => PerInput::Each(numbers.iter().map(|n| *n as f32).collect()),
    }
}

/// The tensor broadcast to a row behind so many axes of the batch, or `None` where it does not
/// broadcast, or would enlarge the row.
fn spread(tensor: &Tensor, leading: usize, row: &[usize]) -> Option<Vec<f64>> {
    let missing = (leading + row.len()).checked_sub(tensor.dims.len())?;
    let mut dims = vec![1; missing];
    dims.extend(&tensor.dims);
    let (batch, dims) = dims.split_at_checked(leading)?;
    let fits = batch.iter().all(|dim| *dim == 1)
        && dims.iter().zip(row).all(|(dim, axis)| *dim == 1 || dim == axis);
    if !fits {
        return None;
    }
    let width = element_count(row)?;
    let source = |feature: usize| {
        let (mut rest, mut at, mut stride) = (feature, 0, 1);
        for (dim, axis) in dims.iter().zip(row).rev() {
            at += if *dim == 1 { 0 } else { rest % axis * stride };
            rest /= axis;
            stride *= dim;
        }
        at
    };
    Some((0..width).map(|feature| tensor.values[source(feature)]).collect())
}
