//! Files that change under a model that was read from them, and files that are damaged.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use fusewire::backend::{self, BackendKind};
use fusewire::model::{Ending, LoadOptions};
use fusewire::{Activation, Dense, InputType, Model, Plan, PlanOptions, Rows};
use safetensors::tensor::{Dtype, TensorView};

use super::npy::f4;
use super::torch_file;

/// Inputs and outputs of a layer of more than a MiB.
const WIDTH: usize = 600;
/// Set in the process that may be ended by a signal.
const CHILD: &str = "FUSEWIRE_TEST_CHANGED";

fn weights(seed: usize) -> Vec<f32> {
    (0..WIDTH * WIDTH).map(|at| ((at * seed) % 1013) as f32 / 1013.0 - 0.5).collect()
}

fn model(seed: usize) -> Model {
    let layer = Dense::new(WIDTH, WIDTH, weights(seed), None, Activation::Tanh).unwrap();
    Model::from_layers(vec![layer]).unwrap()
}

/// A file or folder of each way that numbers are stored, the file in it that holds them, and what
/// the caller says.
fn stored(folder: &Path) -> Vec<(&'static str, &'static str, LoadOptions)> {
    let said = LoadOptions {
        activation: Some(Activation::Relu),
        ending: Some(Ending::Activation(Activation::Identity)),
        external_data: true,
        ..LoadOptions::default()
    };
    let plain = LoadOptions::default();
    model(7).save(folder.join("own.safetensors")).unwrap();
    model(7).save_onnx(folder.join("own.onnx")).unwrap();
    fs::create_dir(folder.join("npy")).unwrap();
    let shape = format!("({WIDTH}, {WIDTH})");
    fs::write(folder.join("npy/0-WEIGHT-w.npy"), f4(&shape, &weights(7))).unwrap();
    let bytes = weights(7).iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
    let view = TensorView::new(Dtype::F32, vec![WIDTH, WIDTH], &bytes).unwrap();
    let metadata = [(String::from("format"), String::from("pt"))].into();
    let file = folder.join("bare.safetensors");
    safetensors::serialize_to_file([("fc.weight", view)], Some(metadata), &file).unwrap();
    let width = WIDTH as u32;
    let entries = [torch_file::f32s("fc.weight", "0", &[width, width], &weights(7))];
    fs::write(folder.join("state.pt"), torch_file::zip(&entries)).unwrap();
    fs::write(folder.join("legacy.pt"), torch_file::legacy(&entries)).unwrap();
    vec![
        ("own.safetensors", "own.safetensors", plain.clone()),
        ("own.onnx", "own.onnx", plain.clone()),
        ("npy", "npy/0-WEIGHT-w.npy", plain),
        ("bare.safetensors", "bare.safetensors", said.clone()),
        ("state.pt", "state.pt", said.clone()),
        ("legacy.pt", "legacy.pt", said),
    ]
}

fn scores(model: &Model) -> Vec<f32> {
    let device = backend::open(BackendKind::Cpu).unwrap();
    let options = PlanOptions { input: InputType::F32, ..PlanOptions::default() };
    let plan = Plan::new(model, device.limits(), &options).unwrap();
    let executable = device.load(plan).unwrap();
    let row: Vec<f32> = (0..WIDTH).map(|at| at as f32 / WIDTH as f32).collect();
    let mut scores = vec![0.0; WIDTH];
    executable.run(Rows::F32(&row), &mut scores).unwrap();
    scores
}

