//! A TorchScript archive of any code gives a model or a typed error.
//!
//! What is mutated is the code alone; the pickles and storages beside it are sound ones, because a
//! zip's checksums would hide the code from most mutations. Without a line that defines a module,
//! the text stands in the archive's own module as the body of its `forward`.

#![no_main]

use std::io::{Cursor, Write};

use fusewire::Model;
use libfuzzer_sys::fuzz_target;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A sound archive whose module `__torch__.M` has the attributes `w`, `b`, `v` and `sub`.
const ARCHIVE: &[u8] = include_bytes!("torch_script.pt");

fuzz_target!(|code: &[u8]| {
    let _ = Model::from_bytes(&with_code(code));
});

fn with_code(code: &[u8]) -> Vec<u8> {
    let body = String::from_utf8_lossy(code);
    let code = if body.contains("class ") {
        body.into_owned()
    } else {
        let body = body.replace('\n', "\n    ");
        format!("class M(Module):\n  def forward(self: M, x: Tensor) -> Tensor:\n    {body}\n")
    };
    // The archive is this program's own, so that nothing of it can fail.
    let mut archive = zip::ZipArchive::new(Cursor::new(ARCHIVE)).unwrap();
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for index in 0..archive.len() {
        zip.raw_copy_file(archive.by_index_raw(index).unwrap()).unwrap();
    }
    zip.start_file("archive/code/__torch__.py", options).unwrap();
    zip.write_all(code.as_bytes()).unwrap();
    zip.finish().unwrap().into_inner()
}
