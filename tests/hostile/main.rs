//! Files that attack whoever reads them: the cases behind the vulnerabilities that programs of this
//! kind have had, each refused by a typed error of one line, soon and in little memory.
//!
//! One test in a program of its own, because the allocator it counts with sees every thread.

#![allow(unsafe_code)]

#[path = "../common/counting.rs"]
mod counting;
mod lengths;
mod outside;
mod pickles;
mod wire;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use fusewire::model::LoadOptions;
use fusewire::{Model, ModelError};

/// What a refusal may take.
const TIME_MAX: Duration = Duration::from_secs(1);
const BYTES_MAX: usize = 64 << 20;

/// A hostile file, or folder of files.
struct Attack {
    /// What it is, with the number of a vulnerability where it has one.
    name: &'static str,
    /// Writes it into an empty folder.
    write: fn(&Path),
    /// The file in the folder that is opened; empty: the folder.
    open: &'static str,
    /// What the caller says.
    options: LoadOptions,
    /// A part of the refusal.
    refused: &'static str,
}

impl Attack {
    /// A file of these bytes.
    const fn file(name: &'static str, write: fn(&Path), refused: &'static str) -> Attack {
        let options = LoadOptions {
            activation: None,
            ending: None,
            order: None,
            layout: None,
            epsilon: None,
            external_data: false,
        };
        Attack { name, write, open: "model", options, refused }
    }

    /// What is wrong with how it was met, if anything is.
    fn complaint(&self) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        (self.write)(folder.path());
        let path = folder.path().join(self.open);
        let start = Instant::now();
        let (read, peak) = counting::peak_bytes(|| Model::load_with(&path, &self.options));
        let took = start.elapsed();
        let wrong = match read {
            Ok(model) => format!("was read as {}", model.architecture()),
            Err(ModelError::Io { message, .. }) => format!("could not be opened: {message}"),
            Err(error) => {
                let text = error.to_string();
                match text.contains(self.refused) && !text.contains('\n') {
                    _ if took > TIME_MAX => format!("took {took:?}: {text}"),
                    _ if peak > BYTES_MAX => format!("took {peak} bytes: {text}"),
                    true => return None,
                    false => format!("'{}' is not in: {text}", self.refused),
                }
            }
        };
        Some(format!("{}: {wrong}", self.name))
    }
}

/// Writes the bytes that most attacks consist of.
fn put(folder: &Path, bytes: impl AsRef<[u8]>) {
    fs::write(folder.join("model"), bytes).unwrap();
}

#[test]
fn attacks_are_refused() {
    let attacks: Vec<Attack> = [lengths::attacks(), outside::attacks(), pickles::attacks()]
        .into_iter()
        .flatten()
        .collect();
    let wrong: Vec<String> = attacks.iter().filter_map(Attack::complaint).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), attacks.len(), wrong.join("\n"));
    println!("{} attacks refused", attacks.len());
}
