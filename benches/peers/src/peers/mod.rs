//! The peers in Rust, a file each, and the list of all peers.

mod candle;
mod fusewire;
mod hand_written;
mod onnxruntime;
mod tract;

use std::path::Path;

use ::fusewire::{InputType, Precision};
use anyhow::{Result, bail};

/// A runtime with the network loaded, called on this thread.
pub trait Peer {
    /// The runtime and its version.
    fn version(&self) -> String;

    /// Runs a batch; its scores, `[rows, classes]` row-major.
    ///
    /// Called for any batch size before a clock starts, so what a runtime does once for each size
    /// is not timed.
    fn run(&mut self, batch: Batch<'_>, scores: &mut [f32]) -> Result<()>;
}

/// Rows in the forms that peers take.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// How many.
    pub rows: usize,
    /// Their values, as the network was trained on them.
    pub values: &'a [f32],
    /// The same rows as bytes.
    pub bytes: &'a [u8],
}

/// Loads a runtime from the folder of files that all peers share. An error that is
/// [`Missing`](crate::protocol::Missing) is no fault.
pub type Load = fn(&Path) -> Result<Box<dyn Peer>>;

/// How a peer is started.
#[derive(Clone, Copy)]
pub enum Kind {
    /// This program again, with fusewire and these options.
    Fusewire(InputType, Precision),
    /// This program again, with another runtime.
    Rust(Load),
    /// Python: `peer_NAME.py`, with `_` for `-`.
    Python,
}

/// A peer as it is named, chosen, and reported.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The name.
    pub name: &'static str,
    /// How it is started.
    pub kind: Kind,
}

impl Entry {
    const fn new(name: &'static str, kind: Kind) -> Entry {
        Entry { name, kind }
    }

    /// What its scores may be off, as a share of the row's largest.
    pub fn tolerance(&self) -> f64 {
        match self.kind {
            Kind::Fusewire(_, precision) => precision.tolerance(),
            Kind::Rust(_) | Kind::Python => Precision::F32.tolerance(),
        }
    }
}

/// Every peer, in the order of the table. All others are compared with the first.
pub const ALL: &[Entry] = &[
    Entry::new("fusewire-f32", Kind::Fusewire(InputType::F32, Precision::F32)),
    Entry::new("fusewire-u8", Kind::Fusewire(InputType::U8, Precision::F32)),
    Entry::new("fusewire-f16", Kind::Fusewire(InputType::F32, Precision::F16)),
    Entry::new("fusewire-bf16", Kind::Fusewire(InputType::U8, Precision::Bf16)),
    Entry::new("fusewire-int8", Kind::Fusewire(InputType::U8, Precision::Int8)),
    Entry::new("hand-written", Kind::Rust(hand_written::load)),
    Entry::new("onnxruntime-c", Kind::Rust(onnxruntime::load)),
    Entry::new("tract", Kind::Rust(tract::load)),
    Entry::new("candle", Kind::Rust(candle::load)),
    Entry::new("onnxruntime-python", Kind::Python),
    Entry::new("openvino", Kind::Python),
    Entry::new("torch", Kind::Python),
    Entry::new("torch-jit", Kind::Python),
    Entry::new("tensorflow", Kind::Python),
    Entry::new("numpy", Kind::Python),
];

/// Loads the Rust peer of that name.
pub fn load(name: &str, folder: &Path) -> Result<Box<dyn Peer>> {
    let entry = ALL.iter().find(|entry| entry.name == name);
    match entry.map(|entry| entry.kind) {
        Some(Kind::Fusewire(input, precision)) => fusewire::load(folder, input, precision),
        Some(Kind::Rust(load)) => load(folder),
        Some(Kind::Python) | None => bail!("{name} is no peer in Rust"),
    }
}
