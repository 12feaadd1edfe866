//! Time as the pipeline counts it: nanoseconds since it was started. A test hands in its own.

use std::time::{Duration, Instant};

use super::super::sync::{Arc, AtomicU64, Ordering, now};

/// Never: later than every instant.
pub(crate) const NEVER: u64 = u64::MAX;

/// Where the time comes from.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    start: Instant,
    /// Nanoseconds set by whoever drives the pipeline, instead of those that pass.
    driven: Option<Arc<AtomicU64>>,
}

impl Clock {
    /// The machine's monotonic clock, starting now.
    pub(crate) fn real() -> Clock {
        Clock { start: now(), driven: None }
    }

    /// A clock that stands still until somebody moves it.
    #[cfg(test)]
    pub(crate) fn driven(now_ns: Arc<AtomicU64>) -> Clock {
        Clock { start: now(), driven: Some(now_ns) }
    }

    /// The instant that this clock's time counts from.
    #[cfg(test)]
    pub(crate) fn start(&self) -> Instant {
        self.start
    }

    /// Nanoseconds since the start.
    pub(crate) fn now(&self) -> u64 {
        match &self.driven {
            None => nanoseconds(now().saturating_duration_since(self.start)),
            Some(driven) => driven.load(Ordering::Relaxed),
        }
    }

    /// An instant in nanoseconds since the start; 0 for one before it.
    pub(crate) fn at(&self, instant: Instant) -> u64 {
        nanoseconds(instant.saturating_duration_since(self.start))
    }

    /// How long it is until then; nothing where it has passed.
    pub(crate) fn until(&self, then: u64) -> Duration {
        Duration::from_nanos(then.saturating_sub(self.now()))
    }
}

/// A duration in nanoseconds; five centuries at most.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(NEVER)
}
