//! The file's bytes as the parser reads them, with a budget.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use hdf5_reader::error::{Error, Result};
use hdf5_reader::{Storage, StorageBuffer};

/// How many times over a file may be read: arrays once, headers a few times.
const READS_MAX: usize = 4;
/// What may be read of any file, however small.
const READ_BYTES_MIN: usize = 4 << 20;
/// What a read costs beside its bytes, so that empty ones end as well.
const READ_COST: usize = 64;

/// Bytes of a file, of which only so many are read in all.
pub(super) struct Metered {
    bytes: Arc<Bytes>,
    left: AtomicUsize,
}

impl Metered {
    pub(super) fn new(bytes: Bytes) -> Metered {
        let left = bytes.len().saturating_mul(READS_MAX).saturating_add(READ_BYTES_MIN);
        Metered { bytes: Arc::new(bytes), left: AtomicUsize::new(left) }
    }
}

impl Storage for Metered {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_range(&self, offset: u64, len: usize) -> Result<StorageBuffer> {
        let cost = len.saturating_add(READ_COST);
        let spend = |left: usize| left.checked_sub(cost);
        // One thread reads a file; the counter is atomic only because the parser shares it.
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_err() {
            return Err(Error::ResourceLimit(String::from("its parts are read again and again")));
        }
        let start = usize::try_from(offset).map_err(|_| Error::OffsetOutOfBounds(offset))?;
        StorageBuffer::from_shared_owner(self.bytes.clone(), start, len)
    }
}
