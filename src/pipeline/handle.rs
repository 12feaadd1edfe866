//! The handle that callers hold, and what it tells about the pipeline.

use std::ops::Deref;

use super::super::backend::{BackendKind, DeviceInfo};
use super::super::model::ContentHash;
use super::super::plan::InputType;
use super::super::sync::{Arc, lock};
use super::backends::Seat;
use super::core::Core;
use super::engine::Engine;
use super::error::PipelineError;
use super::explain::{BackendEstimate, Explanation};
use super::health::{BackendHealth, Health, LostBackend};
use super::metrics::Metrics;
use super::shard::{Shard, Shards};

/// Takes rows from any thread and has them run in batches on whatever backends there are; see the
/// [module](super). Cheap to clone: give each thread its own, for they then share no cache line
/// they write. Once the last one is dropped the pipeline runs what it took and ends. Where threads
/// of it call a driver, dropping that handle waits until they are done, for five seconds at most: a
/// process that ends, as by a return from `main`, while a driver is being loaded or called may
/// crash. A driver that hangs for longer, and [`exit`](std::process::exit) with a handle alive, are
/// not waited for.
///
/// It belongs to the process that started it. In a child of `fork` it takes no rows, its tickets
/// have no answer, and its health is [`Failed`](Health::Failed): start pipelines after the fork.
#[derive(Debug)]
pub struct Pipeline {
    pub(super) shard: Arc<Shard>,
    pub(super) owner: Arc<Owner>,
}

/// What ends with the last handle.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) engine: Arc<Engine>,
    shards: Arc<Shards>,
}

impl Deref for Owner {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.engine.end();
    }
}

/// A further handle.
impl From<Arc<Owner>> for Pipeline {
    fn from(owner: Arc<Owner>) -> Pipeline {
        Pipeline { shard: Shard::new(&owner.engine.core, &owner.shards), owner }
    }
}

impl Clone for Pipeline {
    fn clone(&self) -> Pipeline {
        if self.core().is_forked() {
            return Pipeline { shard: Arc::clone(&self.shard), owner: Arc::clone(&self.owner) };
        }
        Pipeline::from(Arc::clone(&self.owner))
    }
}

impl Pipeline {
    /// The first handle of a pipeline.
    pub(super) fn of(core: Arc<Core>) -> Pipeline {
        let engine = Arc::new(Engine::new(core));
        Pipeline::from(Arc::new(Owner { engine, shards: Arc::default() }))
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

    /// Which model new rows run with: 1 for the first, one more with each swap; and its hash. In a
    /// child of the pipeline's process it may be the first one's still.
    pub fn version(&self) -> (u64, ContentHash) {
        let core = self.core();
        if core.is_forked() {
            let dispatcher = core.dispatcher.try_lock().ok();
            let current = dispatcher.as_ref().map(|it| (it.current().version, it.current().hash));
            return current.unwrap_or((1, core.first_hash));
        }
        let dispatcher = lock(&core.dispatcher);
        (dispatcher.current().version, dispatcher.current().hash)
    }

    /// The devices that take batches.
    pub fn devices(&self) -> Vec<DeviceInfo> {
        if self.core().is_forked() {
            return Vec::new();
        }
        let backends = lock(&self.core().backends);
        let ready = backends.iter().filter(|backend| backend.is_ready());
        ready.map(|backend| backend.info.clone()).collect()
    }

    /// How the pipeline is: whether backends were lost, which, and why.
    pub fn health(&self) -> Health {
        if self.core().is_forked() {
            return Health::Failed { lost: self.left_to_the_parent() };
        }
        let backends = lock(&self.core().backends);
        let lost: Vec<_> = backends.iter().filter_map(|backend| backend.lost()).collect();
        let ready = backends.iter().any(|backend| backend.is_ready());
        match (ready, lost.is_empty()) {
            (true, true) => Health::Ready,
            (true, false) => Health::Degraded { lost },
            (false, _) => Health::Failed { lost },
        }
    }

    /// Every backend, in a child of the process that has them.
    fn left_to_the_parent(&self) -> Vec<LostBackend> {
        let reason = PipelineError::Forked;
        let lost = |info: &DeviceInfo| LostBackend::new(info.backend, &info.name, &reason);
        let backends = self.core().backends.try_lock().ok();
        let lost = backends.map(|them| them.iter().map(|it| lost(&it.info)).collect());
        lost.unwrap_or_else(|| vec![LostBackend::new(BackendKind::Auto, "every device", &reason)])
    }

    /// What the pipeline has done so far. Counters and histograms are read while they are written,
    /// without stopping anybody; only what waits is counted under the dispatcher's lock. All of it
    /// is 0 in a child of the pipeline's process.
    pub fn metrics(&self) -> Metrics {
        let core = self.core();
        if core.is_forked() {
            return Metrics::default();
        }
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
        if core.is_forked() {
            return Explanation::new(Vec::new());
        }
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
