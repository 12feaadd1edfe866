//! Kernels made for a model's own stages, by a run-time compiler that makes them for the processor.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use fusewire::backend::cpu::oracle;
use fusewire::{Activation, Head, InputType, Model, PlanOptions, Precision, Rows};

use crate::common::{self, Batch, Random};
use crate::devices::{load, open};
use crate::stub;

const COMPILER: &str = "FUSEWIRE_NVRTC";
const CACHE: &str = "FUSEWIRE_CACHE";

/// Rows and weights.
const TYPES: [(InputType, Precision); 4] = [
    (InputType::F32, Precision::F32),
    (InputType::U8, Precision::F16),
    (InputType::F16, Precision::F32),
    (InputType::Bf16, Precision::Bf16),
];

/// Networks with layers of all kinds of ends.
fn models() -> Vec<Model> {
    let mut random = Random(11);
    let networks: [(&[usize], Activation); 4] = [
        (&[100, 32, 20, 10], Activation::Relu),
        (&[33, 60, 7], Activation::HardSigmoid { alpha: 0.21, beta: 0.47 }),
        (&[40, 300, 64, 5], Activation::Gelu),
        // Infinite bounds have no literal: these stages run on the kernels that travel along.
        (&[20, 16, 3], Activation::Clip { min: 0.0, max: f32::INFINITY }),
    ];
    let make = |(widths, activation)| common::model(&mut random, widths, || activation);
    networks.map(make).map(|model| model.with_head(Head::Softmax)).to_vec()
}

/// Runs every model on every device, in rows of every kind.
fn agree_with_the_oracle() {
    let mut random = Random(12);
    for (number, model) in
        (0..3).flat_map(|number| models().into_iter().map(move |it| (number, it)))
    {
        let device = open(number).expect("the stub has it");
        assert!(device.info().detail.ends_with(", NVRTC 12.4"), "{:?}", device.info());
        for (input, precision) in TYPES {
            let options = PlanOptions { input, precision, ..PlanOptions::default() };
            let executable = load(&*device, &model, &options);
            let is_own = |kernels: &String| kernels.contains("(made for its stage)");
            let infinite = matches!(model.layers()[0].activation(), Activation::Clip { .. });
            assert_eq!(executable.kernels().iter().any(is_own), !infinite);
            for rows in [1, 16, 90] {
                let batch = Batch::random(input, rows * model.inputs(), &mut random);
                let batch = batch.rows();
                let mut scores = vec![f32::NAN; rows * model.classes()];
                executable.run(batch, &mut scores).expect("it runs");
                for (got, want) in scores.iter().zip(oracle(&model, batch)) {
                    let error = (f64::from(*got) - want).abs();
                    let what = model.architecture();
                    assert!(error <= precision.tolerance(), "{what}, {rows} rows: {got}, {want}");
                }
            }
        }
    }
}

/// The kept kernels, and when they were made.
pub fn kept(folder: &Path) -> Vec<(String, SystemTime)> {
    let entries = fs::read_dir(folder).expect("something was kept");
    let describe = |entry: fs::DirEntry| {
        let made = entry.metadata().and_then(|about| about.modified()).expect("a file");
        (entry.file_name().to_string_lossy().into_owned(), made)
    };
    let mut kept: Vec<_> = entries.map(|entry| describe(entry.expect("a file"))).collect();
    kept.sort();
    kept
}

#[test]
fn stages_are_run_by_kernels_made_for_them() {
    const TEST: &str = "special::stages_are_run_by_kernels_made_for_them";
    if let Some(told) = stub::told() {
        return if told == "none" { without_a_compiler() } else { agree_with_the_oracle() };
    }
    if !stub::is_there() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let compiler = stub::build_compiler(folder.path());
    let cache = folder.path().join("kernels");
    let run = |told: &str, compiler: &Path| {
        stub::run_alone(TEST, told, |command| {
            command.env(COMPILER, compiler).env(CACHE, &cache);
        });
    };
    run("made", &compiler);
    let made = kept(&cache);
    // On each of the three devices: of three models a fused stage, by two kernels; the wide layer
    // of one, by a kernel for few rows; in four types each. On the old device the kernels for many
    // rows are those for few.
    assert!(made.len() >= 60, "{made:?}");
    assert!(made.iter().all(|(name, _)| name.ends_with(".cubin")), "{made:?}");
    run("kept", &compiler);
    assert_eq!(kept(&cache), made, "made again");
    // What is spoilt is made again.
    let spoilt = cache.join(&made[0].0);
    fs::write(&spoilt, b"spoilt").expect("a file of our own");
    run("spoilt", &compiler);
    assert!(fs::metadata(&spoilt).expect("it is there").len() > 1000);
    run("none", Path::new("off"));
}

