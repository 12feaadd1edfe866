//! Layers to a graph: each class of layer in ONNX's operators, or refused by its name.

use serde_json::Value;

use super::activations;
use super::config::{Config, Layer, Version, text};
use super::hdf5::Array;
use super::numbers::{Numbers as Listed, listed};
use super::order::shown;
use super::weights::Weights;
use crate::model::format::graph::{Builder, Numbers};
use crate::model::format::numbers::element_count;
use crate::model::{Ending, Model, ModelError};

/// What Keras never divides by less than, in `Normalization`.
const EPSILON: f64 = 1e-7;
/// The epsilon of `BatchNormalization` where it states none.
const BATCH_EPSILON: f64 = 1e-3;

/// The model that the layers compute; `fallback_name` names it where the configuration does not.
pub(super) fn build(
    config: Config,
    weights: Weights,
    version: Version,
    fallback_name: &str,
) -> Result<Model, ModelError> {
    let name = if config.name.is_empty() { fallback_name } else { &config.name };
    let builder = Builder::new(weights.format, name, config.row.as_deref());
    let value = builder.input();
    let mut chain = Chain { builder, value, row: config.row, weights, version, norms: 0 };
    for layer in &config.layers {
        chain.layer(layer)?;
    }
    let Chain { builder, value, norms, weights, .. } = chain;
    let mut model = builder.finish(&value)?;
    if let Some(note) = weights.left() {
        model = model.with_note(note);
    }
    Ok(match norms {
        0 => model,
        norms => model.with_note(format!("{norms} BatchNormalization folded into layers")),
    })
}

struct Chain {
    builder: Builder,
    /// What the last layer writes.
    value: String,
    /// The axes of a row there, where they are known.
    row: Option<Vec<usize>>,
    weights: Weights,
    version: Version,
    norms: usize,
}

impl Chain {
    fn layer(&mut self, layer: &Layer) -> Result<(), ModelError> {
        match layer.class.as_str() {
            "InputLayer" => check_input(layer),
            "Dropout"
            | "SpatialDropout1D"
            | "SpatialDropout2D"
            | "SpatialDropout3D"
            | "AlphaDropout"
            | "GaussianDropout"
            | "GaussianNoise"
            | "ActivityRegularization"
            | "Identity" => Ok(()),
            "Dense" => self.dense(layer),
            "BatchNormalization" => self.batch_norm(layer),
            "Flatten" => self.flatten(layer),
            "Reshape" => self.reshape(layer),
            "Rescaling" => self.rescaling(layer),
            "Normalization" => self.normalization(layer),
            "PReLU" => self.prelu(layer),
            class => {
                let config = &layer.config;
                match activations::layer(class, config, &layer.label, self.version)? {
                    Some(ending) => self.ending(layer, ending),
                    None => Err(refuse(layer, why_not(class))),
                }
            }
        }
    }

    fn node(&mut self, layer: &Layer, op: &str, constant: &str) {
        self.value = self.builder.node(&layer.label, op, &[&self.value, constant], vec![]);
    }

    fn dense(&mut self, layer: &Layer) -> Result<(), ModelError> {
        check_policy(layer)?;
        let kernel = self.weights.read(layer, "kernel", 0)?;
        let units = layer.config.get("units").and_then(Value::as_u64);
        let outputs = kernel.dims.last().copied();
        let states_units = units.and_then(|units| usize::try_from(units).ok()) == outputs;
        if kernel.dims.len() != 2 || !states_units {
            let expected = format!("two axes, the last of {units:?} units");
            return Err(self.malformed(layer, "kernel", &expected, &kernel.dims));
        }
        let kernel = self.constant(layer, "kernel", kernel);
        self.node(layer, "MatMul", &kernel);
        if let (Some(row), Some(outputs)) = (&mut self.row, outputs)
            && let Some(last) = row.last_mut()
        {
            *last = outputs;
        }
        if flag(layer, "use_bias", true) {
            let bias = self.weights.read(layer, "bias", 1)?;
            if bias.dims[..] != [outputs.unwrap_or(0)] {
                let expected = format!("one axis of {} values", outputs.unwrap_or(0));
                return Err(self.malformed(layer, "bias", &expected, &bias.dims));
            }
            let bias = self.constant(layer, "bias", bias);
            self.node(layer, "Add", &bias);
        }
        let activation = layer.config.get("activation");
        let ending = activations::of_value(activation, &layer.label, self.version)?;
        self.ending(layer, ending)
    }

