//! Names to modules: which tensors are a layer, which a norm.

use std::collections::HashMap;

use super::{Format, LAYERS_MAX, Layout, ModelError, NamedTensor};

/// A layer or a norm, by the name that its tensors share.
#[derive(Debug)]
pub(super) struct Module {
    pub(super) name: String,
    pub(super) part: Part,
}

#[derive(Debug)]
pub(super) enum Part {
    Layer(Layer),
    Norm(Box<Norm>),
}

#[derive(Debug)]
pub(super) struct Layer {
    /// Of two axes.
    pub(super) weight: NamedTensor,
    /// Of one axis.
    pub(super) bias: Option<NamedTensor>,
}

/// A BatchNorm: `(x - mean) / sqrt(variance + epsilon) * scale + offset`, each of one axis and of
/// the same length.
#[derive(Debug)]
pub(super) struct Norm {
    pub(super) scale: Option<NamedTensor>,
    pub(super) offset: Option<NamedTensor>,
    pub(super) mean: NamedTensor,
    pub(super) variance: NamedTensor,
    pub(super) epsilon: f32,
}

impl Layer {
    /// Inputs and outputs, where the weight is stored in this layout.
    pub(super) fn widths(&self, layout: Layout) -> (usize, usize) {
        match (layout, &self.weight.dims[..]) {
            (Layout::OutputsFirst, [outputs, inputs])
            | (Layout::InputsFirst, [inputs, outputs]) => (*inputs, *outputs),
            // A layer's weight has two axes.
            _ => (0, 0),
        }
    }
}

impl Norm {
    pub(super) fn width(&self) -> usize {
        self.mean.dims.iter().product()
    }
}

/// What a tensor is in its module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Role {
    Weight,
    Bias,
    Scale,
    Offset,
    Mean,
    Variance,
    /// How many batches a norm has seen, which its result does not depend on.
    Counter,
}

/// Roles by the last part of a name: PyTorch's, then Keras's.
const ROLES: [(&str, Role); 11] = [
    ("weight", Role::Weight),
    ("bias", Role::Bias),
    ("running_mean", Role::Mean),
    ("running_var", Role::Variance),
    ("num_batches_tracked", Role::Counter),
    ("kernel", Role::Weight),
    ("gamma", Role::Scale),
    ("beta", Role::Offset),
    ("moving_mean", Role::Mean),
    ("moving_variance", Role::Variance),
    ("moving_var", Role::Variance),
];

/// Last parts of names that stand for a weight which is computed from several tensors, or for
/// layers of another kind.
const OTHERS: [(&str, &str); 12] = [
    ("weight_g", "a weight norm; remove it before saving"),
    ("weight_v", "a weight norm or spectral norm; remove it before saving"),
    ("weight_u", "a spectral norm; remove it before saving"),
    ("weight_orig", "a spectral norm or pruning; remove it before saving"),
    ("weight_mask", "pruning; make it permanent before saving"),
    ("original", "a parametrisation; remove it before saving"),
    ("original0", "a parametrisation; remove it before saving"),
    ("original1", "a parametrisation; remove it before saving"),
    ("in_proj_weight", "attention"),
    ("in_proj_bias", "attention"),
    ("embeddings", "an embedding"),
    ("depthwise_kernel", "a convolution"),
];

const EPSILON_TORCH: f32 = 1e-5;
const EPSILON_KERAS: f32 = 1e-3;

/// The modules of the tensors, in the order of each one's first tensor.
pub(super) fn group(format: Format, tensors: Vec<NamedTensor>) -> Result<Vec<Module>, ModelError> {
    let mut groups: Vec<Group> = Vec::new();
    let mut places = HashMap::new();
    for tensor in tensors {
        let (prefix, role) = placed(&tensor)?;
        let place = *places.entry(prefix.clone()).or_insert(groups.len());
        if place == groups.len() {
            groups.push(Group { format, name: prefix, parts: HashMap::new() });
        }
        groups[place].take(role, tensor)?;
    }
    let modules = groups.into_iter().map(Group::module).collect::<Result<Vec<_>, _>>()?;
    let layers = modules.iter().filter(|module| matches!(module.part, Part::Layer(_))).count();
    if layers == 0 {
        let expected = "an array of two axes, which is a layer's weight";
        return Err(ModelError::malformed(format, "tensors", expected, "none"));
    }
    if layers > LAYERS_MAX {
        return Err(ModelError::too_large("layers", LAYERS_MAX, layers));
    }
    Ok(modules)
}

