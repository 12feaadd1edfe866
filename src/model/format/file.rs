//! Files that models are read from: regular ones alone, into memory that is this process's own.
//!
//! A mapped file would change under the model, and end the process where it is cut. So a file is
//! copied, in blocks by several threads, and each block is looked at while it is in the cache: its
//! checksum, and whether it holds a number that is not finite.

#![allow(unsafe_code)]

use std::fs::{File, Metadata};
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::{panic, thread};

use bytes::Bytes;
use crc32fast::Hasher;

use super::FILE_BYTES_MAX;
use crate::model::ModelError;
use crate::model::weights::are_finite;

/// Bytes that one checksum is kept of.
const BLOCK_BYTES: usize = 1 << 20;
/// Bytes that are read at once, so that they are still in the cache when they are looked at.
const READ_BYTES: usize = 256 << 10;
/// Bytes that are looked at at once: half of a usual first-level cache.
const LOOK_BYTES: usize = 16 << 10;
/// Bytes that a thread takes on at once.
const PART_BYTES: usize = 4 << 20;
/// The most threads that read a file; where a read has no place of its own, one.
const THREADS_MAX: usize = if cfg!(unix) { 4 } else { 1 };
/// Bytes from one large page to the next.
#[cfg(target_os = "linux")]
const LARGE_PAGE_BYTES: usize = 2 << 20;

/// An open regular file.
#[derive(Debug)]
pub(super) struct Source {
    file: File,
    path: PathBuf,
    metadata: Metadata,
}

impl Source {
    /// Opens a file by a path that is the caller's; links are followed.
    pub(super) fn open(path: &Path) -> Result<Source, ModelError> {
        match open(path) {
            Ok(file) => Source::of(file, path.to_owned()),
            // A socket cannot be opened, and the system's words for that do not say so.
            Err(error) => Err(match path.metadata() {
                Ok(metadata) if !metadata.is_file() => not_regular(path, &metadata),
                _ => ModelError::io(path, &error),
            }),
        }
    }

    /// A file that was opened at `path`, once it is known to be a regular one.
    pub(super) fn of(file: File, path: PathBuf) -> Result<Source, ModelError> {
        let metadata = file.metadata().map_err(|error| ModelError::io(&path, &error))?;
        if !metadata.is_file() {
            return Err(not_regular(&path, &metadata));
        }
        Ok(Source { file, path, metadata })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The whole file.
    pub(super) fn read(&self) -> Result<Contents, ModelError> {
        let length = usize::try_from(self.metadata.len()).unwrap_or(usize::MAX);
        check_size(length)?;
        self.read_at(0, length)
    }

    /// `length` bytes of the file from `offset` on.
    pub(super) fn read_at(&self, offset: u64, length: usize) -> Result<Contents, ModelError> {
        let io = |error: io::Error| ModelError::io(&self.path, &error);
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length).map_err(|_| {
            let message = format!("there is no memory for its {length} bytes");
            io(io::Error::new(io::ErrorKind::OutOfMemory, message))
        })?;
        let room = &mut bytes.spare_capacity_mut()[..length];
        use_large_pages(room);
        let blocks = fill(&self.file, room, offset).map_err(io)?;
        // SAFETY: there is room for `length` bytes, and `fill` has written all of them.
        unsafe { bytes.set_len(length) };
        self.check_unchanged()?;
        Ok(Contents { bytes: Bytes::from(bytes), blocks })
    }

    /// Checks that the file was not written to since it was opened, as far as the system says.
    fn check_unchanged(&self) -> Result<(), ModelError> {
        let now = self.file.metadata().map_err(|error| ModelError::io(&self.path, &error))?;
        let modified = |metadata: &Metadata| metadata.modified().ok();
        if now.len() == self.metadata.len() && modified(&now) == modified(&self.metadata) {
            return Ok(());
        }
        let expected = "a file that stays as it is while it is read";
        let got = "one that was written to; write a new file and rename it";
        Err(ModelError::invalid(self.path.display(), expected, got))
    }
}

/// The bytes of a file, in memory that nothing else writes to.
#[derive(Clone, Debug)]
pub(super) struct Contents {
    bytes: Bytes,
    /// One for each [`BLOCK_BYTES`], the last of the rest.
    blocks: Vec<Block>,
}

/// What was seen of a block.
#[derive(Clone, Copy, Debug)]
struct Block {
    crc: u32,
    /// Whether its words of four bytes are finite numbers.
    is_finite: bool,
}

impl Contents {
    /// Bytes that are in memory already.
    pub(super) fn of(bytes: Bytes) -> Contents {
        let blocks = bytes.chunks(BLOCK_BYTES).map(|bytes| Block::start().and(bytes).done());
        Contents { blocks: blocks.collect(), bytes }
    }

    pub(super) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(super) fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Whether the `f32` in a range of bytes are known to be finite numbers.
    pub(super) fn is_finite(&self, range: Range<usize>) -> bool {
        let is_finite = |(block, piece): (Block, Range<usize>)| {
            block.is_finite || words_finite(&self.bytes[piece])
        };
        range.start.is_multiple_of(4) && self.pieces(range).all(is_finite)
    }