    fn constant(&mut self, layer: &Layer, name: &str, array: Array) -> String {
        let name = format!("{}/{name}", layer.label);
        let numbers = Numbers::Stored(array.element, array.bytes);
        self.builder.constant(&name, &array.dims, numbers)
    }

    fn ending(&mut self, layer: &Layer, ending: Ending) -> Result<(), ModelError> {
        self.value = match ending {
            Ending::Activation(activation) => {
                self.builder.activation(&layer.label, &self.value, activation)
            }
            Ending::Head(head) => {
                if !self.is_last(layer.config.get("axis")) {
                    return Err(refuse(layer, "only the last axis can be run"));
                }
                self.builder.head(&layer.label, &self.value, head)
            }
        };
        Ok(())
    }

    /// Whether an axis, or a list of one, is the last; where none is stated, it is.
    fn is_last(&self, axis: Option<&Value>) -> bool {
        let axis = match axis {
            None => return true,
            Some(Value::Array(axes)) if axes.len() == 1 => axes[0].as_i64(),
            Some(axis) => axis.as_i64(),
        };
        let last = self.row.as_ref().and_then(|row| i64::try_from(row.len()).ok());
        axis == Some(-1) || (axis.is_some() && axis == last)
    }

    /// `gamma * (x - mean) / sqrt(variance + epsilon) + beta`, along the last axis.
    fn batch_norm(&mut self, layer: &Layer) -> Result<(), ModelError> {
        check_policy(layer)?;
        if !self.is_last(layer.config.get("axis")) {
            return Err(refuse(layer, "only statistics along the last axis can be run"));
        }
        let mut index = 0;
        let mut next = |name: &str| {
            let array = self.weights.read(layer, name, index);
            index += 1;
            array.map(|array| array.element.decode_f64(&array.bytes))
        };
        let gamma = flag(layer, "scale", true).then(|| next("gamma")).transpose()?;
        let beta = flag(layer, "center", true).then(|| next("beta")).transpose()?;
        let (mean, variance) = (next("moving_mean")?, next("moving_variance")?);
        let lengths = [gamma.as_ref(), beta.as_ref(), Some(&variance)];
        if lengths.into_iter().flatten().any(|numbers| numbers.len() != mean.len()) {
            let got = [variance.len()];
            let expected = format!("{} values in each array", mean.len());
            return Err(self.malformed(layer, "statistics", &expected, &got));
        }
        let epsilon = match layer.config.get("epsilon") {
            None => BATCH_EPSILON,
            Some(epsilon) => {
                epsilon.as_f64().ok_or_else(|| refuse(layer, "its epsilon is no number"))?
            }
        };
        self.norms += 1;
        let dims = [mean.len()];
        // One by one, so that statistics of the input are seen for what they are.
        self.add(layer, "mean", &dims, mean.iter().map(|mean| -mean).collect());
        let inverse = variance.iter().map(|variance| 1.0 / (variance + epsilon).sqrt());
        self.multiply(layer, "deviation", &dims, inverse.collect());
        if let Some(gamma) = gamma {
            self.multiply(layer, "scale", &dims, gamma);
        }
        if let Some(beta) = beta {
            self.add(layer, "offset", &dims, beta);
        }
        Ok(())
    }

    fn multiply(&mut self, layer: &Layer, name: &str, dims: &[usize], numbers: Vec<f64>) {
        self.elementwise(layer, "Mul", name, dims, numbers);
    }

    fn add(&mut self, layer: &Layer, name: &str, dims: &[usize], numbers: Vec<f64>) {
        self.elementwise(layer, "Add", name, dims, numbers);
    }

    fn elementwise(
        &mut self,
        layer: &Layer,
        op: &str,
        name: &str,
        dims: &[usize],
        numbers: Vec<f64>,
    ) {
        let name = format!("{}/{name}", layer.label);
        let constant = self.builder.constant(&name, dims, Numbers::Doubles(numbers));
        self.node(layer, op, &constant);
    }

