//! The idx format of MNIST and its successors, with or without gzip.
//!
//! Two zero bytes, a type (8 for unsigned bytes), the number of dimensions, each dimension as a
//! big-endian u32, then the values row-major. Source: Y. LeCun, "The MNIST database".

use std::io::Read;

use anyhow::{Result, bail, ensure};
use flate2::read::MultiGzDecoder;

use super::{BYTES_MAX, TOO_LARGE, Wanted};
use crate::bench::images::OwnedRows;

/// Images, `[n, ...]` with as many pixels each as the model has inputs.
pub(super) fn rows(bytes: &[u8], wanted: &Wanted<'_>) -> Result<OwnedRows> {
    let pixels = values(bytes, |dimensions| {
        let pixels = product(&dimensions[1..]);
        ensure!(
            dimensions.len() > 1 && pixels == wanted.inputs as u64,
            "idx: expected images of {} pixels, got {}",
            wanted.inputs,
            shape(dimensions)
        );
        Ok(())
    })?;
    wanted.rows_of(pixels)
}

/// Whether what gzip has packed begins as idx does, or is damaged.
pub(super) fn is_packed(bytes: &[u8]) -> bool {
    let mut magic = [0; 2];
    MultiGzDecoder::new(bytes).read_exact(&mut magic).is_err() || magic == [0, 0]
}

/// Labels, `[n]`.
pub(super) fn labels(bytes: &[u8]) -> Result<Vec<usize>> {
    let labels = values(bytes, |dimensions| {
        let got = shape(dimensions);
        ensure!(dimensions.len() == 1, "idx: expected one dimension of labels, got {got}");
        Ok(())
    })?;
    Ok(labels.into_iter().map(usize::from).collect())
}

/// The values, once `check` has agreed to the dimensions.
fn values(bytes: &[u8], check: impl Fn(&[u32]) -> Result<()>) -> Result<Vec<u8>> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        let mut reader = bytes;
        let dimensions = header(&mut reader)?;
        check(&dimensions)?;
        let expected = product(&dimensions);
        ensure!(reader.len() as u64 == expected, mismatch(&dimensions, reader.len() as u64));
        return Ok(reader.to_vec());
    }
    let mut reader = MultiGzDecoder::new(bytes);
    let dimensions = header(&mut reader)?;
    check(&dimensions)?;
    let expected = product(&dimensions);
    ensure!(expected <= BYTES_MAX as u64, "idx: {} values; {TOO_LARGE}", shape(&dimensions));
    // One byte more than announced tells a longer file, however much gzip would go on to unpack.
    let mut values = Vec::new();
    reader.take(expected + 1).read_to_end(&mut values)?;
    ensure!(values.len() as u64 == expected, mismatch(&dimensions, values.len() as u64));
    Ok(values)
}

fn header(reader: &mut impl Read) -> Result<Vec<u32>> {
    let mut magic = [0; 4];
    reader.read_exact(&mut magic)?;
    let [0, 0, kind, count @ 1..=4] = magic else {
        bail!("idx: expected the magic 0, 0, type, 1 to 4 dimensions, got {magic:?}");
    };
    ensure!(kind == 8, "idx: expected unsigned bytes (type 0x08), got type {kind:#04x}");
    let mut dimensions = vec![0; usize::from(count)];
    for dimension in &mut dimensions {
        let mut bytes = [0; 4];
        reader.read_exact(&mut bytes)?;
        *dimension = u32::from_be_bytes(bytes);
    }
    Ok(dimensions)
}

/// The number of values, saturating where the header lies beyond measure.
fn product(dimensions: &[u32]) -> u64 {
    dimensions.iter().fold(1, |product: u64, size| product.saturating_mul(u64::from(*size)))
}

fn shape(dimensions: &[u32]) -> String {
    let sizes: Vec<String> = dimensions.iter().map(u32::to_string).collect();
    sizes.join("x")
}

fn mismatch(dimensions: &[u32], got: u64) -> String {
    let (expected, shape) = (product(dimensions), shape(dimensions));
    let got = if got > expected { String::from("more") } else { got.to_string() };
    format!("idx: expected {expected} bytes of values for {shape}, got {got}")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::model::U8Scale;
    use crate::plan::InputType;

    const WANTED: Wanted<'_> =
        Wanted { inputs: 4, input: InputType::U8, u8_scale: U8Scale::User(1.0), labels: None };

    fn idx(dimensions: &[u32], values: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, dimensions.len() as u8];
        bytes.extend(dimensions.iter().flat_map(|size| size.to_be_bytes()));
        bytes.extend(values);
        bytes
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn images_and_labels_with_and_without_gzip() {
        let images = idx(&[2, 2, 2], &[1, 2, 3, 4, 5, 6, 7, 8]);
        let expected = OwnedRows::U8(vec![1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(rows(&images, &WANTED).unwrap(), expected);
        assert_eq!(rows(&gzip(&images), &WANTED).unwrap(), expected);
        assert_eq!(labels(&gzip(&idx(&[3], &[9, 0, 1]))).unwrap(), [9, 0, 1]);
    }

    #[test]
    fn lies_about_counts_are_refused_before_anything_is_allocated() {
        for dimensions in [&[3, 2, 2][..], &[1, 2, 2], &[u32::MAX, 2, 2], &[u32::MAX; 4], &[8]] {
            let lie = idx(dimensions, &[0; 8]);
            assert!(rows(&lie, &WANTED).is_err(), "{dimensions:?}");
            assert!(rows(&gzip(&lie), &WANTED).is_err(), "{dimensions:?} in gzip");
        }
        assert!(labels(&idx(&[2, 2], &[0; 4])).is_err());
    }

    #[test]
    fn damaged_files_are_refused() {
        let good = idx(&[2, 2, 2], &[0; 8]);
        for length in 0..good.len() {
            assert!(rows(&good[..length], &WANTED).is_err(), "cut to {length} bytes");
        }
        let packed = gzip(&good);
        for length in 2..packed.len() - 8 {
            assert!(rows(&packed[..length], &WANTED).is_err(), "gzip cut to {length} bytes");
        }
        let mut floats = good.clone();
        floats[2] = 0x0d;
        assert!(rows(&floats, &WANTED).unwrap_err().to_string().contains("0x0d"));
    }

    #[test]
    fn a_gzip_bomb_unpacks_no_further_than_announced() {
        let mut bytes = idx(&[1, 2, 2], &[]);
        bytes.resize(64 << 20, 0);
        let error = rows(&gzip(&bytes), &WANTED).unwrap_err().to_string();
        assert_eq!(error, "idx: expected 4 bytes of values for 1x2x2, got more");
    }
}
