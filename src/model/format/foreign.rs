//! Files that are common and of no format that is read: what they are, and what to do about them.

use super::outline::Fields;
use crate::model::Format;
use crate::model::npy::MAGIC;

/// How far into a file words are looked for.
const NEAR_BYTES: usize = 64 << 10;

/// Where a file shows what it is.
enum Mark {
    /// Its first bytes.
    Start(&'static [u8]),
    /// Bytes behind the first four, where FlatBuffers have their identifier.
    Fifth(&'static [u8]),
    /// The beginning of a text in lower case, behind blanks.
    Text(&'static str),
}

use Mark::{Fifth, Start, Text};

/// A mark, words that stand near it (none: only the mark), and what the file is.
type Known = (Mark, &'static str, &'static str);

const SKLEARN: &str = "a scikit-learn model in a pickle, which is never executed; convert it to \
                       ONNX with skl2onnx";
const JOBLIB: &str = "a joblib pickle, which is never executed; convert the model to ONNX, with \
                      skl2onnx where it is scikit-learn's";
const PICKLE: &str = "a Python pickle, which is never executed; export it to ONNX with torch.onnx";
const XGBOOST: &str = "an XGBoost model, whose trees are not dense layers";
const LIGHTGBM: &str = "a LightGBM model, whose trees are not dense layers";
const MLIR: &str = "an MLIR program, such as StableHLO of JAX; save its weights as safetensors or \
                    .npz, or export it to ONNX";
const HTML: &str = "an HTML page, such as a login page that was saved in place of the file; \
                    download the file itself";
const XML: &str = "an XML text, such as an error message that was saved in place of the file; \
                   download the file again";
const MATLAB: &str = "a MATLAB file; export the network with exportONNXNetwork, or save its arrays \
                      as .npz with scipy.io.loadmat and numpy.savez";
const KERAS_CONFIGURATION: &str = "the configuration of a Keras model without its weights; save \
                                   both with model.save(\"model.keras\")";
const TENSORRT: &str = "a TensorRT engine, which is compiled for one card; open the ONNX file that \
                        it was built from";
const COMPRESSED: &str = "a compressed file; unpack it first";
const PICTURE: &str = "a picture; the model comes before the rows";
const GGML: &str = "a GGUF file, which holds language models";
const HUGGING_FACE: &str = "the configuration of a Hugging Face model without its weights; open \
                            its model.safetensors";
const GRAPH_DEF: &str = "a frozen TensorFlow graph; export the model as a SavedModel folder, or \
                         convert it to ONNX with tf2onnx";
const CHECKPOINT: &str = "the index of a TensorFlow checkpoint, which has weights without a graph; \
                          export the model and open the folder that has saved_model.pb";
const CORE_ML: &str = "a Core ML model; open the model that it was converted from, exported to \
                       ONNX";
const MSGPACK: &str = "a MessagePack file, such as Flax writes; save the parameters as safetensors \
                       with safetensors.flax.save_file";

/// More exact ones come first.
const KNOWN: [Known; 55] = [
    (Start(MAGIC), "", "one .npy array; put the layers into a directory or a .npz"),
    (Text("version https://git-lfs"), "", "a Git LFS pointer; fetch the file with git lfs pull"),
    (Text("version https://hawser"), "", "a Git LFS pointer; fetch the file with git lfs pull"),
    (Text("<!doctype html"), "", HTML),
    (Text("<html"), "", HTML),
    (Text("<?xml"), "<net ", "an OpenVINO model; open the ONNX file that it was converted from"),
    (Text("<?xml"), "<PMML", "a PMML model; export the network to ONNX from the program it is of"),
    (Text("<pmml"), "", "a PMML model; export the network to ONNX from the program it is of"),
    (Text("<?xml"), "<html", HTML),
    (Text("<?xml"), "", XML),
    (Text("{"), "\"learner\"", XGBOOST),
    (Text("{"), "\"tree_info\"", LIGHTGBM),
    (
        Text("{"),
        "\"weightsManifest\"",
        "a TensorFlow.js model; open the Keras or TensorFlow model it \
                                         was converted from",
    ),
    (Text("{"), "\"class_name\"", KERAS_CONFIGURATION),
    (Text("{"), "\"model_type\"", HUGGING_FACE),
    (Text("{"), "\"architectures\"", HUGGING_FACE),
    (Text("class_name:"), "", KERAS_CONFIGURATION),
    (Text("backend:"), "class_name:", KERAS_CONFIGURATION),
    (Text("tree\nversion="), "", LIGHTGBM),
    (Text("module"), "stablehlo.", MLIR),
    (Text("module"), "mhlo.", MLIR),
    (Text("module"), "func.func", MLIR),
    (Text("#loc"), "module", MLIR),
    (Text("\"builtin.module\""), "", MLIR),
    (Start(b"ML\xefR"), "", MLIR),
    (Start(b"MATLAB 5.0 MAT-file"), "", MATLAB),
    (Start(b"MATLAB 7.3 MAT-file"), "", MATLAB),
    (Start(b"{L"), "learner", XGBOOST),
    (Start(b"binf"), "", XGBOOST),
    (Start(b"CBM1"), "", "a CatBoost model, whose trees are not dense layers"),
    (Start(b"ftrt"), "", TENSORRT),
    (Start(b"ptrt"), "", TENSORRT),
    (Start(b"GGUF"), "", GGML),
    (Start(b"lmgg"), "", GGML),
    (Start(b"tjgg"), "", GGML),
    (Start(b"7767517\n"), "", "an ncnn model; open the ONNX file that it was converted from"),
    (Start(b"\x1f\x8b"), "", "a gzip file; unpack it first"),
    (Start(b"BZh"), "", COMPRESSED),
    (Start(b"\xfd7zXZ\0"), "", COMPRESSED),
    (Start(b"\x28\xb5\x2f\xfd"), "", COMPRESSED),
    (Start(b"7z\xbc\xaf\x27\x1c"), "", COMPRESSED),
    (Start(b"x\x01"), "", JOBLIB),
    (Start(b"x\x5e"), "", JOBLIB),
    (Start(b"x\x9c"), "", JOBLIB),
    (Start(b"x\xda"), "", JOBLIB),
    (Start(b"\x89PNG"), "", PICTURE),
    (Start(b"\xff\xd8\xff"), "", PICTURE),
    (Fifth(b"TFL3"), "", "a TensorFlow Lite file; convert it to ONNX with tf2onnx"),
    (Fifth(b"ORTM"), "", "a file of ONNX Runtime's own; open the .onnx that it was made from"),
    (Fifth(b"ET1"), "", "an ExecuTorch program; export the model to ONNX with torch.onnx"),
    (Start(b"ccopy_reg\n"), "", PICKLE),
    (Start(b"ccopyreg\n"), "", PICKLE),
    (Start(b"csklearn"), "", SKLEARN),
    (Start(b"cnumpy"), "", PICKLE),
    (Start(b"(dp"), "", PICKLE),
];

const KERAS_PICKLE: &str = "a Keras model in a pickle, which is never executed; save it with \
                            model.save(\"model.keras\")";

/// Kinds of pickles by a word that stands in them.
const PICKLES: [(&str, &str); 6] = [
    ("sklearn", SKLEARN),
    ("joblib", JOBLIB),
    ("xgboost", XGBOOST),
    ("lightgbm", LIGHTGBM),
    ("keras", KERAS_PICKLE),
    ("", PICKLE),
];

/// Kinds of zips by how the name of a member ends, or by a folder in it.
const ZIPS: [(&str, &str); 8] = [
    ("serialized_exported_program.json", PT2),
    ("archive_format", PT2),
    ("models/model.json", PT2),
    ("MAR-INF/MANIFEST.json", "a TorchServe archive; unpack it and open the model in it"),
    ("saved_model.pb", "a zip of a SavedModel; unpack it and open the folder"),
    ("com.apple.CoreML/", CORE_ML),
    ("schema.json", "a skops archive of scikit-learn; convert the model to ONNX with skl2onnx"),
    (".onnx", "a zip of an ONNX file; unpack it first"),
];

const PT2: &str = "a program of torch.export (.pt2); export the model to ONNX with torch.onnx, or \
                   save its state_dict";

const TAR: &str = "a tar archive, such as PyTorch wrote until 2017; load it with PyTorch and save \
                   it again";

/// How a TensorFlow checkpoint's index ends, which is a table of LevelDB.
const TABLE_END: &[u8] = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb";

/// What the file is, where it is a common one that is not read; text and magic numbers alone, so
/// that it can be asked before any format without a magic number of its own.
pub(super) fn by_mark(bytes: &[u8]) -> Option<&'static str> {
    let near = &bytes[..bytes.len().min(NEAR_BYTES)];
    if near.first() == Some(&0x80) && near.get(1).is_some_and(|protocol| (2..=5).contains(protocol))
    {
        return PICKLES.iter().find(|(word, _)| has(near, word)).map(|(_, is)| *is);
    }
    let text = near.strip_prefix(b"\xef\xbb\xbf").unwrap_or(near).trim_ascii_start();
    let is_marked = |mark: &Mark| match mark {
        Start(bytes) => near.starts_with(bytes),
        // What comes first is the place of the root, which other formats' bytes are past.
        Fifth(identifier) => near.split_first_chunk().is_some_and(|(root, rest)| {
            rest.starts_with(identifier) && (u32::from_le_bytes(*root) as usize) < NEAR_BYTES
        }),
        Text(start) => {
            text.get(..start.len()).is_some_and(|text| text.eq_ignore_ascii_case(start.as_bytes()))
        }
    };
    let known = KNOWN.iter().find(|(mark, word, _)| is_marked(mark) && has(near, word));
    if let Some((_, _, is)) = known {
        return Some(is);
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return Some(TAR);
    }
    is_msgpack(near).then_some(MSGPACK)
}

/// What the file is by its outline, once it is known to be of no format that is read.
pub(super) fn by_outline(bytes: &[u8]) -> Option<&'static str> {
    if bytes.ends_with(TABLE_END) {
        return Some(CHECKPOINT);
    }
    // Any format will do for errors, which end the message here.
    let fields = |bytes| Fields::of(bytes, Format::Onnx).map_while(Result::ok);
    let mut top = fields(bytes);
    match top.next()? {
        // A version, and one of the kinds of models, whose numbers are high.
        (1, []) if top.any(|(tag, _)| (200..1000).contains(&tag) || tag == 3000) => Some(CORE_ML),
        // A node with a name and an operator.
        (1, node) if fields(node).map(|(tag, _)| tag).take(2).eq([1, 2]) => Some(GRAPH_DEF),
        _ => None,
    }
}

/// What a zip with members of these names is.
pub(super) fn zip(names: &[String]) -> Option<&'static str> {
    let is_in = |end: &str, name: &String| {
        name.ends_with(end)
            && name
                .strip_suffix(end)
                .is_some_and(|rest| end.starts_with('.') || rest.is_empty() || rest.ends_with('/'))
            || end.ends_with('/') && name.contains(end)
    };
    let known = ZIPS.iter().find(|(end, _)| names.iter().any(|name| is_in(end, name)));
    known.map(|(_, is)| *is)
}

