//! The dispatcher's side: which request is next.

use std::collections::VecDeque;

use super::super::super::sync::Ordering;
use super::super::word;
use super::{Ring, room};

/// How far the dispatcher has come in one lane. There is one for each lane.
#[derive(Debug)]
pub(crate) struct Reader {
    lane: usize,
    /// The lane's first row.
    first_row: u32,
    /// The next claim to visit; published in the lane's head.
    head: u64,
    /// First rows that were claimed and not committed when they were visited, in order.
    holes: Vec<u32>,
    /// For each row of the lane, whether it is among the holes.
    is_hole: Box<[bool]>,
    /// Taken requests that were holes, in order.
    late: VecDeque<Visited>,
}

/// A request that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Visited {
    /// The request's first row.
    pub(crate) first: u32,
    /// Whether its ticket was dropped already.
    pub(crate) abandoned: bool,
}

/// What lies at a claim.
enum Found {
    Request,
    /// Claimed, but not committed: to be visited again.
    Hole,
    Tombstone,
    /// Another request's row, or none that was claimed.
    Nothing,
}

impl Reader {
    /// At the beginning of a lane; `None` where memory runs out.
    pub(crate) fn new<Q, A>(ring: &Ring<Q, A>, lane: usize) -> Option<Reader> {
        let rows = ring.capacity(lane);
        let mut is_hole = room(rows)?;
        is_hole.resize(rows, false);
        Some(Reader {
            lane,
            first_row: ring.lanes[lane].first_row,
            head: 0,
            holes: room(rows)?,
            is_hole: is_hole.into(),
            late: room(rows)?.into(),
        })
    }

    /// Visits the holes again: what was committed meanwhile comes first. Returns the number of rows
    /// freed because they were given up.
    pub(crate) fn revisit<Q, A>(&mut self, ring: &Ring<Q, A>) -> u32 {
        let mut freed = 0;
        let (late, is_hole) = (&mut self.late, &mut self.is_hole);
        let begin = self.first_row;
        self.holes.retain(|row| {
            // Acquire: what the producer wrote is there for whoever sees it committed.
            match word::phase(ring.row(*row).word.load(Ordering::Acquire)) {
                word::FREE | word::CLAIMED => return true,
                word::READY => late.push_back(ring.take(*row)),
                word::TOMBSTONE => freed += ring.free_request(*row),
                _ => {}
            }
            is_hole[(row - begin) as usize] = false;
            false
        });
        freed
    }

    /// Takes the next request that is committed, if there is one, and adds rows that were given up
    /// to `freed`.
    pub(crate) fn next<Q, A>(&mut self, ring: &Ring<Q, A>, freed: &mut u32) -> Option<Visited> {
        if let Some(late) = self.late.pop_front() {
            return Some(late);
        }
        let lane = &ring.lanes[self.lane];
        // Claims before this one are known to have been made.
        let mut end = 0;
        loop {
            let (claim, row) = (self.head, lane.row_of(self.head));
            let found = self.found(ring, row, lane.lap_of(claim));
            // What is committed was claimed; of all else the tail has to say so, and then the row
            // is looked at again: it may have been claimed, and committed, since it was read.
            if claim >= end && !matches!(found, Found::Request) {
                end = lane.claimed();
                if claim >= end {
                    return None;
                }
                continue;
            }
            self.head += 1;
            match found {
                Found::Nothing => {}
                Found::Hole => {
                    self.is_hole[self.place(row)] = true;
                    self.holes.push(row);
                }
                Found::Tombstone => *freed += ring.free_request(row),
                Found::Request => return Some(ring.take(row)),
            }
        }
    }

    /// Lets producers know how far the dispatcher has come: claims may go past the rows visited
    /// now, where others behind them are free.
    pub(crate) fn publish<Q, A>(&self, ring: &Ring<Q, A>) {
        ring.lanes[self.lane].head.store(self.head, Ordering::Release);
    }

    /// The first rows of the requests that wait, in order, without taking them.
    pub(crate) fn waiting<'a, Q, A>(
        &'a self,
        ring: &'a Ring<Q, A>,
    ) -> impl Iterator<Item = u32> + 'a {
        let lane = &ring.lanes[self.lane];
        let ahead = (self.head..lane.claimed()).filter_map(move |claim| {
            let row = lane.row_of(claim);
            matches!(self.found(ring, row, lane.lap_of(claim)), Found::Request).then_some(row)
        });
        let is_ready =
            |row: &u32| word::phase(ring.row(*row).word.load(Ordering::Acquire)) == word::READY;
        let holes = self.holes.iter().copied().filter(is_ready);
        self.late.iter().map(|visited| visited.first).chain(holes).chain(ahead)
    }

    /// Requests that were taken and not handed out yet.
    pub(crate) fn late(&self) -> usize {
        self.late.len()
    }

    /// Takes every waiting request that `judge` wants, wherever it waits, and hands it to `each`;
    /// the others keep their places. Returns the least of what `judge` says of those.
    pub(crate) fn sweep<Q, A>(
        &mut self,
        ring: &Ring<Q, A>,
        judge: impl Fn(&Q) -> (bool, u64),
        mut each: impl FnMut(Visited),
    ) -> u64 {
        let mut least = u64::MAX;
        let mut wants = |first| {
            // SAFETY: the request is committed, and only the dispatcher takes it.
            let (wanted, of_others) = judge(unsafe { ring.request(first) });
            least = if wanted { least } else { least.min(of_others) };
            wanted
        };
        self.late.retain(|visited| {
            let wanted = wants(visited.first);
            if wanted {
                each(*visited);
            }
            !wanted
        });
        let lane = &ring.lanes[self.lane];
        for claim in self.head..lane.claimed() {
            let row = lane.row_of(claim);
            let waits = matches!(self.found(ring, row, lane.lap_of(claim)), Found::Request);
            if waits && wants(row) {
                each(ring.take(row));
            }
        }
        least
    }

    /// What a visit in this lap finds. A row whose word is of a later lap sat this one out, or was
    /// claimed again since.
    fn found<Q, A>(&self, ring: &Ring<Q, A>, row: u32, lap: u64) -> Found {
        // Acquire: what the producer wrote is there for whoever sees it committed.
        let word = ring.row(row).word.load(Ordering::Acquire);
        if self.is_hole[self.place(row)] {
            return Found::Nothing;
        }
        if word == word::free(lap) {
            return Found::Hole;
        }
        if word::lap(word) != lap + 1 {
            return Found::Nothing;
        }
        match word::phase(word) {
            word::CLAIMED => Found::Hole,
            word::READY => Found::Request,
            word::TOMBSTONE => Found::Tombstone,
            _ => Found::Nothing,
        }
    }

    fn place(&self, row: u32) -> usize {
        (row - self.first_row) as usize
    }
}

impl<Q, A> Ring<Q, A> {
    fn take(&self, first: u32) -> Visited {
        let word = self.row(first).word.fetch_add(word::TAKEN - word::READY, Ordering::AcqRel);
        Visited { first, abandoned: word & word::ABANDONED != 0 }
    }
}
