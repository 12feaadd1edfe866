//! Files that are common and of no format that is read are named, with the step that helps.

use fusewire::Model;
use zip::CompressionMethod;

use super::npy::npz;
use super::onnx_file::{File, floats};

fn refused(bytes: &[u8], parts: &[&str]) {
    let error = Model::from_bytes(bytes).map(|_| ()).unwrap_err().to_string();
    for part in parts {
        assert!(error.contains(part) && !error.contains('\n'), "expected '{part}' in: {error}");
    }
}

/// A FlatBuffer of this identifier.
fn flatbuffer(identifier: &str) -> Vec<u8> {
    [&[0x1c, 0, 0, 0][..], identifier.as_bytes(), &[0; 64]].concat()
}

/// A pickle of an object of a class.
fn pickle(module: &str, class: &str) -> Vec<u8> {
    let text = |text: &str| [&[0x8c, text.len() as u8][..], text.as_bytes(), b"\x94"].concat();
    [&b"\x80\x04\x95\x20\0\0\0\0\0\0\0"[..], &text(module), &text(class), b"\x93."].concat()
}

#[test]
fn texts_are_named() {
    let lfs = "version https://git-lfs.example/spec/v1\noid sha256:4d7a\nsize 1234\n";
    for (text, parts) in [
        (lfs, ["Git LFS pointer", "git lfs pull"]),
        ("<!DOCTYPE html>\n<html></html>", ["an HTML page", "download the file itself"]),
        ("\u{feff}\n  <HTML lang=\"en\">", ["an HTML page", "download"]),
        ("<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code></Error>", ["XML", "download"]),
        ("<?xml version=\"1.0\"?>\n<net name=\"a\" version=\"11\">", ["OpenVINO", "ONNX"]),
        ("<?xml version=\"1.0\"?>\n<PMML version=\"4.4\">", ["PMML", "ONNX"]),
        (
            "{\"class_name\": \"Sequential\", \"config\": {}}",
            ["without its weights", "model.save("],
        ),
        ("{\"format\": \"layers-model\", \"weightsManifest\": []}", ["TensorFlow.js", "open the"]),
        ("{\"model_type\": \"bert\"}", ["Hugging Face", "model.safetensors"]),
        ("{\"learner\": {\"attributes\": {}}}", ["XGBoost", "trees"]),
        ("tree\nversion=v4\nnum_class=1\n", ["LightGBM", "trees"]),
        ("class_name: Sequential\nconfig: {}\n", ["without its weights", "model.save("]),
        ("module @jit_f {\n  stablehlo.add\n}", ["StableHLO", "safetensors"]),
        ("module attributes {mhlo.num_partitions = 1} {}", ["StableHLO", "ONNX"]),
        ("#loc1 = loc(\"x\")\nmodule @m {}", ["MLIR", "ONNX"]),
        ("csklearn.linear_model\nLogisticRegression\n", ["scikit-learn", "skl2onnx"]),
        ("7767517\n10 11\n", ["ncnn", "ONNX"]),
    ] {
        refused(text.as_bytes(), &parts);
    }
}

