//! What a file's first bytes say it is.

use super::archive::member_names;
use super::{foreign, keras, manifest, onnx, safetensors, shards, torch};

/// How every `saved_model.pb` begins: schema version 1, and a graph.
const SAVED_MODEL: &[u8] = b"\x08\x01\x12";

/// How every HDF5 file begins.
const HDF5: &[u8] = b"\x89HDF\r\n\x1a\n";

/// A format this version reads, or the words for what the bytes look like instead.
pub(super) enum Sniffed {
    Onnx,
    Safetensors,
    Npz,
    Manifest,
    KerasHdf5,
    KerasArchive,
    TorchScript,
    TorchZip,
    TorchLegacy,
    /// What says which shard a tensor is in.
    Index,
    Unknown(&'static str),
}

/// Recognises the format of a file's bytes.
pub(super) fn sniff(bytes: &[u8]) -> Sniffed {
    if bytes.is_empty() {
        return Sniffed::Unknown("an empty file");
    }
    // Before all magic numbers, because a header's length may begin like one of them.
    if safetensors::looks_like(bytes) {
        return Sniffed::Safetensors;
    }
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        return sniff_zip(bytes);
    }
    if bytes.starts_with(HDF5) {
        return Sniffed::KerasHdf5;
    }
    if torch::looks_like_legacy(bytes) {
        return Sniffed::TorchLegacy;
    }
    // Texts come before ONNX, because they may pass for one of its messages.
    if shards::looks_like(bytes) {
        return Sniffed::Index;
    }
    if let Some(found) = foreign::by_mark(bytes) {
        return Sniffed::Unknown(found);
    }
    if manifest::looks_like(bytes) {
        return Sniffed::Manifest;
    }
    if onnx::looks_like(bytes) {
        return Sniffed::Onnx;
    }
    if bytes.starts_with(SAVED_MODEL) {
        return Sniffed::Unknown("the graph of a TensorFlow SavedModel; open the folder it is in");
    }
    Sniffed::Unknown(foreign::by_outline(bytes).unwrap_or("no model that is known here"))
}

fn sniff_zip(bytes: &[u8]) -> Sniffed {
    let Some(names) = member_names(bytes) else {
        return Sniffed::Unknown("a damaged zip");
    };
    let any = |end: &str| names.iter().any(|name| name.ends_with(end));
    if !names.is_empty() && names.iter().all(|name| name.ends_with(".npy")) {
        return Sniffed::Npz;
    }
    if keras::is_archive(&names) {
        return Sniffed::KerasArchive;
    }
    let has_code = any("constants.pkl") || names.iter().any(|name| name.contains("/code/"));
    let is_pickle = |name: &String| name == "data.pkl" || name.ends_with("/data.pkl");
    if names.iter().any(is_pickle) {
        return if has_code { Sniffed::TorchScript } else { Sniffed::TorchZip };
    }
    if let Some(found) = foreign::zip(&names) {
        return Sniffed::Unknown(found);
    }
    Sniffed::Unknown(if has_code {
        "a PyTorch archive without its data.pkl"
    } else if any("model.weights.h5") {
        "a Keras archive without its configuration"
    } else {
        "a zip of something else than .npy arrays"
    })
}
