//! What a file's first bytes say it is.

use super::archive::member_names;
use super::{keras, manifest, onnx, safetensors, torch};
use crate::model::npy::MAGIC;

/// Beginnings of formats that this version does not read, and what to do about them.
const NOT_READ: [(&[u8], &str); 7] = [
    (MAGIC, "one .npy array; put the layers into a directory or a .npz"),
    (b"\x80\x02", PICKLE),
    (b"\x80\x03", PICKLE),
    (b"\x80\x04", PICKLE),
    (b"\x80\x05", PICKLE),
    (b"\x1f\x8b", "a gzip file; unpack it first"),
    (b"GGUF", "a GGUF file, which holds language models"),
];

/// How every `saved_model.pb` begins: schema version 1, and a graph.
const SAVED_MODEL: &[u8] = b"\x08\x01\x12";

/// How every HDF5 file begins.
const HDF5: &[u8] = b"\x89HDF\r\n\x1a\n";

const PICKLE: &str = "a Python pickle, which is never executed; export it to ONNX with torch.onnx";

const TAR: &str = "a tar archive, such as PyTorch wrote until 2017; load it with PyTorch and save \
                   it again";

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
    if let Some((_, words)) = NOT_READ.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Sniffed::Unknown(words);
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return Sniffed::Unknown(TAR);
    }
    if bytes.get(4..8) == Some(b"TFL3") {
        return Sniffed::Unknown("a TensorFlow Lite file; convert it to ONNX with tf2onnx");
    }
    // Before ONNX, because a text may pass for one of its messages.
    if manifest::looks_like(bytes) {
        return Sniffed::Manifest;
    }
    if onnx::looks_like(bytes) {
        return Sniffed::Onnx;
    }
    if bytes.starts_with(SAVED_MODEL) {
        return Sniffed::Unknown("the graph of a TensorFlow SavedModel; open the folder it is in");
    }
    Sniffed::Unknown("no model that is known here")
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
    Sniffed::Unknown(if has_code {
        "a PyTorch archive without its data.pkl"
    } else if any("model.weights.h5") {
        "a Keras archive without its configuration"
    } else {
        "a zip of something else than .npy arrays"
    })
}
