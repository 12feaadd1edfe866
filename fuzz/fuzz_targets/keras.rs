//! A Keras model of any bytes gives a model or a typed error: HDF5 as it is, and any other bytes as
//! the configuration of an archive around sound weights.

#![no_main]

use std::io::{Cursor, Write};

use fusewire::Model;
use libfuzzer_sys::fuzz_target;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Weights of two dense layers with a batch normalisation between them, 6-5-4.
const WEIGHTS: &[u8] = include_bytes!("../weights.h5");

fuzz_target!(|bytes: &[u8]| {
    if bytes.starts_with(b"\x89HDF") || bytes.starts_with(b"PK") {
        let _ = Model::from_bytes(bytes);
        return;
    }
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let members = [
        ("metadata.json", &br#"{"keras_version": "3.0.0"}"#[..]),
        ("config.json", bytes),
        ("model.weights.h5", WEIGHTS),
    ];
    for (name, member) in members {
        writer.start_file(name, options).expect("a zip in memory cannot fail");
        writer.write_all(member).expect("a zip in memory cannot fail");
    }
    let zip = writer.finish().expect("a zip in memory cannot fail").into_inner();
    let _ = Model::from_bytes(&zip);
});
