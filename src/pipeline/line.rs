//! Room in the rings of a pipeline: claiming rows, freeing them, and a place in line for them.

use super::super::sync::Arc;
use super::core::Core;
use super::records::Request;
use super::ring::Refused;
use super::space::Space;
use super::waiter::Waiter;

impl Core {
    /// Claims rows of a lane for a caller that has a place in line, or none.
    pub(super) fn claim(
        &self,
        lane: usize,
        rows: u32,
        place: Option<u64>,
        request: Request,
    ) -> Result<u32, Refused> {
        self.spaces[lane].claim(&self.ring, rows, place, |it| *it = request)
    }

    /// Gives room to callers that wait for it, after `rows` rows were freed in any lane.
    pub(super) fn freed(&self, rows: u32) {
        self.give(|space| space.freed(rows));
    }

    /// The same where they were freed in the lane of this row.
    pub(super) fn freed_beside(&self, row: u32, rows: u32) {
        if self.spaces[self.ring.lane_of(row)].freed(rows) {
            self.watch.wake();
        }
    }

    /// Gives room that was behind rows which are visited now.
    pub(super) fn visited(&self) {
        self.give(|space| space.visited(&self.ring));
    }

    fn give(&self, give: impl Fn(&Space) -> bool) {
        let mut is_given = false;
        for space in &self.spaces {
            is_given |= give(space);
        }
        if is_given {
            // It passes over callers that do not come for it.
            self.watch.wake();
        }
    }
}

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

    /// The place in line, where there is one.
    pub(crate) fn place(&self) -> Option<u64> {
        self.place
    }

    /// Waits in line, for the first time or again; the caller then has to try once more.
    pub(crate) fn join(&mut self, waiter: Waiter) {
        self.place = Some(self.core.spaces[self.lane].wait(self.place, waiter));
    }

    /// Leaves the line, with a row or without.
    pub(crate) fn leave(&mut self, took: bool) {
        let Some(place) = self.place.take() else { return };
        if self.core.is_forked() {
            return;
        }
        if self.core.spaces[self.lane].leave(&self.core.ring, place, took) {
            self.core.watch.wake();
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.leave(false);
    }
}