/// The module that a tensor belongs to, and what it is there.
fn placed(tensor: &NamedTensor) -> Result<(String, Role), ModelError> {
    let name = tensor.name.strip_suffix(":0").unwrap_or(&tensor.name);
    let (prefix, last) = match name.rfind(['.', '/']) {
        Some(at) => (&name[..at], &name[at + 1..]),
        None => ("", name),
    };
    if let Some((_, role)) = ROLES.iter().find(|(known, _)| *known == last) {
        return Ok((prefix.to_owned(), *role));
    }
    let other = OTHERS.iter().find(|(known, _)| *known == last);
    let is_recurrent = last.starts_with("weight_ih") || last.starts_with("weight_hh");
    let reason = match other {
        Some((_, what)) => format!("it belongs to {what}"),
        None if is_recurrent => String::from("it belongs to a recurrent layer"),
        None if tensor.dims.len() == 2 => return Ok((name.to_owned(), Role::Weight)),
        None => format!(
            "an array of shape {:?} is no weight, and its name does not say whose bias it is; \
             names are P.weight and P.bias",
            tensor.dims
        ),
    };
    Err(ModelError::unsupported(&tensor.name, "tensor", reason))
}

/// The tensors of a module in the making.
struct Group {
    format: Format,
    name: String,
    parts: HashMap<Role, NamedTensor>,
}

impl Group {
    fn take(&mut self, role: Role, tensor: NamedTensor) -> Result<(), ModelError> {
        if role != Role::Counter {
            tensor.element(self.format)?;
        }
        let name = tensor.name.clone();
        match self.parts.insert(role, tensor) {
            Some(other) => {
                let expected = format!("one of '{name}' and '{}'", other.name);
                Err(ModelError::malformed(self.format, "names", expected, "both"))
            }
            None => Ok(()),
        }
    }

    fn module(mut self) -> Result<Module, ModelError> {
        let is_norm = [Role::Mean, Role::Variance, Role::Scale, Role::Offset]
            .iter()
            .any(|role| self.parts.contains_key(role));
        let part =
            if is_norm { Part::Norm(Box::new(self.norm()?)) } else { Part::Layer(self.layer()?) };
        let named = match &part {
            Part::Layer(layer) => &layer.weight.name,
            Part::Norm(norm) => &norm.mean.name,
        };
        // What stands at the top, under no module's name, goes by the tensor's own.
        let name = if self.name.is_empty() { named.clone() } else { self.name };
        Ok(Module { name, part })
    }

    fn layer(&mut self) -> Result<Layer, ModelError> {
        let Some(weight) = self.parts.remove(&Role::Weight) else {
            let rest = self.parts.values().next().map_or("", |tensor| &tensor.name).to_owned();
            let reason = "there is no weight beside it";
            return Err(ModelError::unsupported(rest, "tensor", reason));
        };
        match weight.dims.len() {
            2 => {}
            1 => {
                let reason = "a weight of one axis without running statistics is no layer and no \
                              BatchNorm, but a LayerNorm, a PReLU or the like";
                return Err(ModelError::unsupported(&weight.name, "tensor", reason));
            }
            _ => {
                let reason = format!(
                    "a weight of shape {:?} is a convolution's or the like; a layer's has two axes",
                    weight.dims
                );
                return Err(ModelError::unsupported(&weight.name, "tensor", reason));
            }
        }
        let bias = self.parts.remove(&Role::Bias);
        if let Some(bias) = &bias {
            self.check_dims(bias, None)?;
        }
        Ok(Layer { weight, bias })
    }

    fn norm(&mut self) -> Result<Norm, ModelError> {
        let (Some(mean), Some(variance)) =
            (self.parts.remove(&Role::Mean), self.parts.remove(&Role::Variance))
        else {
            let name = &self.name;
            let reason = "a norm without a running mean and variance depends on the batch, or is \
                          no BatchNorm";
            return Err(ModelError::unsupported(name, "norm", reason));
        };
        let is_keras = mean.name.contains("moving_mean");
        let [first, other] =
            if is_keras { [Role::Scale, Role::Weight] } else { [Role::Weight, Role::Scale] };
        let scale = self.parts.remove(&first).or_else(|| self.parts.remove(&other));
        let offset = self.parts.remove(&Role::Offset).or_else(|| self.parts.remove(&Role::Bias));
        self.parts.remove(&Role::Counter);
        if let Some(left) = self.parts.values().next() {
            let expected = "one scale and one offset of the norm";
            return Err(ModelError::malformed(self.format, &left.name, expected, "two"));
        }
        self.check_dims(&mean, None)?;
        for tensor in [Some(&variance), scale.as_ref(), offset.as_ref()].into_iter().flatten() {
            self.check_dims(tensor, Some(&mean))?;
        }
        let epsilon = if is_keras { EPSILON_KERAS } else { EPSILON_TORCH };
        Ok(Norm { scale, offset, mean, variance, epsilon })
    }

    /// Refuses a tensor of more or fewer axes than one, or of another length than `like` has.
    fn check_dims(
        &self,
        tensor: &NamedTensor,
        like: Option<&NamedTensor>,
    ) -> Result<(), ModelError> {
        let is_right = match like {
            Some(like) => tensor.dims == like.dims,
            None => tensor.dims.len() == 1,
        };
        if is_right {
            return Ok(());
        }
        let at = format!("tensor '{}'", tensor.name);
        let expected = like.map_or(String::from("one axis"), |like| format!("{:?}", like.dims));
        Err(ModelError::malformed(self.format, at, expected, format!("{:?}", tensor.dims)))
    }
}