    /// The CRC-32 of a range of bytes.
    pub(super) fn crc(&self, range: Range<usize>) -> Hasher {
        let mut crc = Hasher::new();
        for (block, piece) in self.pieces(range) {
            if piece.len() == BLOCK_BYTES {
                crc.combine(&Hasher::new_with_initial_len(block.crc, BLOCK_BYTES as u64));
            } else {
                crc.update(&self.bytes[piece]);
            }
        }
        crc
    }

    /// A range of bytes by the blocks it lies in.
    fn pieces(&self, range: Range<usize>) -> impl Iterator<Item = (Block, Range<usize>)> {
        let first = range.start / BLOCK_BYTES;
        let blocks = self.blocks.iter().enumerate().skip(first);
        let pieces = blocks.map(move |(index, block)| {
            let start = index * BLOCK_BYTES;
            (*block, range.start.max(start)..range.end.min(start + BLOCK_BYTES))
        });
        pieces.take_while(|(_, piece)| !piece.is_empty())
    }
}

/// A block of which some bytes were seen.
struct Seen {
    crc: Hasher,
    is_finite: bool,
}

impl Block {
    fn start() -> Seen {
        Seen { crc: Hasher::new(), is_finite: true }
    }
}

impl Seen {
    fn and(mut self, bytes: &[u8]) -> Seen {
        for bytes in bytes.chunks(LOOK_BYTES) {
            self.crc.update(bytes);
            self.is_finite &= words_finite(bytes);
        }
        self
    }

    fn done(self) -> Block {
        Block { crc: self.crc.finalize(), is_finite: self.is_finite }
    }
}

fn words_finite(bytes: &[u8]) -> bool {
    are_finite(bytes.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word)))
}

/// Refuses what is past [`FILE_BYTES_MAX`].
pub(super) fn check_size(bytes: usize) -> Result<(), ModelError> {
    if bytes > FILE_BYTES_MAX {
        return Err(ModelError::too_large("model file bytes", FILE_BYTES_MAX, bytes));
    }
    Ok(())
}

/// The error of something that is there, but cannot be read as a file is.
pub(super) fn not_regular(path: &Path, metadata: &Metadata) -> ModelError {
    ModelError::invalid(path.display(), "a regular file", kind_of(metadata))
}

#[cfg(unix)]
fn kind_of(metadata: &Metadata) -> &'static str {
    use std::os::unix::fs::FileTypeExt;

    match metadata.file_type() {
        kind if kind.is_dir() => "a folder",
        kind if kind.is_fifo() => "a pipe",
        kind if kind.is_socket() => "a socket",
        kind if kind.is_char_device() || kind.is_block_device() => "a device",
        _ => "something else",
    }
}

#[cfg(not(unix))]
fn kind_of(metadata: &Metadata) -> &'static str {
    if metadata.is_dir() { "a folder" } else { "something else" }
}

/// Opens a file without waiting for whatever may be at the other end of a pipe or device.
#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};

    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Reads a file from `offset` on into `room`, all of which is written where this succeeds.
fn fill(file: &File, room: &mut [MaybeUninit<u8>], offset: u64) -> io::Result<Vec<Block>> {
    let helpers = helpers(room.len());
    let parts = Mutex::new(room.chunks_mut(PART_BYTES).enumerate());
    let next = || parts.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        let mut done = Vec::new();
        while let Some((index, part)) = next() {
            let offset = offset + (index * PART_BYTES) as u64;
            done.push((index, fill_part(file, part, offset)?));
        }
        io::Result::Ok(done)
    };
    let mut parts = thread::scope(|scope| {
        let spawn = |_| thread::Builder::new().spawn_scoped(scope, work).ok();
        // Where no thread is to be had, there is one the less.
        let helpers: Vec<_> = (0..helpers).map_while(spawn).collect();
        let mut parts = work();
        for helper in helpers {
            let more = helper.join().unwrap_or_else(|panic| panic::resume_unwind(panic));
            parts = parts.and_then(|mut parts| {
                parts.extend(more?);
                Ok(parts)
            });
        }
        parts
    })?;
    parts.sort_unstable_by_key(|(index, _)| *index);
    Ok(parts.into_iter().flat_map(|(_, blocks)| blocks).collect())
}

/// How many threads beside the caller's read so many bytes.
fn helpers(bytes: usize) -> usize {
    let parts = bytes / PART_BYTES;
    if parts < 2 {
        return 0;
    }
    let threads = thread::available_parallelism().map_or(1, usize::from);
    threads.min(THREADS_MAX).min(parts) - 1
}

