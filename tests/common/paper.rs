//! The paper's 1,000 labelled images and reference scores, where `../shared` is there.

use std::fs::File;
use std::io::Read;

use flate2::read::GzDecoder;

use super::shared;

/// Labelled images.
pub const IMAGES: usize = 1000;
/// Scores of an image.
pub const CLASSES: usize = 10;

/// The images' bytes, `[1000, 784]`.
pub fn images() -> Option<Vec<u8>> {
    idx("images-idx3-ubyte.gz", 16)
}

/// The images' classes, `[1000]`.
pub fn labels() -> Option<Vec<u8>> {
    idx("labels-idx1-ubyte.gz", 8)
}

/// The payload of an idx file behind a header of `header` bytes.
fn idx(name: &str, header: usize) -> Option<Vec<u8>> {
    let file = File::open(shared("data/fashion-mnist-1000")?.join(name)).unwrap();
    let mut bytes = Vec::new();
    GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    Some(bytes.split_off(header))
}

/// Reference scores, `[1000, 10]` f64, behind numpy's 128-byte header.
pub fn reference(name: &str) -> Option<Vec<f64>> {
    let bytes = std::fs::read(shared("data/fashion-mnist-1000")?.join(name)).unwrap();
    let (numbers, _) = bytes[bytes.len() - 8 * IMAGES * CLASSES..].as_chunks();
    Some(numbers.iter().map(|number| f64::from_le_bytes(*number)).collect())
}
