//! Rows and labels from files: one file per kind, every size checked before it is allocated.
//!
//! The kind is told by content. Only `.raw` and `.bin` files, files named after the type of their
//! values, such as `.u8`, and standard input are read as raw values whatever they hold, because raw
//! values can look like anything.

mod idx;
mod image;
mod npy;
mod raw;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use ::image::ImageFormat;
use anyhow::{Context, Result, bail, ensure};

use crate::bench::images::OwnedRows;
use crate::model::Model;
use crate::plan::InputType;

/// The most bytes a file may have, and the most that gzip may unpack to.
const BYTES_MAX: usize = 512 << 20;

/// The most rows or labels a file may have, so that their answers fit memory however narrow they
/// are.
const ROWS_MAX: usize = 1 << 22;

/// The rows a plan takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    inputs: usize,
    input: InputType,
    u8_scale: f32,
}

impl Wanted {
    pub(super) fn new(model: &Model, input: InputType) -> Wanted {
        Wanted { inputs: model.inputs(), input, u8_scale: model.u8_scale() }
    }

    /// The rows that bytes of pixels stand for: as they are, or as byte * u8_scale.
    fn rows_of(&self, pixels: Vec<u8>) -> OwnedRows {
        OwnedRows::from_pixels(pixels, self.input, self.u8_scale)
    }
}

/// The values that bytes are, of a type of `N` bytes.
fn each<const N: usize, T>(bytes: &[u8], value: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (values, _) = bytes.as_chunks::<N>();
    values.iter().map(|bytes| value(*bytes)).collect()
}

/// Reads the rows of a file, or of standard input for `-`; at least one.
pub(super) fn read_rows(path: &str, wanted: &Wanted) -> Result<OwnedRows> {
    let bytes = read(path)?;
    let read = || match Kind::of(path, &bytes) {
        Kind::Npy => npy::rows(&bytes, wanted),
        Kind::Idx | Kind::Gzip => idx::rows(&bytes, wanted),
        Kind::Image(format) => image::row(&bytes, format, wanted),
        Kind::Raw => raw::rows(&bytes, wanted),
    };
    let rows = read().with_context(|| path.to_owned())?;
    check_count(path, rows.as_rows().values() / wanted.inputs)?;
    Ok(rows)
}

/// Reads one class per row from an idx or npy file.
pub(super) fn read_labels(path: &str) -> Result<Vec<usize>> {
    let bytes = read(path)?;
    let read = || match Kind::of(path, &bytes) {
        Kind::Npy => npy::labels(&bytes),
        Kind::Idx | Kind::Gzip => idx::labels(&bytes),
        _ => bail!("expected labels as idx (with or without gzip) or npy"),
    };
    let labels = read().with_context(|| path.to_owned())?;
    check_count(path, labels.len())?;
    Ok(labels)
}

fn check_count(path: &str, rows: usize) -> Result<()> {
    ensure!(rows > 0, "{path}: expected at least one row, got none");
    ensure!(rows <= ROWS_MAX, "{path}: expected at most {ROWS_MAX} rows, got {rows}; split it");
    Ok(())
}

/// All bytes of a file or of standard input, at least one and at most [`BYTES_MAX`].
fn read(path: &str) -> Result<Vec<u8>> {
    let read = || -> Result<Vec<u8>> {
        if path == "-" {
            return read_bounded(io::stdin().lock());
        }
        let file = File::open(path)?;
        let about = file.metadata()?;
        ensure!(!about.is_dir(), "a directory; expected a file of rows");
        ensure!(about.len() <= BYTES_MAX as u64, "{} bytes; {TOO_LARGE}", about.len());
        read_bounded(file)
    };
    read().with_context(|| path.to_owned())
}

const TOO_LARGE: &str = "at most 512 MiB a file, so split it";

fn read_bounded(reader: impl Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() <= BYTES_MAX, "{TOO_LARGE}");
    ensure!(!bytes.is_empty(), "no bytes; expected rows");
    Ok(bytes)
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Npy,
    Idx,
    Gzip,
    Image(ImageFormat),
    Raw,
}

impl Kind {
    fn of(path: &str, bytes: &[u8]) -> Kind {
        let extension = Path::new(path).extension().and_then(|extension| extension.to_str());
        let is_raw = |name| ["raw", "bin"].contains(&name) || is_input_type(name);
        if path == "-" || extension.is_some_and(is_raw) {
            return Kind::Raw;
        }
        match bytes {
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => Kind::Npy,
            [0x1f, 0x8b, ..] => Kind::Gzip,
            [0x89, b'P', b'N', b'G', ..] => Kind::Image(ImageFormat::Png),
            [0xff, 0xd8, 0xff, ..] => Kind::Image(ImageFormat::Jpeg),
            [0, 0, 0x08 | 0x09 | 0x0b..=0x0e, 1..=4, ..] => Kind::Idx,
            _ => Kind::Raw,
        }
    }
}

fn is_input_type(name: &str) -> bool {
    InputType::ALL.iter().any(|input| input.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_is_told_by_content_unless_the_name_says_raw() {
        let idx = [0, 0, 8, 3, 0, 0];
        assert_eq!(Kind::of("images", &idx), Kind::Idx);
        for name in ["images.u8", "images.bf16", "images.raw"] {
            assert_eq!(Kind::of(name, &idx), Kind::Raw, "{name}");
        }
        assert_eq!(Kind::of("-", &idx), Kind::Raw);
        assert_eq!(Kind::of("a.png", b"\x93NUMPY\x01"), Kind::Npy);
        assert_eq!(Kind::of("a", &[0; 16]), Kind::Raw);
    }
}
