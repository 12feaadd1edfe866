//! Where results go: a file that only grows, with totals that are held against it at the end.
//!
//! The thread that takes answers puts results into a block of memory; full blocks go to a thread of
//! the sink's, which writes them and gives them back. So a slow disk is felt only once all blocks
//! are full, and then by whoever has results, as in a stream that has no more room.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use crc::{CRC_32_ISO_HDLC, Crc, Table};
use crossbeam::channel::{Receiver, Sender, bounded};

use super::super::error::BenchError;

/// Bytes of a result, little-endian: the row's number in 8, its class in 4, and the microseconds
/// from its call to its answer in 4 as a 32-bit float.
const RESULT_BYTES: usize = 16;
/// Bytes of a block.
const BLOCK_BYTES: usize = 1 << 16;
/// Blocks that may be full at once.
const BLOCKS: usize = 16;

const CHECKSUM: &Crc<u32, Table<16>> = &Crc::<u32, Table<16>>::new(&CRC_32_ISO_HDLC);

/// What a sink has been given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) results: u64,
    pub(super) checksum: u32,
}

/// A file of results in the making.
pub(super) struct Sink {
    path: PathBuf,
    block: Vec<u8>,
    results: u64,
    full: Sender<Vec<u8>>,
    free: Receiver<Vec<u8>>,
    writer: JoinHandle<io::Result<u32>>,
}

impl Sink {
    /// A file at `path`; one that is there is replaced.
    pub(super) fn create(path: &Path) -> Result<Sink, BenchError> {
        Sink::start(path).map_err(|error| failed(path, &error))
    }

    fn start(path: &Path) -> io::Result<Sink> {
        let file = File::create(path)?;
        let (full, blocks) = bounded::<Vec<u8>>(BLOCKS);
        let (give_back, free) = bounded(BLOCKS);
        let write = move || write_blocks(file, &blocks, &give_back);
        let writer = thread::Builder::new().name(String::from("fusewire-sink")).spawn(write)?;
        Ok(Sink {
            path: path.to_owned(),
            block: Vec::with_capacity(BLOCK_BYTES),
            results: 0,
            full,
            free,
            writer,
        })
    }

    /// Adds a result.
    pub(super) fn push(&mut self, number: u64, class: usize, us: f32) {
        self.block.extend_from_slice(&number.to_le_bytes());
        // Classes are fewer than 2^32.
        self.block.extend_from_slice(&(class as u32).to_le_bytes());
        self.block.extend_from_slice(&us.to_le_bytes());
        self.results += 1;
        if self.block.len() + RESULT_BYTES > BLOCK_BYTES {
            self.hand_over();
        }
    }

    /// Has what was added so far written soon.
    pub(super) fn flush(&mut self) {
        if !self.block.is_empty() {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        let next = self.free.try_recv().unwrap_or_else(|_| Vec::with_capacity(BLOCK_BYTES));
        // Where the writer has failed nobody takes blocks any more; `finish` says why.
        let _ = self.full.send(std::mem::replace(&mut self.block, next));
    }

    /// Waits until all of it is on the disk, reads it back, and compares.
    pub(super) fn finish(mut self) -> Result<Totals, BenchError> {
        self.flush();
        let Sink { path, results, full, writer, .. } = self;
        drop(full);
        let written = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let checksum = written.map_err(|error| failed(&path, &error))?;
        let totals = Totals { results, checksum };
        let there = totals_of(&path).map_err(|error| failed(&path, &error))?;
        if there != totals {
            let error = format!("expected {totals:?}, got {there:?}: the file is damaged");
            return Err(failed(&path, &io::Error::other(error)));
        }
        Ok(totals)
    }
}

/// Writes blocks as they come, and returns the checksum of all of them: computed here, because who
/// hands them over is timing rows.
fn write_blocks(
    mut file: File,
    blocks: &Receiver<Vec<u8>>,
    give_back: &Sender<Vec<u8>>,
) -> io::Result<u32> {
    let mut digest = CHECKSUM.digest();
    for mut block in blocks {
        digest.update(&block);
        file.write_all(&block)?;
        block.clear();
        // What finds no room is one block too many.
        let _ = give_back.try_send(block);
    }
    file.sync_data()?;
    Ok(digest.finalize())
}

/// What a file holds.
fn totals_of(path: &Path) -> io::Result<Totals> {
    let mut file = File::open(path)?;
    let (mut digest, mut block, mut bytes) = (CHECKSUM.digest(), vec![0; BLOCK_BYTES], 0);
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            let results = bytes / RESULT_BYTES as u64;
            return Ok(Totals { results, checksum: digest.finalize() });
        }
        digest.update(&block[..read]);
        bytes += read as u64;
    }
}

fn failed(path: &Path, error: &io::Error) -> BenchError {
    BenchError::Sink { path: path.display().to_string(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(path: &Path, results: u64) -> Sink {
        let mut sink = Sink::create(path).unwrap();
        for number in 0..results {
            sink.push(number, (number % 10) as usize, 0.5);
        }
        sink
    }

    #[test]
    fn every_result_is_in_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("results.bin");
        let totals = some(&path, 100_000).finish().unwrap();
        assert_eq!(totals.results, 100_000);
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len(), 100_000 * RESULT_BYTES);
        let last = &bytes[99_999 * RESULT_BYTES..];
        assert_eq!(u64::from_le_bytes(last[..8].try_into().unwrap()), 99_999);
        assert_eq!(last[8..], [9, 0, 0, 0, 0, 0, 0, 63]);
        // A file that is there already is replaced.
        assert_eq!(some(&path, 3).finish().unwrap().results, 3);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 48);
    }

    #[test]
    fn a_file_that_somebody_else_changed_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("results.bin");
        let mut sink = some(&path, 10);
        sink.flush();
        while std::fs::metadata(&path).unwrap().len() < 160 {
            thread::yield_now();
        }
        std::fs::write(&path, [7; 160]).unwrap();
        let error = sink.finish().unwrap_err().to_string();
        assert!(error.contains("the file is damaged"), "{error}");
    }

    #[test]
    fn a_file_that_cannot_be_written_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let error = Sink::create(directory.path()).err().unwrap().to_string();
        assert!(error.starts_with("results in "), "{error}");
        if Path::new("/dev/full").exists() {
            let error = some(Path::new("/dev/full"), 100_000).finish().unwrap_err().to_string();
            assert!(error.starts_with("results in /dev/full: "), "{error}");
        }
    }
}
