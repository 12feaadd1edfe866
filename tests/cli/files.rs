//! The files these tests feed to the command, written from the formats' own descriptions.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use fusewire::Model;
use image::{GrayImage, ImageFormat};
use tempfile::TempDir;

/// A folder of files that goes when the test ends.
pub struct Files(TempDir);

impl Files {
    pub fn new() -> Files {
        Files(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub fn model(&self, name: &str, model: &Model) -> String {
        let path = self.path(name);
        model.save(Path::new(&path)).unwrap();
        path
    }

    pub fn png(&self, name: &str, width: u32, height: u32, pixels: &[u8]) -> String {
        let path = self.path(name);
        let picture = GrayImage::from_raw(width, height, pixels.to_vec()).unwrap();
        picture.save_with_format(&path, ImageFormat::Png).unwrap();
        path
    }
}

/// Unsigned bytes as idx.
pub fn idx(dimensions: &[u32], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dimensions.len() as u8];
    bytes.extend(dimensions.iter().flat_map(|size| size.to_be_bytes()));
    bytes.extend(values);
    bytes
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Version 1 of numpy's format.
pub fn npy(kind: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values);
    bytes
}
