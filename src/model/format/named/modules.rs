//! Names to modules: which tensors are a layer, which a norm, and which are neither.

use std::collections::HashMap;

use super::pairs::Pairs;
use super::words::path;
use super::{Format, LAYERS_MAX, Layout, ModelError, NamedTensor};

/// All tensors of a file, by what they are.
#[derive(Debug)]
pub(super) struct Grouped {
    pub(super) modules: Vec<Module>,
    pub(super) others: Vec<Other>,
    /// How many tensors count batches, which scores do not depend on.
    pub(super) counters: usize,
}

/// A layer or a norm, by the name that its tensors share.
#[derive(Debug)]
pub(super) struct Module {
    pub(super) name: String,
    pub(super) part: Part,
    /// Which of the file's tensors is its first.
    pub(super) place: usize,
    /// Whether it is a matrix whose name does not say that it is a weight.
    pub(super) is_bare: bool,
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

/// Tensors that are neither a layer nor a norm that is read.
#[derive(Debug)]
pub(super) struct Other {
    /// The name that they share, or the only one's.
    pub(super) name: String,
    /// Their names and dimensions.
    pub(super) tensors: Vec<(String, Vec<usize>)>,
    /// Which of the file's tensors is the first of them.
    pub(super) place: usize,
    /// Whether they are named as the parameters of a module are.
    pub(super) is_module: bool,
    /// Why they cannot be part of a chain of dense layers.
    pub(super) reason: ModelError,
}

impl Module {
    /// The tensors that the module is made of.
    pub(super) fn tensors(&self) -> impl Iterator<Item = &NamedTensor> {
        let tensors = match &self.part {
            Part::Layer(layer) => [Some(&layer.weight), layer.bias.as_ref(), None, None],
            Part::Norm(norm) => {
                let [mean, variance] = [&norm.mean, &norm.variance].map(Some);
                [mean, variance, norm.scale.as_ref(), norm.offset.as_ref()]
            }
        };
        tensors.into_iter().flatten()
    }

