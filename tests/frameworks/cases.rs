//! One zip of cases: unpacked, loaded, compared.

use std::fs;
use std::io::{Cursor, Read};
use std::path::Path;

use fusewire::backend::cpu::oracle;
use fusewire::model::{Layout, LoadOptions};
use fusewire::{Model, Rows};
use serde::Deserialize;
use zip::ZipArchive;

/// What scores may differ by, in units of the largest score, or of 1 where all are smaller.
const TOLERANCE: f64 = 1e-5;

/// What a case says about its model.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    load: String,
    refused: Option<String>,
    activation: Option<String>,
    #[serde(rename = "final")]
    ending: Option<String>,
    order: Option<Vec<String>>,
    layout: Option<String>,
    #[serde(default)]
    external_data: bool,
}

/// Loads every model of the zip; each must give its framework's scores, or be refused as the case
/// says. There must be `count` cases.
pub fn check(zip: &str, count: usize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/frameworks").join(zip);
    let directory = tempfile::tempdir().unwrap();
    unpack(&fs::read(path).unwrap(), directory.path());
    let mut folders: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let wrong: Vec<String> = folders.iter().filter_map(|folder| complaint(folder)).collect();
    assert!(wrong.is_empty(), "{zip}: {} of {}:\n{}", wrong.len(), count, wrong.join("\n"));
    assert_eq!(folders.len(), count, "{zip}");
}

fn unpack(bytes: &[u8], directory: &Path) {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).unwrap();
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).unwrap();
        let path = directory.join(&*member.name().unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut content = Vec::new();
        member.read_to_end(&mut content).unwrap();
        fs::write(path, content).unwrap();
    }
}

/// What is wrong with a case, if anything is.
fn complaint(folder: &Path) -> Option<String> {
    let name = folder.file_name().unwrap().to_string_lossy();
    let case: Case = serde_json::from_slice(&fs::read(folder.join("case.json")).unwrap()).unwrap();
    let model = Model::load_with(folder.join("model").join(&case.load), &case.options());
    match (model, case.refused) {
        (Ok(_), Some(part)) => Some(format!("{name}: read, not refused with '{part}'")),
        (Err(error), Some(part)) => {
            let error = error.to_string();
            (!error.contains(&part)).then(|| format!("{name}: '{part}' is not in: {error}"))
        }
        (Err(error), None) => Some(format!("{name}: {error}")),
        (Ok(model), None) => {
            let difference = difference(&model, folder);
            (difference >= TOLERANCE).then(|| format!("{name}: scores differ by {difference:e}"))
        }
    }
}

impl Case {
    fn options(&self) -> LoadOptions {
        LoadOptions {
            activation: self.activation.as_ref().map(|text| text.parse().unwrap()),
            ending: self.ending.as_ref().map(|text| text.parse().unwrap()),
            order: self.order.clone(),
            layout: self.layout.as_ref().map(|text| match text.as_str() {
                "inputs_first" => Layout::InputsFirst,
                "outputs_first" => Layout::OutputsFirst,
                other => panic!("no layout: {other}"),
            }),
            external_data: self.external_data,
            ..LoadOptions::default()
        }
    }
}

/// The largest difference to the framework's scores, in units of the largest, or of 1.
fn difference(model: &Model, folder: &Path) -> f64 {
    let numbers = |name: &str| -> Vec<f32> {
        let bytes = fs::read(folder.join(name)).unwrap();
        bytes.as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)).collect()
    };
    let expected = numbers("scores.f32");
    let scores = oracle(model, Rows::F32(&numbers("rows.f32")));
    assert_eq!(scores.len(), expected.len(), "{}", folder.display());
    let largest = expected.iter().fold(1.0_f64, |most, score| most.max(f64::from(score.abs())));
    let differences = scores.iter().zip(&expected).map(|(a, b)| (a - f64::from(*b)).abs());
    differences.fold(0.0, f64::max) / largest
}
