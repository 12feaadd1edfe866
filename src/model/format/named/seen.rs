//! Tensors by what their names say.

use super::modules::Module;
use super::words::{path, words};

/// What speaks against one chain: the names, and what they are said to be.
pub(super) type Clue<'n> = Option<(Vec<&'n str>, &'static str)>;

/// A module or another tensor, by what its name says.
#[derive(Debug)]
pub(super) struct Seen<'g> {
    pub(super) name: &'g str,
    /// The parts of the name between dots, without those that all names begin with.
    pub(super) path: Vec<&'g str>,
    pub(super) words: Vec<String>,
    /// The dimensions of a layer's weight.
    pub(super) dims: Option<&'g [usize]>,
    pub(super) has_bias: bool,
    pub(super) is_bare: bool,
}

impl<'g> Seen<'g> {
    /// What stands under a name; all names share its first `common` parts.
    pub(super) fn new(name: &'g str, module: Option<&'g Module>, common: usize) -> Seen<'g> {
        let path = path(name).split_off(common);
        let layer = module.and_then(Module::layer);
        Seen {
            name,
            words: words(&path.join(".")),
            path,
            dims: layer.map(|layer| &layer.weight.dims[..]),
            has_bias: layer.is_some_and(|layer| layer.bias.is_some()),
            is_bare: module.is_some_and(|module| module.is_bare),
        }
    }
}
