//! The producers' side: claim, write, commit.

use super::super::super::sync::{Ordering, planted, thread};
use super::super::word;
use super::{CLOSED, Lane, Link, Ring};

/// Why nothing could be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Every row is taken.
    Full,
    /// The ring was closed.
    Closed,
}

/// What a claim may do with the row at the tail.
enum Row {
    Free,
    /// Sits out this lap; somebody has seen to that.
    SatOut,
    /// Still taken, as its word says.
    Taken(u64),
    /// Another producer claimed it a lap ago and has not said so yet.
    Unsaid,
}

impl<Q, A> Ring<Q, A> {
    /// Claims rows of a lane for one request and lets `write` say what it is; the caller then
    /// writes its values and commits or discards it. Returns its first row. Beside
    /// its rows, `kept` more have to be free, which others have a claim to.
    ///
    /// # Panics
    /// Where the lane has fewer rows than asked for, or none are.
    pub(crate) fn claim(
        &self,
        lane: usize,
        rows: u32,
        kept: u32,
        write: impl FnOnce(&mut Q),
    ) -> Result<u32, Refused> {
        let lane = &self.lanes[lane];
        assert!(rows > 0 && u64::from(rows) <= lane.capacity(), "a request fits its lane");
        let mut tail = lane.tail.load(Ordering::Relaxed);
        loop {
            if tail & CLOSED != 0 {
                return Err(Refused::Closed);
            }
            let Some(end) = self.find(lane, tail, (rows, kept))? else {
                tail = lane.tail.load(Ordering::Relaxed);
                continue;
            };
            // Try moving the tail. Where that works, nobody else claimed what was found free.
            // The dispatcher then sees the rows no earlier than they were found here.
            let (order, failed) = (planted::CLAIM, Ordering::Relaxed);
            match lane.tail.compare_exchange_weak(tail, end, order, failed) {
                Ok(_) => return Ok(self.mark(lane, tail, end, rows, write)),
                Err(now) => tail = now,
            }
        }
    }

    /// Publishes a claimed request.
    pub(crate) fn commit(&self, first: u32) {
        self.row(first).word.fetch_add(word::READY - word::CLAIMED, planted::PUBLISH);
    }

    /// Gives a claimed request up.
    pub(crate) fn discard(&self, first: u32) {
        self.row(first).word.fetch_add(word::TOMBSTONE - word::CLAIMED, Ordering::Release);
    }

    /// Lets nothing be claimed any more.
    pub(crate) fn close(&self) {
        for lane in &self.lanes {
            lane.tail.fetch_or(CLOSED, Ordering::Relaxed);
        }
    }

    /// Whether as many rows could be claimed, or may be in a moment. Looks only.
    pub(crate) fn has_room(&self, lane: usize, rows: u32) -> bool {
        let lane = &self.lanes[lane];
        self.has_room_from(lane, lane.claimed(), rows) != Some(false)
    }

    /// Looks from the tail on for as many free rows as asked for, lets taken ones between them sit
    /// out, and returns the tail behind them; `None` where the tail has moved meanwhile. Beside
    /// them, `kept` more have to be free.
    fn find(
        &self,
        lane: &Lane,
        tail: u64,
        (rows, kept): (u32, u32),
    ) -> Result<Option<u64>, Refused> {
        let mut missing = rows;
        let mut claim = tail;
        let mut has_room = false;
        if kept > 0 {
            match self.has_room_from(lane, tail, rows + kept) {
                Some(true) => has_room = true,
                Some(false) => return Err(Refused::Full),
                None => return Ok(wait_for_word()),
            }
        }
        while missing > 0 {
            match self.look(lane, claim) {
                Row::Free => missing -= 1,
                Row::SatOut => {}
                // Word and tail are read one after the other: they may be of different laps.
                _ if lane.tail.load(Ordering::Relaxed) != tail => return Ok(None),
                // Further on are only rows that were found free.
                Row::Unsaid if claim >= tail + lane.capacity() => return Err(Refused::Full),
                Row::Unsaid => return Ok(wait_for_word()),
                Row::Taken(word) => {
                    if !has_room {
                        match self.has_room_from(lane, tail, rows) {
                            Some(true) => has_room = true,
                            Some(false) => return Err(Refused::Full),
                            None => return Ok(wait_for_word()),
                        }
                    }
                    // Try letting the row sit out; where its word has changed, look again.
                    let sits = word + word::LAP;
                    let order = Ordering::Relaxed;
                    let _ = self.word(lane, claim).compare_exchange(word, sits, order, order);
                    continue;
                }
            }
            claim += 1;
        }
        Ok(Some(claim))
    }

