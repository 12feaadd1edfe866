//! What an order leaves out: a note, or a refusal where it belongs to what the order names.
//!
//! Every tensor of a file is part of the model, or is left out for a reason that a note gives. An
//! order that does not name a module says that it is another network's or head's. That is not
//! believed of tensors that change what a named layer computes: masks and adapters of its weight, a
//! norm that fits between named layers, a bias under another name.

use super::clues::says_adapter;
use super::modules::{Module, Other};
use super::words::{is_number, path, words};
use super::{Layout, ModelError, counted, listed};

/// Words of a tensor that changes another one's layer: `fc1_mask` beside `fc1`.
const CHANGES: [&str; 6] = ["mask", "masks", "lora", "adapter", "adapters", "delta"];

/// Words of arrays that are part of another one's layer, beside those.
const PARTS: [&str; 14] = [
    "scale", "scales", "zero", "point", "bias", "b", "gain", "shift", "alpha", "slope", "bn",
    "norm", "ln", "g",
];

/// The modules and other tensors that an order does not name.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) modules: Vec<Module>,
    pub(super) others: Vec<Other>,
}

/// The modules that an order names, in its order.
pub(super) struct Named<'m> {
    modules: Vec<&'m Module>,
    /// The values that the first layer reads and that each layer gives, in order.
    widths: Vec<usize>,
    /// Where the file holds the first of them, if it keeps the order of registration.
    first: Option<usize>,
}

/// Tensors that are left out together.
struct Item<'l> {
    /// The name that the tensors share, or the only one's.
    name: &'l str,
    words: Vec<String>,
    /// Names and dimensions.
    tensors: Vec<(&'l str, &'l [usize])>,
    place: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// A layer that could be read, or of another kind.
    Layer,
    /// The parameters of a norm, or of a module that is not read.
    Norm,
    /// Anything else.
    Array,
}

impl Left {
    /// A note that lists what is left out, where anything is.
    ///
    /// # Errors
    /// [`ModelError::Unsupported`] where a tensor belongs to what the order names.
    pub(super) fn note(&self, named: &Named<'_>) -> Result<Option<String>, ModelError> {
        let items = self.items();
        for item in &items {
            if let Some(reason) = named.reason_to_keep(item, &items) {
                return Err(ModelError::unsupported(item.name, "tensor", reason));
            }
        }
        let names: Vec<&str> =
            items.iter().flat_map(|item| &item.tensors).map(|(name, _)| *name).collect();
        Ok((!names.is_empty()).then(|| {
            let (count, names) = (counted(names.len(), "tensor"), listed(&names));
            format!("left out, because the order does not name them: {count}: {names}")
        }))
    }

    fn items(&self) -> Vec<Item<'_>> {
        self.modules.iter().map(Item::module).chain(self.others.iter().map(Item::other)).collect()
    }
}