/// What is done to a file, and how.
type Change = (&'static str, fn(&Path));

/// What is done to a file that a model was read from.
const CHANGES: [Change; 3] = [
    ("cut", |file| OpenOptions::new().write(true).open(file).unwrap().set_len(0).unwrap()),
    ("written to", |file| {
        let length = file.metadata().unwrap().len() as usize;
        OpenOptions::new().write(true).open(file).unwrap().write_all(&vec![0x3f; length]).unwrap();
    }),
    ("removed", |file| fs::remove_file(file).unwrap()),
];

fn check() {
    for (what, change) in CHANGES {
        let folder = tempfile::tempdir().unwrap();
        for (path, file, said) in stored(folder.path()) {
            let load = || Model::load_with(folder.path().join(path), &said).unwrap();
            let (whole, hash) = (scores(&load()), load().content_hash());
            let read = load();
            change(&folder.path().join(file));
            assert!(scores(&read) == whole, "{path}, {what}");
            assert_eq!(read.content_hash(), hash, "{path}, {what}");
        }
    }
}

/// In a process of its own, because a mapped file that is cut ends the process.
#[test]
fn a_model_stays_what_it_is_whatever_happens_to_its_file() {
    if std::env::var_os(CHILD).is_some() {
        return check();
    }
    let name = "changed::a_model_stays_what_it_is_whatever_happens_to_its_file";
    let mut child = Command::new(std::env::current_exe().unwrap());
    let output = child.args(["--exact", name, "--nocapture"]).env(CHILD, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{}: {text}", output.status);
}

#[test]
fn a_damaged_file_of_our_own_is_no_other_network() {
    let layers = vec![
        Dense::new(
            3,
            2,
            vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            Some(vec![0.5, 7.0]),
            Activation::Elu { alpha: 0.5 },
        )
        .unwrap(),
        Dense::new(2, 1, vec![1.0, 1.0], None, Activation::Relu).unwrap(),
    ];
    let model = Model::from_layers(layers).unwrap().with_u8_scale(0.25).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    model.save(&path).unwrap();
    let bytes = fs::read(&path).unwrap();
    assert_eq!(Model::from_bytes(&bytes).unwrap().content_hash(), model.content_hash());
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            let read = Model::from_bytes(&damaged);
            let same = |read: Model| read.content_hash() == model.content_hash();
            assert!(read.map_or(true, same), "bit {bit} of byte {at}");
        }
    }
    let weights = bytes.len() - 20;
    let mut torn = bytes.clone();
    torn[weights] ^= 1;
    let error = Model::from_bytes(&torn).unwrap_err().to_string();
    assert!(error.contains("fusewire.checksum") && error.contains("damaged"), "{error}");
    assert!(!error.contains('\n'), "{error}");
}

/// Another program may store the tensors in another order, and other words about the model.
#[test]
fn a_checksum_is_of_what_decides_the_scores() {
    let layers =
        vec![Dense::new(3, 2, vec![1.0; 6], Some(vec![0.5; 2]), Activation::Relu).unwrap()];
    let model = Model::from_layers(layers).unwrap().with_name("one");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    model.save(&path).unwrap();
    let bytes = fs::read(&path).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let mut metadata = header.metadata().clone().unwrap();
    assert!(metadata.contains_key("fusewire.checksum"));
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let write = |metadata| safetensors::serialize(file.iter(), Some(metadata)).unwrap();
    metadata.insert("fusewire.name".into(), "two".into());
    metadata.insert("fusewire.labels".into(), "[\"a\", \"b\"]".into());
    let read = Model::from_bytes(&write(metadata.clone())).unwrap();
    assert_eq!((read.name(), read.content_hash()), ("two", model.content_hash()));
    metadata.insert("fusewire.u8_scale".into(), "0.5".into());
    assert!(Model::from_bytes(&write(metadata.clone())).is_err());
    metadata.remove("fusewire.checksum");
    assert!(Model::from_bytes(&write(metadata)).is_ok());
}

#[test]
fn savers_of_one_path_never_tear_it() {
    let folder = tempfile::tempdir().unwrap();
    let models = [model(3), model(5)];
    for (name, save) in [
        ("it.safetensors", Model::save as fn(&Model, std::path::PathBuf) -> _),
        ("it.onnx", Model::save_onnx),
    ] {
        let path = folder.path().join(name);
        save(&models[0], path.clone()).unwrap();
        std::thread::scope(|scope| {
            let savers = models.each_ref().map(|model| {
                let path = &path;
                scope.spawn(move || (0..8).for_each(|_| save(model, path.clone()).unwrap()))
            });
            while savers.iter().any(|saver| !saver.is_finished()) {
                let read = Model::load(&path).unwrap().content_hash();
                assert!(models.iter().any(|model| model.content_hash() == read), "{name}");
            }
        });
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}
