//! A PyTorch file of any bytes gives a model or a typed error.

#![no_main]

use std::io::{Cursor, Write};

use fusewire::model::{Ending, LoadOptions};
use fusewire::{Activation, Model};
use libfuzzer_sys::fuzz_target;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// What a file of before PyTorch 1.6 begins with: magic number, version, byte order.
const PREAMBLE: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\
    \x80\x02}X\x0d\x00\x00\x00little_endian\x88s.";

fuzz_target!(|bytes: &[u8]| {
    let options = LoadOptions {
        activation: Some(Activation::Relu),
        ending: Some(Ending::Activation(Activation::Identity)),
        ..LoadOptions::default()
    };
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let file = match kind % 3 {
        0 => bytes.to_vec(),
        1 => [PREAMBLE, bytes].concat(),
        _ => zipped(bytes),
    };
    let _ = Model::from_bytes_with(&file, &options);
});

/// A sound zip around a pickle lets the fuzzer reach that at once; storages '0' to '3' are there.
fn zipped(pickle: &[u8]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut member = |name: &str, bytes: &[u8]| {
        writer.start_file(name, options).expect("a zip in memory cannot fail");
        writer.write_all(bytes).expect("a zip in memory cannot fail");
    };
    member("m/data.pkl", pickle);
    // The lengths of 3-2-1 in f32: its weights and biases.
    for (name, length) in [("0", 24), ("1", 8), ("2", 8), ("3", 4)] {
        member(&format!("m/data/{name}"), &vec![0x3d; length]);
    }
    writer.finish().expect("a zip in memory cannot fail").into_inner()
}
