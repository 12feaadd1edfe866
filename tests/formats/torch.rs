//! PyTorch's state_dicts: containers, checkpoints, views, and what has to be said.

use fusewire::model::{Ending, LoadOptions};
use fusewire::{Activation, Model, ModelError};
use zip::CompressionMethod;

use super::torch_file::{Entry, dict, entries, f32s, legacy, pickle, preamble, under, zip, zipped};

pub fn relu() -> LoadOptions {
    LoadOptions {
        activation: Some(Activation::Relu),
        ending: Some(Ending::Activation(Activation::Identity)),
        ..LoadOptions::default()
    }
}

fn load(bytes: &[u8]) -> Model {
    Model::from_bytes_with(bytes, &relu()).unwrap()
}

fn refused(bytes: &[u8], part: &str) {
    let error = Model::from_bytes_with(bytes, &relu()).expect_err(part).to_string();
    assert!(error.contains(part) && !error.contains('\n'), "expected '{part}' in: {error}");
}

fn pickled(value: &[u8]) -> Vec<u8> {
    zipped(&pickle(value), &entries(), CompressionMethod::Stored)
}

#[test]
fn every_container_holds_the_same_model() {
    let data = pickle(&dict(&entries()));
    let model = load(&zip(&entries()));
    assert_eq!((model.architecture(), model.name()), (String::from("3-2-1"), "unnamed"));
    assert_eq!(model.layers()[0].weight(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(model.layers()[0].bias().unwrap(), [0.5, -0.5]);
    assert_eq!(model.layers()[0].activation(), Activation::Relu);
    let deflated = zipped(&data, &entries(), CompressionMethod::Deflated);
    for bytes in [deflated, legacy(&entries())] {
        assert_eq!(load(&bytes).content_hash(), model.content_hash());
    }
    // Storages may come in any order, and under a name of any root.
    let named = npz_named("", &data);
    assert_eq!(load(&named).content_hash(), model.content_hash());
}

/// A zip under another root than torch's own.
fn npz_named(root: &str, data: &[u8]) -> Vec<u8> {
    let entries = entries();
    let names: Vec<String> =
        entries.iter().rev().map(|entry| format!("{root}data/{}", entry.key)).collect();
    let name = format!("{root}data.pkl");
    let mut members: Vec<(&str, Vec<u8>)> = names
        .iter()
        .zip(entries.iter().rev())
        .map(|(name, entry)| (&name[..], entry.storage.clone()))
        .collect();
    members.push((&name, data.to_vec()));
    super::npy::npz(&members, CompressionMethod::Stored)
}

#[test]
fn a_checkpoint_holds_one_model() {
    let plain = load(&zip(&entries()));
    for key in ["state_dict", "model_state_dict", "model", "net"] {
        let model = load(&pickled(&under(key, &dict(&entries()))));
        assert_eq!(model.content_hash(), plain.content_hash(), "{key}");
        assert!(model.notes().iter().any(|note| note.contains(&format!("'{key}'"))), "{key}");
    }
    refused(&pickled(&under("weights", &dict(&entries()))), "a dictionary of 'weights'");
    refused(&pickled(b"]"), "a dictionary of tensors, got a list");
    refused(&pickled(&under("epoch", b"K\x01")), "or a state_dict under state_dict, model_");
    let two = [under("net", &dict(&entries())), under("model", &dict(&entries()))];
    let two = [&two[0][..two[0].len() - 1], &two[1][1..two[1].len() - 1], b"ss"].concat();
    // One dictionary of both: the first's key and value, then the second's.
    let both = [&b"}("[..], &two[1..two.len() - 2], b"u"].concat();
    refused(&pickled(&both), "which of model, net is its model");
    let odd = [&dict(&entries())[..], b"X\x01\x00\x00\x00eK\x01s"].concat();
    refused(&pickled(&odd), "entry 'e': expected a tensor, got an integer");
    let twice = [entries(), entries()].concat();
    refused(&zip(&twice), "each name once, got 0.weight");
}

/// A dictionary of these.
fn dict_of(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let entry = |(key, value): &(&str, Vec<u8>)| {
        let entry = under(key, value);
        entry[1..entry.len() - 1].to_vec()
    };
    [&b"}("[..], &entries.iter().flat_map(entry).collect::<Vec<u8>>(), b"u"].concat()
}

#[test]
fn what_a_checkpoint_holds_beside_its_model_is_noted_or_refused() {
    let state = || dict(&entries());
    let with = |key: &'static str, value: Vec<u8>| {
        let optimizer = under("state", &dict(&entries()));
        let all = [("model", state()), ("optimizer", optimizer), (key, value)];
        pickled(&dict_of(&all))
    };
    let note = |bytes: &[u8]| load(bytes).notes().last().unwrap().clone();
    let beside = "a checkpoint; the model is what 'model' holds; left out: 'optimizer'";
    assert_eq!(note(&with("epoch", b"K\x01".to_vec())), format!("{beside}, 'epoch'"));
    let ema = note(&with("ema", state()));
    assert_eq!(ema, format!("{beside}, 'ema'; tensors by name are in 'ema', too"));
    let adapter = f32s("0.lora_A", "0", &[2, 3], &[0.0; 6]);
    refused(&with("more", dict(&[adapter])), "'0.lora_A' (tensor): it belongs to an adapter");
    refused(&with("adapter", state()), "'adapter' (tensor): it belongs to an adapter");
}

#[test]
fn every_tensor_is_used_or_named_in_every_container() {
    let mut more = entries();
    more.push(f32s("mean", "4", &[3], &[0.5; 3]));
    let order = Some(["0", "2"].map(String::from).to_vec());
    let said = LoadOptions { order, ..relu() };
    let plain = load(&zip(&entries()));
    for bytes in [zip(&more), legacy(&more)] {
        refused(&bytes, "'mean' (tensor): an array of shape [3] is no weight");
        let model = Model::from_bytes_with(&bytes, &said).unwrap();
        assert_eq!(model.content_hash(), plain.content_hash());
        let note = "left out, because the order does not name them: 1 tensor: 'mean'";
        assert!(model.notes().iter().any(|one| one == note), "{:?}", model.notes());
    }
}

#[test]
fn views_are_gathered() {
    let plain = load(&zip(&entries()));
    // The first weight as the transposed view of what `weight.t()` would fill.
    let mut views = entries();
    views[0] = Entry {
        shape: vec![2, 3],
        stride: vec![1, 2],
        ..f32s("0.weight", "0", &[6], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0])
    };
    // Both biases and the last weight in one storage.
    let shared = f32s("", "1", &[5], &[0.5, -0.5, 1.0, -1.0, 0.25]);
    views[1] = Entry { name: "0.bias", shape: vec![2], ..shared.clone() };
    views[2] = Entry {
        name: "2.weight",
        offset: 2,
        shape: vec![1, 2],
        stride: vec![2, 1],
        ..shared.clone()
    };
    views[3] = Entry { name: "2.bias", offset: 4, shape: vec![1], ..shared };
    assert_eq!(load(&zip(&views)).content_hash(), plain.content_hash());
    views[3].offset = 5;
    refused(&zip(&views), "tensor '2.bias': expected a view of 5 elements, got offset 5");
}

