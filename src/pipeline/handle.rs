//! The handle that callers hold, and what it tells about the pipeline.

use super::super::backend::DeviceInfo;
use super::super::model::{ContentHash, Model};
use super::super::plan::InputType;
use super::super::sync::{Arc, Mutex, lock, thread};
use super::backends::Seat;
use super::core::Core;
use super::explain::{BackendEstimate, Explanation};
use super::health::{BackendHealth, Health};
use super::metrics::Metrics;
use super::shard::{Shard, Shards};

/// Takes rows from any thread and has them run in batches on whatever backends there are; see the
/// [module](super). Cheap to clone: give each thread its own, for they then share no cache line
/// they write. Once the last one is dropped the pipeline runs what it took and ends.
#[derive(Debug)]
pub struct Pipeline {
    pub(super) shard: Arc<Shard>,
    pub(super) owner: Arc<Owner>,
}

/// What ends with the last handle.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) core: Arc<Core>,
    shards: Arc<Shards>,
    /// One change at a time: attaching, swapping, shutting down.
    pub(super) changes: Mutex<()>,
    pub(super) threads: Mutex<Vec<thread::JoinHandle<()>>>,
    /// The model that runs, as long as devices may join with it. Locked within changes.
    pub(super) joining: Mutex<Option<Arc<Model>>>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.core.drain();
    }
}

/// A further handle.
impl From<Arc<Owner>> for Pipeline {
    fn from(owner: Arc<Owner>) -> Pipeline {
        Pipeline { shard: Shard::new(&owner.core, &owner.shards), owner }
    }
}

impl Clone for Pipeline {
    fn clone(&self) -> Pipeline {
        Pipeline::from(Arc::clone(&self.owner))
    }
}

impl Pipeline {
    /// The first handle of a pipeline.
    pub(super) fn of(core: Arc<Core>) -> Pipeline {
        Pipeline::from(Arc::new(Owner {
            core,
            shards: Arc::default(),
            changes: Mutex::new(()),
            threads: Mutex::default(),
            joining: Mutex::default(),
        }))
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        &self.shard.core
    }

    /// Values in a row.
    pub fn inputs(&self) -> usize {
        self.core().store.shape().inputs
    }

    /// Scores of a row.
    pub fn classes(&self) -> usize {
        self.core().store.shape().classes
    }

    /// The type of a row's values.
    pub fn input(&self) -> InputType {
        self.core().store.shape().input
    }

    /// Which model new rows run with: 1 for the first, one more with each swap; and its hash.
    pub fn version(&self) -> (u64, ContentHash) {
        let dispatcher = lock(&self.core().dispatcher);
        (dispatcher.current().version, dispatcher.current().hash)
    }

    /// The devices that take batches.
    pub fn devices(&self) -> Vec<DeviceInfo> {
        let backends = lock(&self.core().backends);
        let ready = backends.iter().filter(|backend| backend.is_ready());
        ready.map(|backend| backend.info.clone()).collect()
    }

    /// How the pipeline is: whether backends were lost, which, and why.
    pub fn health(&self) -> Health {
        let backends = lock(&self.core().backends);
        let lost: Vec<_> = backends.iter().filter_map(|backend| backend.lost()).collect();
        let ready = backends.iter().any(|backend| backend.is_ready());
        match (ready, lost.is_empty()) {
            (true, true) => Health::Ready,
            (true, false) => Health::Degraded { lost },
            (false, _) => Health::Failed { lost },
        }
    }

    /// What the pipeline has done so far. Counters and histograms are read while they are written,
    /// without stopping anybody; only what waits is counted under the dispatcher's lock.
    pub fn metrics(&self) -> Metrics {
        let core = self.core();
        let backends = lock(&core.backends);
        let mut metrics = lock(&core.past).clone();
        for backend in backends.iter() {
            let health = backend.health().unwrap_or(BackendHealth::Lost);
            backend.seats.iter().for_each(|seat| seat.gauges.add_to(&mut metrics));
            let of_seat =
                |seat: &Arc<Seat>| seat.gauges.backend(&backend.info.name, backend.kind(), health);
            metrics.backends.extend(backend.seats.iter().map(of_seat).reduce(|mut sum, seat| {
                sum.rows += seat.rows;
                sum.batches += seat.batches;
                sum
            }));
        }
        drop(backends);
        core.tally.add_to(&mut metrics);
        (metrics.queue_depth, metrics.pending) = core.queued_and_pending();
        metrics.admitted = self.shard.admitted();
        metrics
    }

    /// What a batch costs on each backend by its size, and which backend would be chosen for it.
    pub fn explain(&self) -> Explanation {
        let core = self.core();
        let max_rows = core.config.max_rows;
        let backends = lock(&core.backends);
        let estimates = backends.iter().filter_map(|backend| {
            let (health, points) = (backend.health()?, backend.cost.points());
            let name = &backend.info.name;
            Some(BackendEstimate::new(name, backend.kind(), health, &points, max_rows))
        });
        Explanation::new(estimates.collect())
    }
}