    pub(super) fn layer(&self) -> Option<&Layer> {
        match &self.part {
            Part::Layer(layer) => Some(layer),
            Part::Norm(_) => None,
        }
    }
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
}

/// Roles by the last part of a name: PyTorch's, then Keras's.
const ROLES: [(&str, Role); 10] = [
    ("weight", Role::Weight),
    ("bias", Role::Bias),
    ("running_mean", Role::Mean),
    ("running_var", Role::Variance),
    ("kernel", Role::Weight),
    ("gamma", Role::Scale),
    ("beta", Role::Offset),
    ("moving_mean", Role::Mean),
    ("moving_variance", Role::Variance),
    ("moving_var", Role::Variance),
];

/// Last parts of names that stand for a weight which is computed from several tensors, or for
/// layers of another kind.
const OTHERS: [(&str, &str); 14] = [
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
    ("mask", "a masked layer; multiply its weight by the mask before saving"),
    ("depthwise_kernel", "a convolution"),
    ("recurrent_kernel", "a recurrent layer"),
];

/// Last parts of names that count: the batches that a norm has seen, the models that are averaged.
const COUNTERS: [&str; 2] = ["num_batches_tracked", "n_averaged"];

const EPSILON_TORCH: f32 = 1e-5;
const EPSILON_KERAS: f32 = 1e-3;

/// The modules of the tensors, in the order of each one's first tensor, and what else there is.
pub(super) fn group(format: Format, tensors: Vec<NamedTensor>) -> Result<Grouped, ModelError> {
    let pairs = Pairs::of(&tensors, |tensor| role(tensor).is_none());
    let mut grouped = Grouped { modules: Vec::new(), others: Vec::new(), counters: 0 };
    let mut groups: Vec<Group> = Vec::new();
    let mut places = HashMap::new();
    for (at, tensor) in tensors.into_iter().enumerate() {
        if is_counter(&tensor) {
            grouped.counters += 1;
            continue;
        }
        let Place { group, role, is_bare } = match placed(&tensor, &pairs) {
            Ok(place) => place,
            Err(reason) => {
                let (name, tensors) = (tensor.name.clone(), vec![(tensor.name, tensor.dims)]);
                grouped.others.push(Other { name, tensors, place: at, is_module: false, reason });
                continue;
            }
        };
        let place = *places.entry(group.clone()).or_insert(groups.len());
        if place == groups.len() {
            let parts = HashMap::new();
            groups.push(Group { format, name: group, place: at, is_bare, parts });
        }
        groups[place].take(role, tensor)?;
    }
    for group in groups {
        let (name, tensors, place) = (group.name.clone(), group.tensors(), group.place);
        match group.module() {
            Ok(module) => grouped.modules.push(module),
            Err(reason @ ModelError::Unsupported { .. }) => {
                grouped.others.push(Other { name, tensors, place, is_module: true, reason });
            }
            Err(error) => return Err(error),
        }
    }
    grouped.check_layers(format)?;
    Ok(grouped)
}

impl Grouped {
    fn check_layers(&mut self, format: Format) -> Result<(), ModelError> {
        match self.modules.iter().filter(|module| module.layer().is_some()).count() {
            0 if self.others.is_empty() => {
                let expected = "an array of two axes, which is a layer's weight";
                Err(ModelError::malformed(format, "tensors", expected, "none"))
            }
            0 => Err(self.others.swap_remove(0).reason),
            layers if layers > LAYERS_MAX => {
                Err(ModelError::too_large("layers", LAYERS_MAX, layers))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a tensor only counts, which no score depends on.
pub(super) fn is_counter(tensor: &NamedTensor) -> bool {
    let last = path(&tensor.name).pop().unwrap_or_default();
    COUNTERS.contains(&last) && matches!(tensor.dims[..], [] | [1])
}

/// Where a tensor belongs.
struct Place {
    /// The name of its module.
    group: String,
    role: Role,
    /// Whether its name says nothing about what it is.
    is_bare: bool,
}

/// A tensor's name without what TensorFlow puts behind it, cut before its last part.
fn split(tensor: &NamedTensor) -> (&str, &str) {
    let name = tensor.name.strip_suffix(":0").unwrap_or(&tensor.name);
    match name.rfind(['.', '/']) {
        Some(at) => (&name[..at], &name[at + 1..]),
        None => ("", name),
    }
}

/// What the last part of a name says that the tensor is.
fn role(tensor: &NamedTensor) -> Option<Role> {
    let (_, last) = split(tensor);
    ROLES.iter().find(|(known, _)| *known == last).map(|(_, role)| *role)
}

/// The module that a tensor belongs to, and what it is there.
fn placed(tensor: &NamedTensor, pairs: &Pairs) -> Result<Place, ModelError> {
    let (prefix, last) = split(tensor);
    if let Some(role) = role(tensor) {
        return Ok(Place { group: prefix.to_owned(), role, is_bare: false });
    }
    if let Some(weight) = pairs.weight_of(tensor) {
        return Ok(Place { group: weight.to_owned(), role: Role::Bias, is_bare: false });
    }
    let name = tensor.name.strip_suffix(":0").unwrap_or(&tensor.name);
    let other = OTHERS.iter().find(|(known, _)| *known == last);
    let is_recurrent = last.starts_with("weight_ih") || last.starts_with("weight_hh");
    let reason = match other {
        Some((_, what)) => format!("it belongs to {what}"),
        None if is_recurrent => String::from("it belongs to a recurrent layer"),
        None if tensor.dims.len() == 2 => {
            let is_bare = !pairs.is_weight(tensor);
            return Ok(Place { group: name.to_owned(), role: Role::Weight, is_bare });
        }
        None => format!(
            "an array of shape {:?} is no weight, and its name does not say whose bias it is; \
             names are P.weight and P.bias, and --order LAYERS leaves out what it does not name",
            tensor.dims
        ),
    };
    Err(ModelError::unsupported(&tensor.name, "tensor", reason))
}

/// The tensors of a module in the making.
struct Group {
    format: Format,
    name: String,
    place: usize,
    is_bare: bool,
    parts: HashMap<Role, NamedTensor>,
}

impl Group {
    fn take(&mut self, role: Role, tensor: NamedTensor) -> Result<(), ModelError> {
        let name = tensor.name.clone();
        match self.parts.insert(role, tensor) {
            Some(other) => {
                let expected = format!("one of '{name}' and '{}'", other.name);
                Err(ModelError::malformed(self.format, "names", expected, "both"))
            }
            None => Ok(()),
        }
    }

    /// Names and dimensions of the tensors, by name.
    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let tensor = |tensor: &NamedTensor| (tensor.name.clone(), tensor.dims.clone());
        let mut tensors: Vec<_> = self.parts.values().map(tensor).collect();
        tensors.sort();
        tensors
    }

    fn module(mut self) -> Result<Module, ModelError> {
        let mut tensors: Vec<&NamedTensor> = self.parts.values().collect();
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        for tensor in tensors {
            tensor.element(self.format)?;
        }
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
        Ok(Module { name, part, place: self.place, is_bare: self.is_bare })
    }

    fn layer(&mut self) -> Result<Layer, ModelError> {
        let Some(weight) = self.parts.remove(&Role::Weight) else {
            let rest = self.tensors().into_iter().next().map_or_else(String::new, |(name, _)| name);
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
        let mut bias = self.parts.remove(&Role::Bias);
        if let Some(bias) = &mut bias {
            bias.flatten_vector();
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