/// How many kernels of a small network on the newest device are made for its stage.
fn kernels_made() -> String {
    let device = open(0).expect("the stub has it");
    println!("device: {}", device.info().detail);
    let kernels = load(&*device, &models()[0], &PlanOptions::default()).kernels().join("\n");
    kernels.matches("(made for its stage)").count().to_string()
}

/// What one compiler made serves where there is none: whatever version it was, and on a machine
/// that has only the driver.
#[test]
fn kept_kernels_serve_without_a_compiler() {
    const TEST: &str = "special::kept_kernels_serve_without_a_compiler";
    if let Some(told) = stub::told() {
        return assert_eq!(kernels_made(), told);
    }
    if !stub::is_there() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let (compiler, cache) = (stub::build_compiler(folder.path()), folder.path().join("kernels"));
    let run = |told: &str, compiler: &Path| {
        stub::run_alone(TEST, told, |command| {
            command.env(COMPILER, compiler).env(CACHE, &cache);
        });
    };
    run("0", Path::new("kept"));
    run("2", &compiler);
    let made = kept(&cache);
    assert!(made.iter().all(|(name, _)| name.ends_with("-12.4.cubin")), "{made:?}");
    run("2", Path::new("kept"));
    run("2", Path::new("/no/such/compiler.so"));
    run("0", Path::new("off"));
    for (name, _) in &made {
        let other = name.replace("-12.4.", "-13.2.");
        fs::rename(cache.join(name), cache.join(other)).expect("files of our own");
    }
    run("2", Path::new("kept"));
}

/// A compiler that is named by a path finds its builtins beside it. One that cannot compile leaves
/// the kernels that travel with the crate, and the list of kernels says so.
#[test]
fn a_compiler_finds_its_builtins_beside_it() {
    const TEST: &str = "special::a_compiler_finds_its_builtins_beside_it";
    if let Some(told) = stub::told() {
        return assert_eq!(kernels_made(), told);
    }
    if !stub::is_there() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let compiler = stub::build_compiler_and_builtins(folder.path());
    let run = |told: &str, compiler: &Path| {
        let cache = tempfile::tempdir().expect("a folder for temporary files");
        stub::run_alone(TEST, told, |command| {
            command.env(COMPILER, compiler).env(CACHE, cache.path());
        });
    };
    run("2", &compiler);
    let elsewhere = tempfile::tempdir().expect("a folder for temporary files");
    let link = elsewhere.path().join("libnvrtc.so");
    std::os::unix::fs::symlink(&compiler, &link).expect("a link");
    run("2", &link);
    let copy = elsewhere.path().join("libnvrtc-copy.so");
    fs::copy(&compiler, &copy).expect("a copy");
    run("0", &copy);
}

/// NVIDIA's own compiler, from the package that `scripts/test` installs.
pub fn nvidias_compiler() -> Option<PathBuf> {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/lib");
    let versions = fs::read_dir(venv).ok()?.filter_map(Result::ok);
    let inside = "site-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.12";
    versions.map(|version| version.path().join(inside)).find(|path| path.exists())
}

/// What it makes is for a card; the driver runs its own kernels in their place.
#[test]
fn nvidias_compiler_takes_the_stages() {
    const TEST: &str = "special::nvidias_compiler_takes_the_stages";
    if stub::told().is_some() {
        return make_them();
    }
    let Some(compiler) = nvidias_compiler() else {
        println!("skipped: no NVRTC in target/venv");
        return;
    };
    if !stub::is_there() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    stub::run_alone(TEST, "made", |command| {
        command.env(COMPILER, &compiler).env(CACHE, folder.path());
    });
    // A kernel for any batch and one for few rows, of each of four types.
    assert_eq!(kept(folder.path()).len(), 8);
}

fn make_them() {
    let device = open(0).expect("the stub has it");
    assert!(device.info().detail.ends_with(", NVRTC 12.0"), "{:?}", device.info());
    for (input, precision) in TYPES {
        let options = PlanOptions { input, precision, ..PlanOptions::default() };
        load(&*device, &models()[0], &options);
    }
}

fn without_a_compiler() {
    assert_eq!(env::var(COMPILER).as_deref(), Ok("off"));
    let device = open(0).expect("the stub has it");
    assert!(device.info().detail.ends_with(", sm_90"), "{:?}", device.info());
    let executable = load(&*device, &models()[0], &PlanOptions::default());
    let expected = "fused_mlp_f32_f32_4 (sm_90); up to 16 rows few_rows_f32_f32_1 (sm_90)";
    assert_eq!(executable.kernels(), [expected]);
    let mut scores = [f32::NAN; 10];
    executable.run(Rows::F32(&[0.5; 100]), &mut scores).expect("it runs");
    assert!(scores.iter().all(|score| score.is_finite()));
}
