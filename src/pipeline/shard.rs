//! What one handle has to itself, so that handles on several threads share no cache line they
//! write: a count of what was taken through it, and the count of its tickets.

use super::super::sync::{Arc, AtomicU64, Mutex, Ordering, Weak, lock};
use super::core::Core;

/// One handle's part, shared with its tickets.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) core: Arc<Core>,
    shards: Arc<Shards>,
    /// Rows taken. Written by whoever submits through this handle.
    admitted: AtomicU64,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Shards {
    live: Mutex<Vec<Weak<Shard>>>,
    /// What those took that are gone.
    gone: AtomicU64,
}

impl Shard {
    /// A further handle's part.
    pub(crate) fn new(core: &Arc<Core>, shards: &Arc<Shards>) -> Arc<Shard> {
        let (core, shards) = (Arc::clone(core), Arc::clone(shards));
        let shard = Arc::new(Shard { core, shards, admitted: AtomicU64::new(0) });
        let mut live = lock(&shard.shards.live);
        live.retain(|other| other.strong_count() > 0);
        live.push(Arc::downgrade(&shard));
        drop(live);
        shard
    }

    /// Counts rows that were taken.
    pub(crate) fn admit(&self, rows: u64) {
        self.admitted.fetch_add(rows, Ordering::Relaxed);
    }

    /// Rows taken through any handle.
    pub(crate) fn admitted(&self) -> u64 {
        // Those that go meanwhile are missed rather than counted twice.
        let of_gone = self.shards.gone.load(Ordering::Acquire);
        let live = lock(&self.shards.live);
        let taken = |shard: Arc<Shard>| shard.admitted.load(Ordering::Relaxed);
        let of_live: u64 = live.iter().filter_map(Weak::upgrade).map(taken).sum();
        of_live + of_gone
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        if self.core.is_forked() {
            return;
        }
        let admitted = self.admitted.load(Ordering::Relaxed);
        self.shards.gone.fetch_add(admitted, Ordering::Release);
    }
}
