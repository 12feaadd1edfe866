//! Files made by ONNX's own tools, against ONNX Runtime's scores.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fusewire::backend::cpu::oracle;
use fusewire::{Model, Rows};

/// The Python that the environment names, which has onnx and onnxruntime, if it names one.
pub fn python() -> Option<OsString> {
    let python = std::env::var_os("FUSEWIRE_PYTHON");
    if python.is_none() {
        println!("skipped: FUSEWIRE_PYTHON is not set");
    }
    python
}

/// The fixtures, written anew.
fn fixtures() -> Option<Vec<PathBuf>> {
    let python = python()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap().keep();
    let script = root.join("tests/python/make_onnx_fixtures.py");
    let status = Command::new(python).arg(script).arg(&directory).status().unwrap();
    assert!(status.success(), "the fixture script failed");
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    Some(files.filter(|path| path.extension().is_some_and(|end| end == "onnx")).collect())
}

/// The numbers of a file of little-endian float32.
pub fn numbers(path: &Path) -> Vec<f32> {
    let bytes = fs::read(path).unwrap();
    bytes.as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)).collect()
}

/// The largest difference to the peer's scores, in units of the largest score or 1.
fn difference(model: &Model, path: &Path) -> f64 {
    let (rows, expected) = (path.with_extension("rows"), numbers(&path.with_extension("scores")));
    let scores = oracle(model, Rows::F32(&numbers(&rows)));
    assert_eq!(scores.len(), expected.len(), "{}", path.display());
    let largest = expected.iter().fold(1.0_f64, |most, score| most.max(f64::from(score.abs())));
    let differences = scores.iter().zip(&expected).map(|(a, b)| (a - f64::from(*b)).abs());
    differences.fold(0.0, f64::max) / largest
}

#[test]
fn scores_are_those_of_onnx_runtime() {
    let Some(files) = fixtures() else { return };
    let (mut made, mut passed, mut refused) = (0, 0, 0);
    for path in &files {
        let name = path.file_stem().unwrap().to_string_lossy();
        let is_made = name.starts_with("made-");
        match Model::load(path) {
            Ok(model) => {
                let difference = difference(&model, path);
                assert!(difference < 1e-5, "{name}: differs by {difference}");
                *(if is_made { &mut made } else { &mut passed }) += 1;
            }
            Err(error) => {
                assert!(!is_made, "{name}: {error}");
                println!("refused: {name}: {error}");
                refused += 1;
            }
        }
    }
    println!("{made} made models agree; of ONNX's suite {passed} agree and {refused} are refused");
    assert!(made > 250, "only {made} made models were read");
    fs::remove_dir_all(files[0].parent().unwrap()).unwrap();
}