    /// Whether there are as many free rows from the tail on, whatever lies between them; looks
    /// only. No claim goes past a taken row that the dispatcher has not visited. `None` where a
    /// producer has yet to say what its row is.
    fn has_room_from(&self, lane: &Lane, tail: u64, rows: u32) -> Option<bool> {
        let unvisited = lane.head.load(Ordering::Acquire) + lane.capacity();
        let mut missing = rows;
        let mut claim = tail;
        while missing > 0 {
            match self.look(lane, claim) {
                Row::Free => missing -= 1,
                Row::SatOut => {}
                Row::Taken(_) if claim < unvisited => {}
                Row::Unsaid if claim < tail + lane.capacity() => return None,
                // Further on are only rows that were counted.
                Row::Taken(_) | Row::Unsaid => return Some(false),
            }
            claim += 1;
        }
        Some(true)
    }

    fn look(&self, lane: &Lane, claim: u64) -> Row {
        // Acquire: whoever used the row before is done with it.
        let word = self.word(lane, claim).load(Ordering::Acquire);
        let lap = lane.lap_of(claim);
        if word == word::free(lap) {
            Row::Free
        } else if word::lap(word) > lap {
            Row::SatOut
        } else if word::is_free(word) {
            Row::Unsaid
        } else {
            Row::Taken(word)
        }
    }

    /// Marks claimed rows as such and links them.
    fn mark(&self, lane: &Lane, tail: u64, end: u64, rows: u32, write: impl FnOnce(&mut Q)) -> u32 {
        let mut ours = (tail..end).filter(|claim| matches!(self.look(lane, *claim), Row::Free));
        // A claim has at least one row.
        let begin = ours.next().unwrap_or(tail);
        let first = lane.row_of(begin);
        let mut last = (begin, first);
        for claim in ours {
            let row = lane.row_of(claim);
            self.set_link(last.1, Link { claim: last.0, first, next: row, rows });
            self.say(lane, claim, word::MEMBER);
            last = (claim, row);
        }
        self.set_link(last.1, Link { claim: last.0, first, next: first, rows });
        let row = self.row(first);
        if rows > 1 {
            row.unanswered.store(rows, Ordering::Relaxed);
        }
        // SAFETY: the claim makes this producer the only one to touch the row until the commit.
        row.request.with_mut(|request| write(unsafe { &mut *request }));
        self.say(lane, begin, word::CLAIMED);
        first
    }

    fn say(&self, lane: &Lane, claim: u64, phase: u64) {
        let word = word::free(lane.lap_of(claim) + 1) + phase;
        // A plain store: until now, nobody touches the word of a row claimed by another.
        self.word(lane, claim).store(word, planted::PUBLISH);
    }

    fn set_link(&self, row: u32, link: Link) {
        // SAFETY: the claim makes this producer the only one to touch the row until the commit.
        self.row(row).link.with_mut(|cell| unsafe { *cell = link });
    }

    fn word(&self, lane: &Lane, claim: u64) -> &super::AtomicU64 {
        &self.row(lane.row_of(claim)).word
    }
}

/// Lets another producer say what it claimed: it is a few instructions before that. To call the
/// ring full instead would be wrong where other rows are free, and nobody would be told of them.
fn wait_for_word<T>() -> Option<T> {
    thread::yield_now();
    None
}