/// What a folder of these names is.
pub(super) fn folder(names: &[String]) -> String {
    let has = |name: &str| names.iter().any(|other| other == name);
    if has("Manifest.json") && has("Data") {
        return CORE_ML.to_owned();
    }
    let mut found = String::from("a directory without .npy layers and without a saved_model.pb");
    const MODELS: [&str; 9] =
        [".safetensors", ".onnx", ".pt", ".pth", ".torch", ".bin", ".keras", ".h5", ".npz"];
    let is_model = |name: &&String| MODELS.iter().any(|end| name.ends_with(end));
    if let Some(name) = names.iter().find(is_model) {
        found += &format!("; open the file '{}' in it", name.escape_debug());
    }
    found
}

/// A map whose first key is a short text, as MessagePack writes it.
fn is_msgpack(bytes: &[u8]) -> bool {
    let rest = match bytes {
        [0x81..=0x8f, rest @ ..] | [0xde, _, _, rest @ ..] => rest,
        _ => return false,
    };
    let (length, rest) = match rest {
        [first @ 0xa1..=0xbf, rest @ ..] => (usize::from(first - 0xa0), rest),
        [0xd9, length, rest @ ..] => (usize::from(*length), rest),
        _ => return false,
    };
    rest.get(..length).is_some_and(|key| key.iter().all(|byte| matches!(byte, b' '..=b'~')))
}

fn has(bytes: &[u8], word: &str) -> bool {
    word.is_empty() || bytes.windows(word.len()).any(|window| window == word.as_bytes())
}
