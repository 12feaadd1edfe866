//! An ONNX file of any bytes gives a model or a typed error.

#![no_main]

use fusewire::Model;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = Model::from_bytes(bytes);
});