fn fill_part(file: &File, part: &mut [MaybeUninit<u8>], offset: u64) -> io::Result<Vec<Block>> {
    let mut blocks = Vec::with_capacity(part.len().div_ceil(BLOCK_BYTES));
    for (index, block) in part.chunks_mut(BLOCK_BYTES).enumerate() {
        let offset = offset + (index * BLOCK_BYTES) as u64;
        let mut seen = Block::start();
        for (index, room) in block.chunks_mut(READ_BYTES).enumerate() {
            seen = seen.and(read_whole(file, room, offset + (index * READ_BYTES) as u64)?);
        }
        blocks.push(seen.done());
    }
    Ok(blocks)
}

/// Reads as many bytes as there is room for.
fn read_whole<'a>(
    file: &File,
    room: &'a mut [MaybeUninit<u8>],
    offset: u64,
) -> io::Result<&'a [u8]> {
    let mut done = 0;
    while done < room.len() {
        match read_some(file, &mut room[done..], offset + done as u64) {
            Ok(0) => {
                let message = "it was cut short while it was read";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
            }
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    // SAFETY: `read_some` has written as many bytes as it says, and that was all of them.
    Ok(unsafe { room.assume_init_ref() })
}

/// Reads at most as many bytes as there is room for; says how many it has written.
#[cfg(unix)]
fn read_some(file: &File, room: &mut [MaybeUninit<u8>], offset: u64) -> io::Result<usize> {
    let (read, _) = rustix::io::pread(file, room, offset)?;
    Ok(read.len())
}

#[cfg(not(unix))]
fn read_some(mut file: &File, room: &mut [MaybeUninit<u8>], offset: u64) -> io::Result<usize> {
    use std::io::{Read, Seek, SeekFrom};

    file.seek(SeekFrom::Start(offset))?;
    file.read(room.write_filled(0))
}

/// Asks for large pages, which are made and filled with zeros in a third of the time. That the
/// system may have none costs nothing but time.
#[cfg(target_os = "linux")]
fn use_large_pages(room: &mut [MaybeUninit<u8>]) {
    use rustix::mm::{Advice, madvise};

    let start = room.as_mut_ptr();
    let skipped = start.align_offset(LARGE_PAGE_BYTES);
    let Some(rest) = room.len().checked_sub(skipped) else { return };
    let length = rest / LARGE_PAGE_BYTES * LARGE_PAGE_BYTES;
    if length > 0 {
        // SAFETY: the range lies in `room`, and the advice leaves what memory holds as it is.
        let _ = unsafe { madvise(start.add(skipped).cast(), length, Advice::LinuxHugepage) };
    }
}

#[cfg(not(target_os = "linux"))]
fn use_large_pages(_: &mut [MaybeUninit<u8>]) {}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Numbers that differ, as bytes.
    fn numbers(count: usize) -> Vec<u8> {
        (0..count).flat_map(|at| ((at % 1013) as f32 - 500.0).to_le_bytes()).collect()
    }

    fn read(bytes: &[u8]) -> Contents {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        Source::open(file.path()).unwrap().read().unwrap()
    }

    #[test]
    fn every_byte_arrives_whatever_the_length() {
        for length in [0, 1, READ_BYTES, BLOCK_BYTES + 3, 5 * PART_BYTES + BLOCK_BYTES + 7] {
            let bytes = &numbers(length / 4 + 1)[..length];
            let contents = read(bytes);
            assert!(contents.bytes() == bytes, "{length}");
            for range in [0..length, length / 3..length / 2, length..length] {
                let expected = crc32fast::hash(&bytes[range.clone()]);
                assert_eq!(contents.crc(range.clone()).finalize(), expected, "{length} {range:?}");
                let expected = crc32fast::hash(&bytes[range.clone()]);
                let again = Contents::of(Bytes::copy_from_slice(bytes));
                assert_eq!(again.crc(range).finalize(), expected, "{length}");
            }
        }
    }

    #[test]
    fn numbers_that_are_not_finite_are_seen_where_they_are() {
        let mut bytes = numbers(2 * PART_BYTES / 4 + 2 * BLOCK_BYTES / 4);
        assert!(read(&bytes).is_finite(0..bytes.len()));
        let at = BLOCK_BYTES + 40;
        bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        let contents = read(&bytes);
        assert!(!contents.is_finite(0..bytes.len()));
        assert!(!contents.is_finite(at..at + 4));
        // The rest of the block is looked at again.
        assert!(contents.is_finite(at + 4..bytes.len()));
        assert!(contents.is_finite(0..at));
        // Words elsewhere than at multiples of four were not looked at.
        assert!(!contents.is_finite(2..10));
    }

    #[test]
    fn a_file_that_is_cut_or_written_to_while_it_is_open_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes = numbers(BLOCK_BYTES);
        fs::write(file.path(), &bytes).unwrap();
        let source = Source::open(file.path()).unwrap();
        let to = fs::OpenOptions::new().write(true).open(file.path()).unwrap();
        to.set_len(1000).unwrap();
        let error = source.read().unwrap_err().to_string();
        assert!(error.contains("cut short while it was read"), "{error}");
        let source = Source::open(file.path()).unwrap();
        to.set_len(2000).unwrap();
        let error = source.read().unwrap_err().to_string();
        assert!(error.contains("stays as it is while it is read"), "{error}");
    }
}
