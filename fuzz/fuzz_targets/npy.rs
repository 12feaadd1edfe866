//! A .npy layer of any bytes gives a model or a typed error.

#![no_main]

use std::io::{Cursor, Write};

use fusewire::Model;
use libfuzzer_sys::fuzz_target;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

fuzz_target!(|bytes: &[u8]| {
    // A sound zip around the bytes lets the fuzzer reach the array's header at once.
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    writer.start_file("0-WEIGHT-w.npy", options).expect("a zip in memory cannot fail");
    writer.write_all(bytes).expect("a zip in memory cannot fail");
    let zip = writer.finish().expect("a zip in memory cannot fail").into_inner();
    let _ = Model::from_bytes(&zip);
});