    fn flatten(&mut self, layer: &Layer) -> Result<(), ModelError> {
        let is_flat = self.row.as_ref().is_some_and(|row| row.len() == 1);
        if text(&layer.config, "data_format") == "channels_first" && !is_flat {
            return Err(refuse(layer, "channels_first exchanges axes of a row"));
        }
        self.value = self.builder.node(&layer.label, "Flatten", &[&self.value], vec![]);
        self.row = self.row.as_deref().and_then(element_count).map(|width| vec![width]);
        Ok(())
    }

    fn reshape(&mut self, layer: &Layer) -> Result<(), ModelError> {
        let target = layer.config.get("target_shape").and_then(Value::as_array);
        let axes = target.into_iter().flatten().map(Value::as_i64);
        let axes = axes.map(|axis| axis.filter(|axis| *axis > 0 || *axis == -1));
        let Some(axes) = axes.collect::<Option<Vec<i64>>>().filter(|axes| !axes.is_empty()) else {
            return Err(refuse(layer, "its target shape is no list of sizes"));
        };
        let shape: Vec<i64> = std::iter::once(0).chain(axes.iter().copied()).collect();
        let name = format!("{}/target_shape", layer.label);
        let dims = [shape.len()];
        let shape = self.builder.constant(&name, &dims, Numbers::Integers(shape));
        self.node(layer, "Reshape", &shape);
        let width = self.row.as_deref().and_then(element_count);
        self.row = width.and_then(|width| reshaped(width, &axes));
        Ok(())
    }

    fn rescaling(&mut self, layer: &Layer) -> Result<(), ModelError> {
        let numbers = |key: &str, default: f64| match layer.config.get(key) {
            None => Ok(Listed::one(default)),
            Some(value) => listed(value)
                .ok_or_else(|| refuse(layer, &format!("its {key} is no number and no list"))),
        };
        let (scale, offset) = (numbers("scale", 1.0)?, numbers("offset", 0.0)?);
        self.multiply(layer, "scale", &scale.dims, scale.values);
        self.add(layer, "offset", &offset.dims, offset.values);
        Ok(())
    }

    /// `(x - mean) / max(sqrt(variance), epsilon)`, or the other way round.
    fn normalization(&mut self, layer: &Layer) -> Result<(), ModelError> {
        let stated = |key: &str| layer.config.get(key).filter(|value| !value.is_null());
        let (mean, variance) = match (stated("mean"), stated("variance")) {
            (Some(mean), Some(variance)) => {
                let pair = listed(mean).zip(listed(variance));
                pair.ok_or_else(|| refuse(layer, "its mean or variance is no list of numbers"))?
            }
            _ => {
                let mean = self.weights.read(layer, "mean", 0)?;
                let variance = self.weights.read(layer, "variance", 1)?;
                (Listed::of(&mean), Listed::of(&variance))
            }
        };
        let dims = self.statistics(layer, mean.values.len())?;
        let (mean, variance) = (mean.along(&dims), variance.along(&dims));
        let (Some(mean), Some(variance)) = (mean, variance) else {
            return Err(refuse(layer, "its statistics do not fit its axes"));
        };
        let deviation = variance.values.iter().map(|variance| variance.sqrt().max(EPSILON));
        if flag(layer, "invert", false) {
            self.multiply(layer, "deviation", &variance.dims, deviation.collect());
            self.add(layer, "mean", &mean.dims, mean.values);
            return Ok(());
        }
        let factor = deviation.map(|deviation| 1.0 / deviation).collect();
        self.add(layer, "mean", &mean.dims, mean.values.iter().map(|mean| -mean).collect());
        self.multiply(layer, "deviation", &variance.dims, factor);
        Ok(())
    }

    /// The axes of `count` statistics as they broadcast to a row: of one number along every axis
    /// but those they are kept along.
    fn statistics(&self, layer: &Layer, count: usize) -> Result<Vec<usize>, ModelError> {
        let kept: Vec<i64> = match layer.config.get("axis") {
            None => vec![-1],
            Some(Value::Null) => Vec::new(),
            Some(Value::Array(axes)) => axes.iter().filter_map(Value::as_i64).collect(),
            Some(axis) => axis.as_i64().into_iter().collect(),
        };
        let Some(row) = &self.row else {
            return match kept[..] {
                [] | [-1] => Ok(vec![count]),
                _ => Err(refuse(layer, "the shape of a row is not stated")),
            };
        };
        let mut dims = vec![1; row.len()];
        for axis in kept {
            let rank = row.len() as i64 + 1;
            let place = if axis < 0 { axis.saturating_add(rank) } else { axis };
            // The batch is axis 0.
            let place = usize::try_from(place).ok().and_then(|place| place.checked_sub(1));
            match place.and_then(|place| Some((dims.get_mut(place)?, row.get(place)?))) {
                Some((dim, size)) => *dim = *size,
                None => return Err(refuse(layer, "its axis is the batch, or outside a row")),
            }
        }
        Ok(dims)
    }

