//! PNG and JPEG pictures: one row each, as grey pixels.

use std::io::Cursor;

use anyhow::{Result, ensure};
use image::{ImageFormat, ImageReader, Limits};

use super::Wanted;
use crate::bench::images::OwnedRows;

/// The most memory decoding may take.
const DECODE_BYTES_MAX: u64 = 64 << 20;

/// The pixels of a picture, as luma, with transparency ignored; never resized.
pub(super) fn row(bytes: &[u8], format: ImageFormat, wanted: &Wanted<'_>) -> Result<OwnedRows> {
    let (width, height) = reader(bytes, format).into_dimensions()?;
    let inputs = wanted.inputs as u64;
    let fits = match square_side(inputs) {
        Some(side) => u64::from(width) == side && u64::from(height) == side,
        None => u64::from(width) * u64::from(height) == inputs,
    };
    let expected = match square_side(inputs) {
        Some(side) => format!("{side}x{side} pixels"),
        None => format!("{inputs} pixels"),
    };
    ensure!(
        fits,
        "expected {expected} for a row of {inputs}, got {width}x{height}; resize the picture first"
    );
    wanted.rows_of(reader(bytes, format).decode()?.into_luma8().into_raw())
}

fn reader(bytes: &[u8], format: ImageFormat) -> ImageReader<Cursor<&[u8]>> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(DECODE_BYTES_MAX);
    reader.limits(limits);
    reader
}

/// The side of a square of that many pixels, where there is one: 28 for 784.
fn square_side(pixels: u64) -> Option<u64> {
    let side = pixels.isqrt();
    (side * side == pixels).then_some(side)
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, GrayImage, RgbImage};

    use super::*;
    use crate::model::U8Scale;
    use crate::plan::InputType;

    fn png(picture: DynamicImage) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    fn wanted(inputs: usize) -> Wanted<'static> {
        Wanted { inputs, input: InputType::U8, u8_scale: U8Scale::User(1.0), labels: None }
    }

    #[test]
    fn grey_pixels_are_read_row_by_row() {
        let picture = GrayImage::from_raw(2, 2, vec![1, 2, 3, 4]).unwrap();
        let got = row(&png(picture.into()), ImageFormat::Png, &wanted(4)).unwrap();
        assert_eq!(got, OwnedRows::U8(vec![1, 2, 3, 4]));
        let picture = RgbImage::from_raw(1, 2, vec![9, 9, 9, 255, 255, 255]).unwrap();
        let got = row(&png(picture.into()), ImageFormat::Png, &wanted(2)).unwrap();
        assert_eq!(got, OwnedRows::U8(vec![9, 255]));
    }

    #[test]
    fn another_size_is_refused_with_what_would_fit() {
        let bytes = png(GrayImage::new(1, 4).into());
        let error = row(&bytes, ImageFormat::Png, &wanted(4)).unwrap_err().to_string();
        assert!(error.starts_with("expected 2x2 pixels for a row of 4, got 1x4"), "{error}");
        assert!(row(&bytes, ImageFormat::Png, &wanted(5)).is_err());
        assert!(row(&bytes[..20], ImageFormat::Png, &wanted(4)).is_err());
    }
}
