//! The paper's own models on its 1,000 images, on every backend.

use fusewire::backend::arg_max;
use fusewire::{InputType, Model, PlanOptions, Precision, Rows};

use crate::common::paper::{IMAGES, images, labels, reference};
use crate::common::{self, shared};
use crate::devices::{devices, load};

fn check(model_file: &str, reference_file: &str, expected_correct: usize) {
    let Some(models) = shared("models/paper-fashion-mnist") else { return };
    let model = Model::load(models.join(model_file)).expect("the paper's file loads");
    let seen = "the models are there, so the data is";
    let (bytes, labels) = (images().expect(seen), labels().expect(seen));
    let pixels: Vec<f32> = bytes.iter().map(|byte| f32::from(*byte) / 255.0).collect();
    let want = reference(reference_file).expect(seen);
    for (name, device) in devices() {
        for (input, rows) in
            [(InputType::F32, Rows::F32(&pixels)), (InputType::U8, Rows::U8(&bytes))]
        {
            let options = PlanOptions { input, ..PlanOptions::default() };
            let mut scores = vec![0.0; IMAGES * 10];
            load(&*device, &model, &options).run(rows, &mut scores).expect("the batch runs");
            let errors = scores.iter().zip(&want).map(|(got, want)| (f64::from(*got) - want).abs());
            let worst = errors.fold(0.0, f64::max);
            let classes = scores.chunks_exact(10).map(arg_max);
            let correct = classes.zip(&labels).filter(|(class, label)| *class == **label as usize);
            let correct = correct.count();
            println!(
                "{model_file} on {name}, {input:?}: {correct} of 1000, worst error {worst:.1e}"
            );
            assert_eq!(correct, expected_correct, "{name}, {input:?}");
            assert!(worst <= 1e-4, "{name}, {input:?}: off by {worst}");
        }
    }
}

/// The same files at a narrow precision, on every backend that has kernels for it: how far scores
/// may be, and how many classes have to be the same.
fn check_narrow(precision: Precision, off: f64, same_min: usize) {
    let Some(models) = shared("models/paper-fashion-mnist") else { return };
    let seen = "the models are there, so the data is";
    let bytes = images().expect(seen);
    let pixels: Vec<f32> = bytes.iter().map(|byte| f32::from(*byte) / 255.0).collect();
    for (file, wanted) in [
        ("onnx/ffnn.onnx", "paper-onnx-logits-float64.npy"),
        ("npy", "paper-npy-logits-float64.npy"),
    ] {
        let model = Model::load(models.join(file)).expect("the paper's file loads");
        let want = reference(wanted).expect(seen);
        let devices =
            devices().into_iter().filter(|(_, it)| common::precisions(&**it).contains(&precision));
        for ((name, device), rows) in devices
            .flat_map(|device| [Rows::U8(&bytes), Rows::F32(&pixels)].map(|r| (device.clone(), r)))
        {
            let options = PlanOptions { input: rows.input(), precision, ..PlanOptions::default() };
            let mut scores = vec![0.0; IMAGES * 10];
            load(&*device, &model, &options).run(rows, &mut scores).expect("the batch runs");
            let errors = scores.iter().zip(&want).map(|(got, want)| (f64::from(*got) - want).abs());
            let worst = errors.fold(0.0, f64::max);
            let best = |row: &[f64]| arg_max(&row.iter().map(|s| *s as f32).collect::<Vec<_>>());
            let pairs = scores.chunks_exact(10).zip(want.chunks_exact(10));
            let same = pairs.filter(|(got, want)| arg_max(got) == best(want)).count();
            let what = format!("{file} on {name}, {:?}, {}", rows.input(), precision.name());
            println!("{what}: {same} same, worst error {worst:.3}");
            assert!(same >= same_min && worst <= off, "{what}: {same} same, off by {worst}");
        }
    }
}

#[test]
fn int8_scores_nearly_the_same() {
    check_narrow(Precision::Int8, 0.3, 990);
}

#[test]
fn bf16_scores_nearly_the_same() {
    check_narrow(Precision::Bf16, 0.2, 995);
}

#[test]
fn the_onnx_file_scores_846() {
    check("onnx/ffnn.onnx", "paper-onnx-logits-float64.npy", 846);
}

#[test]
fn the_npy_layers_score_750() {
    check("npy", "paper-npy-logits-float64.npy", 750);
}
