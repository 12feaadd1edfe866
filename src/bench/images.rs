//! Generated images: pixel-like rows that need no data set and are the same on every machine.

use half::{bf16, f16};

use crate::backend::Rows;
use crate::model::Model;
use crate::plan::InputType;

/// The seed used where nobody chooses one.
pub const SEED: u64 = 0x5eed;

/// Rows that own their values, `[n, inputs]` row-major.
#[derive(Clone, Debug, PartialEq)]
pub enum OwnedRows {
    /// Values as 32-bit floats.
    F32(Vec<f32>),
    /// Values as bytes.
    U8(Vec<u8>),
    /// Values as IEEE halves.
    F16(Vec<f16>),
    /// Values as bfloat16.
    Bf16(Vec<bf16>),
}

impl OwnedRows {
    /// Pixels as rows of `input`: bytes as they are, or each byte as the value `byte * u8_scale`,
    /// rounded to that type.
    pub fn from_pixels(pixels: Vec<u8>, input: InputType, u8_scale: f32) -> OwnedRows {
        let values = pixels.iter().map(|byte| f32::from(*byte) * u8_scale);
        match input {
            InputType::U8 => OwnedRows::U8(pixels),
            InputType::F32 => OwnedRows::F32(values.collect()),
            InputType::F16 => OwnedRows::F16(values.map(f16::from_f32).collect()),
            InputType::Bf16 => OwnedRows::Bf16(values.map(bf16::from_f32).collect()),
        }
    }

    /// Generated pixels as rows of `input`, scaled as the model says; where it does not, its values
    /// are scaled to 0..1, and rows of bytes are for its plan to refuse.
    pub(super) fn generated(pixels: Vec<u8>, input: InputType, model: &Model) -> OwnedRows {
        let u8_scale = model.u8_scale().value().unwrap_or(Model::U8_SCALE);
        OwnedRows::from_pixels(pixels, input, u8_scale)
    }

    /// Values in all rows together.
    pub fn len(&self) -> usize {
        self.as_rows().values()
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rows of the same type, and none of them.
    pub(super) fn empty_like(&self) -> OwnedRows {
        match self {
            OwnedRows::F32(_) => OwnedRows::F32(Vec::new()),
            OwnedRows::U8(_) => OwnedRows::U8(Vec::new()),
            OwnedRows::F16(_) => OwnedRows::F16(Vec::new()),
            OwnedRows::Bf16(_) => OwnedRows::Bf16(Vec::new()),
        }
    }

    /// Forgets the values and keeps their room.
    pub(super) fn clear(&mut self) {
        match self {
            OwnedRows::F32(values) => values.clear(),
            OwnedRows::U8(bytes) => bytes.clear(),
            OwnedRows::F16(values) => values.clear(),
            OwnedRows::Bf16(values) => values.clear(),
        }
    }

    /// Adds values of the same type; those of another are left out.
    pub(super) fn extend(&mut self, rows: Rows<'_>) {
        match (self, rows) {
            (OwnedRows::F32(values), Rows::F32(more)) => values.extend_from_slice(more),
            (OwnedRows::U8(bytes), Rows::U8(more)) => bytes.extend_from_slice(more),
            (OwnedRows::F16(values), Rows::F16(more)) => values.extend_from_slice(more),
            (OwnedRows::Bf16(values), Rows::Bf16(more)) => values.extend_from_slice(more),
            _ => debug_assert!(false, "rows of another type"),
        }
    }

    /// The rows as backends take them.
    pub fn as_rows(&self) -> Rows<'_> {
        match self {
            OwnedRows::F32(values) => Rows::F32(values),
            OwnedRows::U8(bytes) => Rows::U8(bytes),
            OwnedRows::F16(values) => Rows::F16(values),
            OwnedRows::Bf16(values) => Rows::Bf16(values),
        }
    }
}

/// `rows` images of `inputs` pixels each, `[rows, inputs]` row-major; same seed, same bytes.
///
/// A line across the image is background (0), a garment of smoothly changing brightness, and
/// background again, so that zeros and full range both occur as often as in small photographs.
pub fn pixels(rows: usize, inputs: usize, seed: u64) -> Vec<u8> {
    let mut random = SplitMix64(seed);
    let line = (inputs as f64).sqrt().ceil().max(1.0) as usize;
    let mut pixels = Vec::with_capacity(rows * inputs);
    for _ in 0..rows {
        let mut brightness = random.below(256) as i32;
        for at in 0..inputs.div_ceil(line) {
            let pixels_left = inputs - at * line;
            let garment = random.below(line / 2 + 1)..line - random.below(line / 2 + 1);
            for column in 0..line.min(pixels_left) {
                brightness = (brightness + random.below(49) as i32 - 24).clamp(0, 255);
                pixels.push(if garment.contains(&column) { brightness as u8 } else { 0 });
            }
        }
    }
    pixels
}

/// SplitMix64 (G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators",
/// OOPSLA 2014).
#[derive(Clone, Debug)]
pub(in crate::bench) struct SplitMix64(u64);

impl SplitMix64 {
    pub(in crate::bench) fn new(seed: u64) -> SplitMix64 {
        SplitMix64(seed)
    }

    /// A number from 0 up to, but never, 1.
    pub(in crate::bench) fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which is at least 1.
    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_the_published_one() {
        // The first outputs of the authors' C code for the seed 1234567.
        let mut random = SplitMix64(1_234_567);
        let got = [random.next(), random.next()];
        assert_eq!(got, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn images_repeat_and_look_like_images() {
        let images = pixels(100, 784, SEED);
        assert_eq!(images, pixels(100, 784, SEED));
        assert_ne!(images, pixels(100, 784, SEED + 1));
        let black = images.iter().filter(|byte| **byte == 0).count() as f64 / 78_400.0;
        assert!((0.2..0.8).contains(&black), "{black} of the pixels are background");
        assert!(images.iter().any(|byte| *byte > 240));
        assert_ne!(images[..784], images[784..1568]);
    }

    #[test]
    fn any_width_is_filled() {
        for inputs in [1, 2, 3, 5, 50, 785] {
            assert_eq!(pixels(3, inputs, SEED).len(), 3 * inputs);
        }
    }
}
