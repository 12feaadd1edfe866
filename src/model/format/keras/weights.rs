//! Where the arrays of a layer stand, in either container.

use std::collections::BTreeSet;

use super::config::Layer;
use super::hdf5::{Array, Arrays, Hdf5};
use crate::model::{Format, ModelError};

/// The most paths that are looked at in all. A layer looks at those of its outermost layer, which
/// are a handful, but for models within models.
const COMPARED_MAX: usize = 1 << 22;

/// The arrays of a model.
pub(super) struct Weights {
    pub(super) format: Format,
    file: Hdf5,
    arrays: Arrays,
    /// The paths of arrays that were read.
    read: BTreeSet<String>,
    /// Paths looked at so far.
    compared: usize,
}

impl Weights {
    pub(super) fn new(file: Hdf5, arrays: Arrays, format: Format) -> Weights {
        Weights { format, file, arrays, read: BTreeSet::new(), compared: 0 }
    }

    /// An array of a layer by its name in Keras, or by its number among the layer's arrays where
    /// the container knows no names.
    pub(super) fn read(
        &mut self,
        layer: &Layer,
        name: &str,
        index: usize,
    ) -> Result<Array, ModelError> {
        let path = match self.format {
            Format::KerasArchive => format!("{}/vars/{index}", layer.path),
            _ => self.path(layer, name)?,
        };
        let Some(array) = self.arrays.get(&path) else {
            let at = format!("layer '{}'", layer.label);
            let expected = format!("an array '{name}' at '{path}'");
            return Err(ModelError::malformed(self.format, at, expected, "none"));
        };
        let array = self.file.read(&format!("{}/{name}", layer.label), array)?;
        self.read.insert(path);
        Ok(array)
    }

    /// A note on the arrays that no layer of the configuration reads, where there are any.
    pub(super) fn left(&self) -> Option<String> {
        const SHOWN: usize = 6;
        let mut left = self.arrays.keys().filter(|path| !self.read.contains(*path));
        let shown: Vec<String> =
            left.by_ref().take(SHOWN).map(|path| format!("'{}'", path.escape_debug())).collect();
        let more = match left.count() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let shown = (!shown.is_empty()).then(|| shown.join(", "))?;
        Some(format!("left out, because no layer of the configuration reads it: {shown}{more}"))
    }

    /// The path of an array below the group of its outermost layer. Between them stand names that
    /// differ from version to version: of arrays with the right name, it is the one with the most
    /// names of the layer and of the models it is in before it.
    fn path(&mut self, layer: &Layer, name: &str) -> Result<String, ModelError> {
        let group = format!("{}/", layer.top);
        let names_before = |path: &str| {
            let mut parts = path.strip_prefix(&group)?.rsplit('/');
            let own = parts.next()?;
            let is_it = own.strip_suffix(":0").unwrap_or(own) == name;
            let common = parts.zip(layer.label.rsplit('/')).take_while(|(part, own)| part == own);
            is_it.then(|| common.count())
        };
        // An array of the layer itself may stand in its group directly.
        let least = if layer.top == layer.label { 0 } else { 1 };
        let (mut best, mut many) = (None, false);
        for (path, _) in self.arrays.range(group.clone()..) {
            if !path.starts_with(&group) {
                break;
            }
            self.compared += 1;
            if self.compared > COMPARED_MAX {
                return Err(ModelError::too_large(
                    "paths of arrays that are compared",
                    COMPARED_MAX,
                    self.compared,
                ));
            }
            let Some(count) = names_before(path).filter(|count| *count >= least) else { continue };
            match best {
                Some((most, _)) if count < most => {}
                Some((most, _)) if count == most => many = true,
                _ => (best, many) = (Some((count, path)), false),
            }
        }
        match best.filter(|_| !many) {
            Some((_, path)) => Ok(path.clone()),
            None => {
                let at = format!("layer '{}'", layer.label);
                let got = if many { "several" } else { "none" };
                Err(ModelError::malformed(self.format, at, format!("one array '{name}'"), got))
            }
        }
    }
}
