//! What several test programs share: a seeded generator, random models, the images of `../shared`.

#![allow(dead_code)]

pub mod paper;

use std::path::PathBuf;

use fusewire::backend::Device;
use fusewire::{Activation, BackendKind, Dense, InputType, Model, Precision, Rows, bf16, f16};

/// SplitMix64 (Steele, Lea, Flood 2014): seeded numbers, the same on every machine.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A whole number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.bits() % end as u64) as usize
    }

    /// The bytes with one to four of them replaced.
    pub fn damaged(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut damaged = bytes.to_vec();
        for _ in 0..1 + self.below(4) {
            let at = self.below(damaged.len());
            damaged[at] = self.below(256) as u8;
        }
        damaged
    }

    /// A number in `-1.0..1.0`.
    pub fn symmetric(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    }

    /// A whole number in `1..=most`, every magnitude equally likely.
    pub fn width(&mut self, most: usize) -> usize {
        let exponent = (self.bits() >> 11) as f64 / (1_u64 << 53) as f64;
        ((most as f64 + 1.0).powf(exponent) as usize).clamp(1, most)
    }

    /// `count` numbers in `-1.0..1.0`.
    pub fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.symmetric()).collect()
    }

    /// `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.bits() as u8).collect()
    }
}

/// Rows of any type, which own their values.
#[derive(Clone, Debug)]
pub enum Batch {
    F32(Vec<f32>),
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
    U8(Vec<u8>),
}

impl Batch {
    /// `count` random values of a type: numbers in `-1.0..1.0`, or bytes.
    pub fn random(input: InputType, count: usize, random: &mut Random) -> Batch {
        match input {
            InputType::U8 => Batch::U8(random.bytes(count)),
            _ => Batch::of(input, &random.values(count)),
        }
    }

    /// Numbers, rounded to a type of floats.
    pub fn of(input: InputType, values: &[f32]) -> Batch {
        let values = values.iter().copied();
        match input {
            InputType::F16 => Batch::F16(values.map(f16::from_f32).collect()),
            InputType::Bf16 => Batch::Bf16(values.map(bf16::from_f32).collect()),
            InputType::F32 => Batch::F32(values.collect()),
            other => panic!("{other:?} is no type of floats"),
        }
    }

    /// As backends take them.
    pub fn rows(&self) -> Rows<'_> {
        match self {
            Batch::F32(values) => Rows::F32(values),
            Batch::F16(values) => Rows::F16(values),
            Batch::Bf16(values) => Rows::Bf16(values),
            Batch::U8(values) => Rows::U8(values),
        }
    }
}

/// A model of these widths with random weights that keep values near 1, and biases on some layers.
pub fn model(random: &mut Random, widths: &[usize], mut next: impl FnMut() -> Activation) -> Model {
    let layer = |pair: &[usize]| {
        let spread = (3.0 / pair[0] as f32).sqrt();
        let weight = random.values(pair[0] * pair[1]).iter().map(|w| w * spread).collect();
        let bias = (random.below(3) > 0).then(|| random.values(pair[1]));
        Dense::new(pair[0], pair[1], weight, bias, next()).expect("a sound layer")
    };
    Model::from_layers(widths.windows(2).map(layer).collect()).expect("a sound chain")
}

/// Where the folder of `../shared` lies, for programs that run on a machine without the project.
const SHARED: &str = "FUSEWIRE_TEST_SHARED";

/// A file or folder beside the project, or `None` with a line that says what is skipped.
pub fn shared(path: &str) -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os(SHARED) {
        let path = PathBuf::from(folder).join(path);
        assert!(path.exists(), "{SHARED}: there is no {}", path.display());
        return Some(path);
    }
    let shared = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared"));
    if !shared.is_dir() {
        println!("skipped: ../shared is missing");
        return None;
    }
    Some(shared.join(path))
}

/// Whether a device has kernels for int8; the others refuse it.
pub fn has_int8(device: &dyn Device) -> bool {
    matches!(device.info().backend, BackendKind::Cpu)
}

/// The precisions that a device has kernels for.
pub fn precisions(device: &dyn Device) -> Vec<Precision> {
    let all = Precision::ALL.into_iter();
    all.filter(|precision| *precision != Precision::Int8 || has_int8(device)).collect()
}
