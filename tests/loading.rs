//! A large safetensors file is read once, and its weights stay where they were read to: loading
//! takes no second copy. One test in a program of its own, because the allocator it counts with
//! sees every thread.

#![allow(unsafe_code)]

#[path = "common/counting.rs"]
mod counting;

use std::path::Path;

use fusewire::model::{Ending, Layout, LoadOptions};
use fusewire::{Activation, Dense, Head, Model};
use safetensors::tensor::{Dtype, TensorView};

const WIDTH: usize = 2048;

fn weights() -> Vec<f32> {
    (0..WIDTH * WIDTH).map(|at| (at % 1013) as f32 / 1013.0 - 0.5).collect()
}

/// Loads a file of 16 MiB of weights and checks what that took and gave.
fn check(path: &Path, options: &LoadOptions) {
    let length = path.metadata().unwrap().len() as usize;
    assert!(length > 16 << 20);
    let (model, peak) = counting::peak_bytes(|| Model::load_with(path, options).unwrap());
    assert!(peak < length + (1 << 20), "{peak} bytes were taken to load {}", path.display());
    assert_eq!(model.layers()[0].weight(), weights());
}

#[test]
fn weights_are_copied_once() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own.safetensors");
    let layer = Dense::new(WIDTH, WIDTH, weights(), None, Activation::Relu).unwrap();
    Model::from_layers(vec![layer]).unwrap().save(&own).unwrap();
    check(&own, &LoadOptions::default());

    let other = folder.path().join("other.safetensors");
    let bytes = weights().iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
    let view = TensorView::new(Dtype::F32, vec![WIDTH, WIDTH], &bytes).unwrap();
    safetensors::serialize_to_file([("fc.weight", view)], None, &other).unwrap();
    let said = LoadOptions {
        ending: Some(Ending::Head(Head::Softmax)),
        layout: Some(Layout::OutputsFirst),
        ..LoadOptions::default()
    };
    check(&other, &said);
}
