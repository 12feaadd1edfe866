//! Networks whose tensors are stored in several files, with an index that says which is where.
//!
//! ```text
//! model.safetensors.index.json       {"weight_map": {"fc1.weight": "NAME OF A FILE", ..}, ..}
//! model-00001-of-00002.safetensors   tensors by name; or a state_dict of PyTorch
//! ```
//!
//! A set is read whole or not at all: every shard that the index names is there, and holds the
//! tensors that the index says, no more and no less. Shards are files of the index's own folder.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::file;
use super::folder::Folder;
use super::inside;
use super::named::NamedTensors;
use super::tensors_of;
use crate::model::{LAYERS_MAX, LoadOptions, Model, ModelError};

/// The longest index that is read.
const INDEX_BYTES_MAX: usize = 4 << 20;
/// The most shards of a set.
const SHARDS_MAX: usize = LAYERS_MAX;
/// The most indexes of one folder that are looked into.
const INDEXES_MAX: usize = 64;
/// The key that makes a JSON object an index.
const WEIGHT_MAP: &str = "\"weight_map\"";

/// Whether the bytes are those of an index.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    let is_object = bytes.trim_ascii_start().first() == Some(&b'{');
    let start = &bytes[..bytes.len().min(INDEX_BYTES_MAX)];
    is_object && start.windows(WEIGHT_MAP.len()).any(|window| window == WEIGHT_MAP.as_bytes())
}

/// What a file's name says: that it is shard `.0` of `.1`.
fn numbers(name: &str) -> Option<(&str, &str)> {
    let is_digit = |c: char| c.is_ascii_digit();
    ["-of-", "_of_"].iter().flat_map(|word| name.match_indices(word)).find_map(|(at, word)| {
        let (before, after) = (&name[..at], &name[at + word.len()..]);
        let shard = &before[before.trim_end_matches(is_digit).len()..];
        let count = &after[..after.len() - after.trim_start_matches(is_digit).len()];
        // Such names count with leading zeros; `fold-1-of-5` is a network of its own.
        let counts = shard.len() >= 3 && shard.len() == count.len();
        let is_one_of_several = counts && !matches!(count.trim_start_matches('0'), "" | "1");
        is_one_of_several.then_some((shard, count))
    })
}

/// Whether a file's name says that it is one shard of several.
pub(super) fn is_numbered(name: &str) -> bool {
    numbers(name).is_some()
}

/// The index of a set.
#[derive(Debug)]
pub(super) struct Set {
    folder: Folder,
    /// The name of the index.
    index: String,
    /// The tensors of each shard, by the shard's name.
    shards: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, Files>,
}

/// The file of a tensor, or the files that it is in parts in.
#[derive(Deserialize)]
#[serde(untagged)]
enum Files {
    One(String),
    Several(Vec<String>),
}

impl Set {
    /// The set of an index of this name in `folder`.
    pub(super) fn of(bytes: &[u8], index: &str, folder: &Folder) -> Result<Set, ModelError> {
        if bytes.len() > INDEX_BYTES_MAX {
            return Err(ModelError::too_large("bytes of an index", INDEX_BYTES_MAX, bytes.len()));
        }
        let at = format!("weight_map of {}", index.escape_debug());
        let read: Index = serde_json::from_slice(bytes).map_err(|error| {
            ModelError::invalid(&at, "names of files by names of tensors", error)
        })?;
        let mut shards: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (tensor, files) in read.weight_map {
            let files = match files {
                Files::One(file) => vec![file],
                Files::Several(files) => files,
            };
            for file in files {
                if !inside::is_plain(&file) {
                    let got = format!("'{}'", file.escape_debug());
                    return Err(ModelError::invalid(at, "files of the index's own folder", got));
                }
                shards.entry(file).or_default().insert(tensor.clone());
            }
        }
        match shards.len() {
            0 => Err(ModelError::invalid(at, "at least one file", "none")),
            count if count > SHARDS_MAX => Err(ModelError::too_large("shards", SHARDS_MAX, count)),
            _ => Ok(Set { folder: folder.clone(), index: index.to_owned(), shards }),
        }
    }

    /// The set that a file of weights is a shard of, where an index beside it says so.
    ///
    /// # Errors
    /// Where the file's own name says that it is one shard of several, and no index names it.
    pub(super) fn with(file: &str, folder: &Folder) -> Result<Option<Set>, ModelError> {
        let sets = Set::all_in(folder)?.into_iter();
        let set = sets.map(|(_, set)| set).find(|set| set.shards.contains_key(file));
        match (set, numbers(file)) {
            (Some(set), _) => Ok(Some(set).filter(|set| set.shards.len() > 1)),
            (None, None) => Ok(None),
            (None, Some((shard, count))) => Err(ModelError::invalid(
                file.escape_debug(),
                "a whole network, or beside it an index that names the other shards, such as \
                 model.safetensors.index.json",
                format!("shard {shard} of {count}; put the index there, or save one file"),
            )),
        }
    }

