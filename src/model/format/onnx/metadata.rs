//! What a graph of operators cannot say of a model, in the file's `metadata_props`.
//!
//! | key | value |
//! |---|---|
//! | `fusewire.name` | the model's name; the graph's where it is missing |
//! | `fusewire.u8_scale` | the step of a byte, or `unknown`; missing: what the graph implies |
//! | `fusewire.labels` | JSON: one string per class; missing: none |

use super::malformed;
use crate::model::format::graph::proto::StringEntry;
use crate::model::format::u8_scale;
use crate::model::{Model, ModelError};

const NAME: &str = "fusewire.name";
const U8_SCALE: &str = "fusewire.u8_scale";
const LABELS: &str = "fusewire.labels";

/// The entries for a model.
pub(super) fn entries_of(model: &Model) -> serde_json::Result<Vec<StringEntry>> {
    let entry = |key: &str, value| StringEntry { key: key.to_owned(), value };
    let mut entries = vec![entry(NAME, model.name().to_owned())];
    entries.extend(u8_scale::to_text(model.u8_scale()).map(|text| entry(U8_SCALE, text)));
    if let Some(labels) = model.labels() {
        entries.push(entry(LABELS, serde_json::to_string(labels)?));
    }
    Ok(entries)
}

/// The model with what the entries say of it; entries of other programs say nothing here.
pub(super) fn apply(entries: &[StringEntry], mut model: Model) -> Result<Model, ModelError> {
    let mut seen = Vec::new();
    for StringEntry { key, value } in entries {
        if !key.starts_with("fusewire.") {
            continue;
        }
        if seen.contains(&key) {
            return Err(malformed("metadata_props", "each key once", format!("'{key}' twice")));
        }
        model = match key.as_str() {
            NAME => model.with_name(value.as_str()),
            U8_SCALE => {
                let scale =
                    u8_scale::of_text(value).ok_or_else(|| malformed(key, "a number", value))?;
                model.with_u8_scale_from(scale)?
            }
            LABELS => {
                let labels = serde_json::from_str(value)
                    .map_err(|error| malformed(key, "JSON: an array of strings", error))?;
                model.with_labels(labels)?
            }
            _ => return Err(malformed("metadata_props", "keys that are known", key)),
        };
        seen.push(key);
    }
    Ok(model)
}
