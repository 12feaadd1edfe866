//! What one handle has to itself, so that handles on several threads share no cache line they
//! write: a count of what was taken through it, and the count of its tickets.
//!
//! A count outlives its handle: the next handle goes on with it. So the sum over all counts never
//! goes down, and a further handle costs the same however many there are.

use crossbeam::utils::CachePadded;

use super::super::sync::{Arc, AtomicU64, Mutex, Ordering, lock};
use super::core::Core;

/// Rows that were taken through one handle after another.
type Count = Arc<CachePadded<AtomicU64>>;

/// One handle's part, shared with its tickets.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) core: Arc<Core>,
    shards: Arc<Shards>,
    /// Written by threads that submit through this handle.
    admitted: Count,
}

/// The counts of all handles.
#[derive(Debug, Default)]
pub(crate) struct Shards {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Every count there is.
    all: Vec<Count>,
    /// Those that no handle uses.
    unused: Vec<Count>,
}

impl Shard {
    /// A further handle's part.
    pub(crate) fn new(core: &Arc<Core>, shards: &Arc<Shards>) -> Arc<Shard> {
        let (core, shards) = (Arc::clone(core), Arc::clone(shards));
        let admitted = lock(&shards.counts).take();
        Arc::new(Shard { core, shards, admitted })
    }

    /// Counts rows that were taken.
    pub(crate) fn admit(&self, rows: u64) {
        self.admitted.fetch_add(rows, Ordering::Relaxed);
    }

    /// Rows taken through any handle.
    pub(crate) fn admitted(&self) -> u64 {
        let counts = lock(&self.shards.counts);
        counts.all.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

impl Counts {
    fn take(&mut self) -> Count {
        self.unused.pop().unwrap_or_else(|| {
            let count = Count::default();
            self.all.push(Arc::clone(&count));
            count
        })
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        if self.core.is_forked() {
            return;
        }
        let count = Arc::clone(&self.admitted);
        lock(&self.shards.counts).unused.push(count);
    }
}
