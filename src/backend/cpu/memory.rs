//! Blocks of f32 on cache lines, and a pool of them.

use crossbeam::queue::ArrayQueue;

/// Values in a cache line.
pub(super) const LINE: usize = 16;

/// A block of f32 that starts on a cache line.
#[derive(Debug)]
pub(super) struct Block {
    storage: Vec<f32>,
    first: usize,
    len: usize,
}

impl Block {
    /// `len` zeros; `None` where memory runs out.
    pub(super) fn new(len: usize) -> Option<Block> {
        let mut storage = Vec::new();
        storage.try_reserve_exact(len.checked_add(LINE)?).ok()?;
        storage.resize(len + LINE, 0.0_f32);
        let first = storage.as_ptr().align_offset(LINE * size_of::<f32>());
        // `align_offset` may refuse in theory; the block is then slow, not wrong.
        let first = if first < LINE { first } else { 0 };
        Some(Block { storage, first, len })
    }

    /// The first value.
    pub(super) fn start(&self) -> *const f32 {
        self.storage[self.first..].as_ptr()
    }

    /// The values.
    pub(super) fn values_mut(&mut self) -> &mut [f32] {
        &mut self.storage[self.first..][..self.len]
    }
}

/// Values from one row to the next, for rows of `width` values written by kernels.
///
/// Whole cache lines, and an odd number of them, so that the same column of many rows spreads over
/// all sets of a cache.
pub(super) fn stride(width: usize) -> usize {
    (width.div_ceil(LINE) | 1) * LINE
}

/// Working memory that calls hand back for the next, taken and given back without a lock.
#[derive(Debug)]
pub(super) struct Pool {
    len: usize,
    free: ArrayQueue<Block>,
}

/// Calls running at once whose memory is kept; what is beyond is allocated anew.
const POOL_MAX: usize = 64;

impl Pool {
    /// An empty pool of blocks of `len` values.
    pub(super) fn new(len: usize) -> Pool {
        Pool { len, free: ArrayQueue::new(POOL_MAX) }
    }

    /// A block of undefined content; `None` where memory runs out.
    pub(super) fn take(&self) -> Option<Block> {
        self.free.pop().or_else(|| Block::new(self.len))
    }

    /// Hands a block back.
    pub(super) fn give_back(&self, block: Block) {
        // A full pool drops it.
        let _ = self.free.push(block);
    }
}