#[test]
fn every_float_type_is_read_and_no_other() {
    let half: Vec<u8> =
        [1.0, -2.0].iter().flat_map(|x| half::f16::from_f32(*x).to_le_bytes()).collect();
    let brain: Vec<u8> =
        [1.0, -2.0].iter().flat_map(|x| half::bf16::from_f32(*x).to_le_bytes()).collect();
    let double: Vec<u8> = [1.0_f64, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    for (class, storage) in
        [("HalfStorage", half), ("BFloat16Storage", brain), ("DoubleStorage", double)]
    {
        let entry = Entry { class, storage, ..f32s("weight", "0", &[1, 2], &[0.0; 2]) };
        for bytes in [zip(std::slice::from_ref(&entry)), legacy(std::slice::from_ref(&entry))] {
            assert_eq!(load(&bytes).layers()[0].weight(), [1.0, -2.0], "{class}");
        }
    }
    for (class, name, bytes) in [("QInt8Storage", "qint8", 2), ("LongStorage", "int64", 16)] {
        let storage = vec![0; bytes];
        let entry = Entry { class, storage, ..f32s("weight", "0", &[1, 2], &[0.0; 2]) };
        refused(&zip(&[entry]), &format!("'weight' ({name}): weights are read from f16"));
    }
}

#[test]
fn activations_have_to_be_said() {
    let error = Model::from_bytes(&zip(&entries())).unwrap_err();
    assert!(matches!(error, ModelError::Undeclared { .. }), "{error}");
    let error = error.to_string();
    assert!(error.contains("--activation relu --final none"), "{error}");
    assert!(error.contains("model.toml"), "{error}");
}

#[test]
fn a_pickle_is_never_executed() {
    let bomb = b"cposix\nsystem\nX\x04\x00\x00\x00true\x85R";
    refused(&pickled(bomb), "a pickle that calls posix.system, which is never executed");
    let inside = [&dict(&entries())[..], b"X\x01\x00\x00\x00e", bomb, b"s"].concat();
    refused(&pickled(&inside), "posix.system");
    let net = b"c__main__\nNet\n)\x81}b";
    refused(&pickled(net), "calls __main__.Net, which is never executed; save model.state_dict()");
    refused(&[preamble(true), pickle(net)].concat(), "__main__.Net");
    let bare = Model::from_bytes(&pickle(bomb)).unwrap_err().to_string();
    assert!(bare.contains("a Python pickle, which is never executed"), "{bare}");
}

#[test]
fn containers_that_lie() {
    let data = pickle(&dict(&entries()));
    let with = |name: &str, bytes: &[u8]| {
        let mut members = vec![("a/data.pkl", data.clone()), (name, bytes.to_vec())];
        members.push(("a/data/0", vec![0; 24]));
        super::npy::npz(&members, CompressionMethod::Stored)
    };
    refused(&with("a/byteorder", b"big"), "byteorder: expected little, got big");
    refused(&with("b/data.pkl", b""), "one data.pkl, got 2");
    refused(&with("a/code/a.py", b""), "a file of format torchscript states its own");
    refused(&with("a/version", b"3"), "a member 'data/1', got none");
    let mut short = entries();
    short[1].storage.pop();
    refused(&zip(&short), "storage '1': expected 2 elements of float32, got 7 bytes");
    refused(&legacy(&short), "storage '3'");
    refused(&preamble(false), "a file of a little-endian machine, got big-endian");
    refused(&[&legacy(&entries())[..], b"x"].concat(), "nothing behind them, got 1 bytes more");
    let mut tar = vec![0; 512];
    tar[257..262].copy_from_slice(b"ustar");
    refused(&tar, "a tar archive, such as PyTorch wrote until 2017");
}