impl<'l> Item<'l> {
    fn module(module: &'l Module) -> Item<'l> {
        let kind = match module.layer() {
            None => Kind::Norm,
            Some(layer) if module.is_bare && layer.weight.is_vector() => Kind::Array,
            Some(_) => Kind::Layer,
        };
        let tensors = module.tensors().map(|tensor| (&tensor.name[..], &tensor.dims[..]));
        let (words, place) = (words(&module.name), module.place);
        Item { name: &module.name, words, tensors: tensors.collect(), place, kind }
    }

    fn other(other: &'l Other) -> Item<'l> {
        let tensors = other.tensors.iter().map(|(name, dims)| (&name[..], &dims[..]));
        let tensors: Vec<_> = tensors.collect();
        let is_vector = |dims: &[usize]| matches!(dims, [] | [_] | [1, _] | [_, 1]);
        let kind = match other.is_module {
            _ if !tensors.iter().all(|(_, dims)| is_vector(dims)) => Kind::Layer,
            true => Kind::Norm,
            false => Kind::Array,
        };
        Item { name: &other.name, words: words(&other.name), tensors, place: other.place, kind }
    }
}

impl<'m> Named<'m> {
    pub(super) fn new(modules: Vec<&'m Module>, layout: Layout, is_registered: bool) -> Named<'m> {
        let layers = modules.iter().filter_map(|module| module.layer());
        let mut widths = Vec::new();
        for (inputs, outputs) in layers.map(|layer| layer.widths(layout)) {
            if widths.is_empty() {
                widths.push(inputs);
            }
            widths.push(outputs);
        }
        let first = modules.iter().map(|module| module.place).min();
        Named { modules, widths, first: first.filter(|_| is_registered) }
    }

    /// Why tensors may not be left out, if they may not.
    fn reason_to_keep(&self, item: &Item<'_>, left: &[Item<'_>]) -> Option<String> {
        if let Some(module) = self.modules.iter().find(|module| belongs_to(item, module)) {
            let name = &module.name;
            return Some(format!("it belongs to '{name}', which the order names"));
        }
        if self.is_adapted_by(item) {
            return Some(String::from(
                "it belongs to an adapter of what the order names; merge it before saving",
            ));
        }
        if item.kind == Kind::Layer || self.is_elsewhere(item, left) {
            return None;
        }
        let mut lengths = item.tensors.iter().filter_map(|(_, dims)| match dims {
            [n] | [1, n] | [n, 1] => Some(*n),
            _ => None,
        });
        match item.kind {
            Kind::Norm => lengths.find(|n| *n == 1 || self.widths.contains(n)).map(|n| {
                format!("its {n} values fit between the layers that the order names; name it, too")
            }),
            _ => lengths.find_map(|n| self.reason_to_keep_vector(n)),
        }
    }

    /// Why so many numbers may not be left out, if they may not.
    fn reason_to_keep_vector(&self, n: usize) -> Option<String> {
        let layers = self.modules.iter().filter_map(|module| Some((module, module.layer()?)));
        let mut layers = layers.zip(self.widths.iter().skip(1));
        let unbiased = layers.find(|((_, layer), width)| layer.bias.is_none() && **width == n);
        if let Some(((module, _), _)) = unbiased {
            let name = &module.name;
            return Some(format!("it may be the bias of '{name}', which has none"));
        }
        // As many numbers as the network reads or gives may be statistics of its data.
        let [inputs, hidden @ .., classes] = &self.widths[..] else { return None };
        (n != *inputs && n != *classes && hidden.contains(&n)).then(|| {
            format!("it may scale or shift the {n} values between layers that the order names")
        })
    }

    /// Whether an item is an adapter of a named module, or of all of them.
    fn is_adapted_by(&self, item: &Item<'_>) -> bool {
        let parts = path(item.name);
        let Some(at) = parts.iter().position(|part| says_adapter(part)) else { return false };
        self.modules.iter().any(|module| path(&module.name).starts_with(&parts[..at]))
    }

    /// Whether an item belongs to a layer that is left out, and not to those that are named: its
    /// name begins like that layer's alone, or has a word of that layer's alone, or it stands
    /// behind that layer and before all that are named.
    fn is_elsewhere(&self, item: &Item<'_>, left: &[Item<'_>]) -> bool {
        let own = path(item.name);
        let layers = || left.iter().filter(|item| item.kind == Kind::Layer);
        let is_named = |start: &[&str]| {
            self.modules.iter().any(|module| path(&module.name).starts_with(start))
        };
        let is_below = layers().any(|layer| {
            let other = path(layer.name);
            let both = own[..own.len() - 1].iter().zip(&other).take_while(|(a, b)| a == b).count();
            both > 0 && !is_named(&own[..both])
        });
        let named: Vec<String> =
            self.modules.iter().flat_map(|module| words(&module.name)).collect();
        let is_before = self.first.is_some_and(|first| {
            item.place < first && layers().any(|layer| layer.place < item.place)
        });
        is_below
            || is_before
            || item.words.iter().any(|word| {
                let is_layers = layers().any(|layer| layer.words.contains(word));
                is_layers && !is_number(word) && !named.contains(word)
            })
    }
}

/// Whether the item's name says that it is part of the module: it stands under the module's name,
/// or has that name and a word of what changes a layer.
fn belongs_to(item: &Item<'_>, module: &Module) -> bool {
    let is_under = |name: &str| {
        name.strip_prefix(&module.name[..]).is_some_and(|rest| rest.starts_with(['.', '/']))
    };
    if item.tensors.iter().any(|(name, _)| is_under(name)) {
        return true;
    }
    let own = words(&module.name);
    let rest = match (item.words.strip_prefix(&own[..]), item.words.strip_suffix(&own[..])) {
        (Some(rest), _) | (None, Some(rest)) if !own.is_empty() => rest,
        _ => return false,
    };
    let says = |word: &String| {
        CHANGES.contains(&&word[..]) || item.kind != Kind::Layer && PARTS.contains(&&word[..])
    };
    // One letter more, as LoRA's A and B have it, says nothing by itself.
    !rest.is_empty()
        && rest.iter().any(says)
        && rest.iter().all(|word| says(word) || word.len() == 1)
}
