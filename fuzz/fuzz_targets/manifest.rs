//! A model.toml of any text is read or refused; the file it names is not there.

#![no_main]

use fusewire::Model;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // The key that makes a text a manifest, so that no input is spent on finding it.
    let _ = Model::from_bytes(&[b"weights = 'w'\n", bytes].concat());
});