    /// The set of a folder that holds one.
    pub(super) fn in_folder(folder: &Folder) -> Result<Option<Set>, ModelError> {
        let mut sets = Set::all_in(folder)?;
        match &sets[..] {
            [] | [_] => Ok(sets.pop().map(|(_, set)| set)),
            several => {
                let names: Vec<_> = several.iter().map(|(name, _)| &name[..]).collect();
                let what = format!("indexes in {}", folder.path().display());
                let got = format!("{}; open one of them", names.join(", "));
                Err(ModelError::invalid(what, "one", got))
            }
        }
    }

    /// The sets of a folder by the names of their indexes; files that are not sound indexes are
    /// left alone.
    fn all_in(folder: &Folder) -> Result<Vec<(String, Set)>, ModelError> {
        let is_index = |name: &str| {
            name.ends_with(".json") && (name.contains(".index.") || name.ends_with(".weights.json"))
        };
        let names = folder.names("indexes of shards", INDEXES_MAX, is_index)?;
        let set = |name: String| {
            let source = folder.open(&name).ok()?;
            let is_short = source.metadata().len() <= INDEX_BYTES_MAX as u64;
            let contents = is_short.then(|| source.read().ok()).flatten()?;
            let set = Set::of(contents.bytes(), &name, folder).ok()?;
            Some((name, set))
        };
        Ok(names.into_iter().filter_map(set).collect())
    }

    /// The model of all shards.
    pub(super) fn model(&self, options: &LoadOptions) -> Result<Model, ModelError> {
        let mut all: Option<NamedTensors> = None;
        let mut bytes = 0;
        for (file, names) in &self.shards {
            let source = self.folder.open_named(file, "shard")?;
            bytes += usize::try_from(source.metadata().len()).unwrap_or(usize::MAX);
            file::check_size(bytes)?;
            let shard = tensors_of(file, &source.read()?)?;
            self.check(file, names, &shard)?;
            match &mut all {
                None => all = Some(shard),
                Some(all) if all.format == shard.format => {
                    all.layout = all.layout.filter(|layout| Some(*layout) == shard.layout);
                    all.tensors.extend(shard.tensors);
                }
                Some(all) => {
                    let expected = format!("a shard of format {}, as the others", all.format);
                    return Err(ModelError::invalid(file.escape_debug(), expected, shard.format));
                }
            }
        }
        // An index names at least one.
        let Some(all) = all else { return Err(ModelError::invalid("shards", "at least one", 0)) };
        let format = all.format;
        let name = self.index.split('.').next().filter(|name| !name.is_empty());
        let model = all.model(options, name.unwrap_or(super::UNNAMED))?.with_format(format);
        let note = format!("{} shards, as {} names them", self.shards.len(), self.index);
        Ok(model.with_note(note.escape_debug().to_string()))
    }

    /// Checks that a shard holds the tensors that the index says it does.
    fn check(
        &self,
        file: &str,
        names: &BTreeSet<String>,
        shard: &NamedTensors,
    ) -> Result<(), ModelError> {
        let wrong = |got: String| {
            let expected = format!("the tensors that {} says", self.index.escape_debug());
            Err(ModelError::invalid(file.escape_debug(), expected, got))
        };
        let held: BTreeSet<&str> = shard.tensors.iter().map(|tensor| &tensor.name[..]).collect();
        if let Some(name) = names.iter().find(|name| !held.contains(&name[..])) {
            return wrong(format!("none named '{:.200}'", name.escape_debug().to_string()));
        }
        match held.iter().find(|name| !names.contains(**name)) {
            Some(name) => wrong(format!("'{:.200}' beside them", name.escape_debug().to_string())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_count_are_told_from_others() {
        for name in [
            "model-00001-of-00002.safetensors",
            "pytorch_model-00002-of-00002.bin",
            "model.fp16-00001-of-00010.safetensors",
            "00001-of-00002",
            "variables.data-00000-of-00002",
            "model_00001_of_00002.safetensors",
            "best-of-three-001-of-003.pt",
        ] {
            assert!(is_numbered(name), "{name}");
        }
        for name in [
            "model.safetensors",
            "model-00001-of-00001.safetensors",
            "fold-1-of-5.pt",
            "best-of-00002.pt",
            "00001-of-.pt",
            "day-001-of-2024.pt",
            "-of-",
        ] {
            assert!(!is_numbered(name), "{name}");
        }
    }
}