#[test]
fn binaries_are_named() {
    let tar = [&[b'a'; 257][..], b"ustar\0", &[0; 300]].concat();
    let matlab =
        |version: &str| [format!("MATLAB {version} MAT-file").as_bytes(), &[0; 600]].concat();
    let table = [&[0; 40][..], b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"].concat();
    for (bytes, parts) in [
        (
            pickle("sklearn.linear_model._logistic", "LogisticRegression"),
            ["scikit-learn", "skl2onnx"],
        ),
        (pickle("joblib.numpy_pickle", "NumpyArrayWrapper"), ["joblib", "skl2onnx"]),
        (pickle("xgboost.sklearn", "XGBClassifier"), ["pickle", "never executed"]),
        (pickle("builtins", "set"), ["pickle", "never executed"]),
        (b"x\x9c\x03\0".to_vec(), ["joblib", "ONNX"]),
        (flatbuffer("ORTM"), ["ONNX Runtime", "open the .onnx"]),
        (flatbuffer("ET12"), ["ExecuTorch", "torch.onnx"]),
        (flatbuffer("TFL3"), ["TensorFlow Lite", "tf2onnx"]),
        (b"\x81\xa6params\x81\xa5Dense".to_vec(), ["MessagePack", "safetensors.flax"]),
        (b"\xde\0\x20\xa4step\x01".to_vec(), ["MessagePack", "safetensors.flax"]),
        (matlab("5.0"), ["MATLAB", "exportONNXNetwork"]),
        (matlab("7.3"), ["MATLAB", "exportONNXNetwork"]),
        (b"ML\xefR\x0dMLIR".to_vec(), ["StableHLO", "safetensors"]),
        (b"ftrt\0\0\0\0".to_vec(), ["TensorRT", "ONNX"]),
        (b"ptrt\0\0\0\0".to_vec(), ["TensorRT", "ONNX"]),
        (b"GGUF\x03\0\0\0".to_vec(), ["GGUF", "language models"]),
        (b"binf\0\0\0\0".to_vec(), ["XGBoost", "trees"]),
        (b"CBM1\0\0\0\0".to_vec(), ["CatBoost", "trees"]),
        (b"\x28\xb5\x2f\xfd\0".to_vec(), ["compressed", "unpack"]),
        (b"\x89PNG\r\n\x1a\n".to_vec(), ["a picture", "the model comes before"]),
        (table, ["TensorFlow checkpoint", "saved_model.pb"]),
        // Version 4, a description, and a neural network.
        (b"\x08\x04\x12\x02\x0a\x00\xa2\x1f\x00".to_vec(), ["Core ML", "ONNX"]),
        // A node of a name and an operator.
        (b"\x0a\x10\x0a\x01x\x12\x0bPlaceholder".to_vec(), ["frozen TensorFlow graph", "tf2onnx"]),
        (tar, ["tar archive", "save it again"]),
    ] {
        refused(&bytes, &parts);
    }
}

/// The fifth byte of an ONNX file may be the first of a producer's name.
#[test]
fn a_producer_s_name_is_no_mark() {
    let error = Model::from_bytes(b"\x08\x07\x12\x04ORTM").unwrap_err().to_string();
    assert!(!error.contains("ONNX Runtime"), "{error}");
}

#[test]
fn zips_are_named() {
    for (names, parts) in [
        (
            &["a/archive_format", "a/models/model.json", "a/data/weights/w"][..],
            ["torch.export", "torch.onnx"],
        ),
        (&["serialized_exported_program.json", "version"], ["torch.export", "state_dict"]),
        (&["MAR-INF/MANIFEST.json", "model.pt"], ["TorchServe", "unpack"]),
        (&["m/saved_model.pb", "m/variables/variables.index"], ["SavedModel", "open the folder"]),
        (&["m.mlpackage/Data/com.apple.CoreML/model.mlmodel"], ["Core ML", "ONNX"]),
        (&["schema.json", "1.npy"], ["skops", "skl2onnx"]),
        (&["model.onnx"], ["ONNX", "unpack"]),
    ] {
        let members: Vec<_> = names.iter().map(|name| (*name, b"x".to_vec())).collect();
        refused(&npz(&members, CompressionMethod::Stored), &parts);
    }
}

#[test]
fn folders_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str| std::fs::write(folder.path().join(name), b"").unwrap();
    let error = || Model::load(folder.path()).unwrap_err().to_string();
    assert!(error().contains("without .npy layers"), "{}", error());
    put("model.safetensors");
    assert!(error().contains("open the file 'model.safetensors' in it"), "{}", error());
    put("Manifest.json");
    std::fs::create_dir(folder.path().join("Data")).unwrap();
    assert!(error().contains("Core ML"), "{}", error());
}

#[test]
fn a_quantised_graph_is_called_so() {
    // As ONNX Runtime quantises a layer: the graph is refused at another of its nodes.
    let file = File::new(17, &[-1, 3])
        .tensor("w", floats(&[3, 2], &[1.0; 6]))
        .node("DynamicQuantizeLinear", &["x"], "q", &[])
        .node("MatMulInteger", &["q", "w"], "i", &[])
        .node("Mul", &["i", "x"], "y", &[]);
    refused(&file.bytes(), &["export the model before quantisation"]);
}
