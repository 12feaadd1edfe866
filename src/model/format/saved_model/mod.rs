//! SavedModel folders, as TensorFlow 2 and Keras export them for serving.
//!
//! ```text
//! saved_model.pb            graph, functions, signatures, objects    proto, limits, signature
//! variables/..index         a table of keys                          table, checksum
//! variables/..data-?-of-?   the numbers                              bundle, files
//!
//! body, calls    the output's value, through calls of functions, to the input and to handles
//! variables      from a handle to its object, from that to its key, from that to the numbers
//! lower, ops     each node in the language of the graph's matcher
//! fold, constant what is computed of constants alone            draft  the graph in the making
//! ```
//!
//! A variable is found through what the function captures, never by the name of a layer: names
//! differ from exporter to exporter. What an optimizer keeps beside the variables is never read.

mod body;
mod bundle;
mod calls;
mod checksum;
mod constant;
mod draft;
mod files;
mod limits;
mod lower;
mod ops;
#[cfg(feature = "testing")]
mod parts;
mod proto;
mod signature;
mod table;
#[cfg(test)]
mod tests;
mod variables;

use std::fmt::Display;

use super::folder::Folder;
use super::graph::Builder;
use super::{Format, Model, ModelError};
use body::Library;
use bundle::Bundle;
use calls::Calls;
use files::Files;
use limits::{Decoder, META_GRAPH, SAVED_MODEL};
use lower::Lowering;
#[cfg(feature = "testing")]
pub use parts::saved_model_of_parts;
use proto::MetaGraphDef;
use signature::Signature;
use variables::Variables;

/// The file that makes a folder a SavedModel.
pub(super) const FILE: &str = "saved_model.pb";

/// The tag of the graph that is meant for serving.
const SERVE: &str = "serve";

/// Reads the model of a folder.
pub(super) fn read_directory(folder: &Folder) -> Result<Model, ModelError> {
    read(folder, &folder.name())
}

/// Reads a model from its files, under a name of the caller's.
fn read(files: &dyn Files, name: &str) -> Result<Model, ModelError> {
    let mut decoder = Decoder::new();
    let meta_graph = meta_graph(files, &mut decoder)?;
    let signature = Signature::of(meta_graph.signature_def)?;
    let graph = meta_graph.graph_def.ok_or_else(|| malformed("model", "a graph", "none"))?;
    let (top, library) = Library::of(graph, &mut decoder)?;
    let objects = meta_graph.object_graph_def.unwrap_or_default();
    let variables = Variables::of(objects, Bundle::open(files)?, &mut decoder)?;
    let builder = Builder::new(Format::SavedModel, name, signature.row.as_deref());
    let lowering = Lowering::new(builder, decoder, Calls::new(top, library), variables);
    let model = lowering.model(&signature.input, &signature.output)?;
    Ok(match signature.batch {
        None => model,
        Some(batch) => {
            model.with_note(format!("the batch, fixed at {batch} in the file, may be of any size"))
        }
    })
}

/// The graph that is tagged for serving.
fn meta_graph(files: &dyn Files, decoder: &mut Decoder) -> Result<MetaGraphDef, ModelError> {
    let file: proto::SavedModel = decoder.decode(files.read(FILE)?, &SAVED_MODEL, FILE)?;
    let mut seen = Vec::new();
    for bytes in file.meta_graphs {
        let graph: MetaGraphDef = decoder.decode(bytes, &META_GRAPH, "graph")?;
        let tags = graph.meta_info_def.as_ref().map_or(&[][..], |info| &info.tags);
        if tags.iter().any(|tag| tag == SERVE) {
            return Ok(graph);
        }
        seen.push(tags.join("+"));
    }
    let got = if seen.is_empty() { String::from("none") } else { seen.join(", ") };
    Err(malformed(FILE, format!("a graph tagged '{SERVE}'"), got))
}

fn malformed(at: impl Display, expected: impl Display, got: impl Display) -> ModelError {
    ModelError::malformed(Format::SavedModel, at, expected, got)
}
