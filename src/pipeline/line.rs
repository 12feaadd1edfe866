//! A place in the line of those who wait for room in a ring.

use super::super::sync::Arc;
use super::core::Core;
use super::waiter::Waiter;

/// Leaves the line when it is dropped.
#[derive(Debug)]
pub(crate) struct Line {
    core: Arc<Core>,
    lane: usize,
    place: Option<u64>,
}

impl Line {
    /// Not in line yet.
    pub(crate) fn new(core: &Arc<Core>, lane: usize) -> Line {
        Line { core: Arc::clone(core), lane, place: None }
    }

    /// Waits in line, for the first time or again; the caller then has to try once more.
    pub(crate) fn join(&mut self, waiter: Waiter) {
        self.place = Some(self.core.spaces[self.lane].wait(self.place, waiter));
    }

    /// Leaves the line.
    pub(crate) fn leave(&mut self) {
        if let Some(place) = self.place.take()
            && !self.core.is_forked()
        {
            self.core.spaces[self.lane].leave(place);
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.leave();
    }
}