    /// With one slope for every feature, `PReLU` is `LeakyReLU`.
    fn prelu(&mut self, layer: &Layer) -> Result<(), ModelError> {
        let slope = self.weights.read(layer, "alpha", 0)?;
        match slope.element.decode_f64(&slope.bytes)[..] {
            [slope] => {
                let slope = self.builder.scalar(slope);
                self.node(layer, "PRelu", &slope);
                Ok(())
            }
            _ => Err(refuse(layer, "only one slope for all features can be run")),
        }
    }

    fn malformed(&self, layer: &Layer, what: &str, expected: &str, dims: &[usize]) -> ModelError {
        let at = format!("layer '{}', {what}", layer.label);
        ModelError::malformed(self.weights.format, at, expected, format!("{dims:?}"))
    }
}

fn refuse(layer: &Layer, reason: &str) -> ModelError {
    ModelError::unsupported(&layer.label, &layer.class, reason)
}

fn flag(layer: &Layer, key: &str, default: bool) -> bool {
    layer.config.get(key).and_then(Value::as_bool).unwrap_or(default)
}

/// The row after a reshape to axes of which one may be -1.
fn reshaped(width: usize, axes: &[i64]) -> Option<Vec<usize>> {
    let mut stated = axes.iter().filter_map(|axis| usize::try_from(*axis).ok());
    let stated = stated.try_fold(1_usize, |product, axis| product.checked_mul(axis))?;
    let rest = width.checked_div(stated)?;
    Some(axes.iter().map(|axis| usize::try_from(*axis).unwrap_or(rest)).collect())
}

/// Rows are floats: what else an input may be would be rounded, or looked up.
fn check_input(layer: &Layer) -> Result<(), ModelError> {
    let dtype = text(&layer.config, "dtype");
    if !dtype.is_empty() && !dtype.contains("float") {
        return Err(refuse(layer, &format!("rows must be floats, and these are {}", shown(dtype))));
    }
    if flag(layer, "sparse", false) || flag(layer, "ragged", false) {
        return Err(refuse(layer, "rows must be dense"));
    }
    Ok(())
}

/// Refuses layers whose weights are quantised: their arrays are others.
fn check_policy(layer: &Layer) -> Result<(), ModelError> {
    let policy = match layer.config.get("dtype") {
        Some(Value::Object(policy)) => match policy.get("config") {
            Some(Value::Object(config)) => text(config, "name"),
            _ => "",
        },
        Some(Value::String(policy)) => policy,
        _ => "",
    };
    let stated = |key: &str| layer.config.get(key).is_some_and(|value| !value.is_null());
    let is_float = policy.is_empty() || policy.ends_with("float16") || policy.ends_with("float32");
    let is_float = is_float || policy == "float64";
    if policy.contains("_from_") || !is_float || stated("quantization_config") {
        return Err(refuse(layer, "its weights are quantised; save the model before that"));
    }
    Ok(())
}

/// Why a class of layer is no part of a dense chain, and what would help.
fn why_not(class: &str) -> &'static str {
    match class {
        "Lambda" => "it holds code, which is not executed; use layers that say what they compute",
        "TFOpLambda" | "SlicingOpLambda" | "TensorFlowOpLayer" => {
            "operators outside layers cannot be run; use layers that say what they compute"
        }
        "LayerNormalization" | "GroupNormalization" | "UnitNormalization" | "RMSNormalization" => {
            "it normalises by each row's own statistics, which cannot be folded into a layer"
        }
        "Permute" => "axes of a row cannot be exchanged; flatten in the order of the weights",
        "LSTM" | "GRU" | "SimpleRNN" | "Bidirectional" | "RNN" => {
            "recurrent layers are not run, only fully-connected ones"
        }
        class if class.contains("Conv") || class.contains("Pooling") => {
            "convolutions and pooling are not run, only fully-connected layers"
        }
        _ => "it is no part of a chain of fully-connected layers",
    }
}
