//! Room in one lane: whether there is any, and the callers that wait for it, first come first
//! served.
//!
//! 1. A caller that finds no room joins the *line*, and tries once more before it sleeps.
//! 2. A thread that frees rows looks for the line afterwards, and gives each row to a sleeper, the
//!    first in line first: it wakes it, and the sleeper has a *turn*. Fences on both sides between
//!    saying and looking make at least one of them see the other, as in [`bell`](super::bell).
//! 3. As many rows are kept as there are turns. A caller that is not in line gets none of them,
//!    and none at all while others sleep: every free row belongs to a turn then.
//! 4. A turn ends when its caller comes back and takes a row, or sleeps again. Where it leaves
//!    without a row, its turn goes to the next sleeper.
//! 5. A caller that does not come back is passed over after a while: the next sleeper is *called*.
//!    From then on the row is not kept any more, and the first to come has it. So neither a task
//!    that is not polled nor threads that wake late keep a row from being used.
//!
//! A lane that was found full is marked so, for as many rows as did not fit, and the mark is wiped
//! off by the next thread that frees a row. A caller says that it looks before it looks, and marks
//! the lane only where its word still stands, so that no mark outlives a row that became free.

use std::collections::BTreeMap;

use crossbeam::utils::CachePadded;

use super::super::sync::{AtomicU64, Mutex, Ordering, fence, lock, planted};
use super::ring::{Refused, Ring};
use super::waiter::Waiter;

/// The room of one lane.
#[derive(Debug)]
pub(crate) struct Space {
    lane: usize,
    signs: CachePadded<Signs>,
    line: Mutex<Queue>,
}

/// What is looked at without the lock.
#[derive(Debug)]
struct Signs {
    /// Callers that sleep, have a turn or were called. Written under the lock.
    waiting: AtomicU64,
    /// Low half: 0, [`LOOKING`], or how many rows did not fit when a caller looked. High half: the
    /// number of the last look. Written by callers that found no room and by those that free rows.
    full: AtomicU64,
}

/// In the low half of `full`: a caller looks, and no row has become free since it began.
const LOOKING: u64 = LOW;
const LOW: u64 = u32::MAX as u64;

#[derive(Debug, Default)]
struct Queue {
    next_place: u64,
    /// Callers that sleep, by their places in line.
    asleep: BTreeMap<u64, Waiter>,
    /// Callers that were woken and have not come back, by their places, and the round of each
    /// wake-up: those for which a row is kept, and those that were called.
    turns: BTreeMap<u64, u64>,
    called: BTreeMap<u64, u64>,
    /// Rounds of [`Space::pass_over`].
    round: u64,
}

impl Space {
    /// The room of a lane, all of it free.
    pub(crate) fn new(lane: usize) -> Space {
        let signs = Signs { waiting: AtomicU64::new(0), full: AtomicU64::new(0) };
        Space { lane, signs: CachePadded::new(signs), line: Mutex::new(Queue::default()) }
    }

    /// Claims rows of the lane, as [`Ring::claim`] does, for a caller at `place` in line or for one
    /// that is not in line.
    pub(crate) fn claim<Q, A>(
        &self,
        ring: &Ring<Q, A>,
        rows: u32,
        place: Option<u64>,
        write: impl Fn(&mut Q),
    ) -> Result<u32, Refused> {
        let Some(kept) = self.kept(place) else { return Err(Refused::Full) };
        let wanted = rows + kept;
        if self.is_marked(wanted) {
            return Err(Refused::Full);
        }
        let claim = || ring.claim(self.lane, rows, kept, &write);
        match claim() {
            Err(Refused::Full) => {}
            done => return done,
        }
        let look = planted::SAYS_IT_LOOKS.then(|| self.look());
        let taken = claim();
        if taken == Err(Refused::Full) {
            self.mark(look.unwrap_or_else(|| self.look()), wanted);
        }
        taken
    }

    /// Waits in line: at `place` where there is one, else behind the last. The caller has to try
    /// once more before it sleeps.
    pub(crate) fn wait(&self, place: Option<u64>, waiter: Waiter) -> u64 {
        let mut line = lock(&self.line);
        let place = place.unwrap_or_else(|| {
            line.next_place += 1;
            line.next_place
        });
        line.turns.remove(&place);
        line.called.remove(&place);
        let before = line.asleep.insert(place, waiter);
        self.count(&line);
        drop(line);
        fence(Ordering::SeqCst);
        // Once the lock is free: a task that is let go of may do anything, such as leave this line.
        drop(before);
        place
    }

    /// Leaves the line, with a row or without. Returns whether another caller has a turn now.
    pub(crate) fn leave<Q, A>(&self, ring: &Ring<Q, A>, place: u64, took: bool) -> bool {
        let mut line = lock(&self.line);
        let left = line.asleep.remove(&place);
        let had_turn = line.turns.remove(&place).is_some();
        let was_called = line.called.remove(&place).is_some();
        let (others_sleep, turns) = (!line.asleep.is_empty(), line.turns.len() as u32);
        self.count(&line);
        drop(line);
        drop(left);
        if took {
            // One row that was visited may have barred the way to several that are free.
            return others_sleep && ring.has_room(self.lane, turns + 1) && self.give_turns(1);
        }
        let passes = u32::from(planted::PASSES_TURNS);
        (had_turn && self.give_turns(passes)) || (was_called && self.call(passes))
    }

    /// To be called after rows were freed. Returns whether a caller has a turn now.
    pub(crate) fn freed(&self, rows: u32) -> bool {
        fence(Ordering::SeqCst);
        if self.wipe() {
            // A caller that joins the line sees the mark gone, or is seen.
            fence(Ordering::SeqCst);
        }
        self.signs.waiting.load(Ordering::Relaxed) != 0 && self.give_turns(rows)
    }

    /// To be called after rows were visited: claims may go past them now, where others behind them
    /// are free. Returns whether a caller has a turn now.
    pub(crate) fn visited<Q, A>(&self, ring: &Ring<Q, A>) -> bool {
        fence(Ordering::SeqCst);
        if self.wipe() {
            fence(Ordering::SeqCst);
        }
        if self.signs.waiting.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let line = lock(&self.line);
        let (others_sleep, turns) = (!line.asleep.is_empty(), line.turns.len() as u32);
        drop(line);
        others_sleep && ring.has_room(self.lane, turns + 1) && self.give_turns(1)
    }

    /// Wakes every sleeper: there is something else than room to be learnt.
    pub(crate) fn wake_all(&self) {
        fence(Ordering::SeqCst);
        self.wipe();
        let mut line = lock(&self.line);
        let asleep = std::mem::take(&mut line.asleep);
        self.count(&line);
        drop(line);
        asleep.into_values().for_each(Waiter::wake);
    }

    /// To be called at intervals. Passes over callers that were woken before the last time: the
    /// next sleepers are called. A caller that is passed over keeps its place. Returns whether
    /// there are callers that were woken and have not come back.
    pub(crate) fn pass_over(&self) -> bool {
        if self.signs.waiting.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let mut line = lock(&self.line);
        let Queue { turns, called, round, .. } = &mut *line;
        let before = turns.len() + called.len();
        turns.retain(|_, woken| woken == round);
        called.retain(|_, woken| woken == round);
        *round += 1;
        let left = turns.len() + called.len();
        self.count(&line);
        drop(line);
        self.call((before - left) as u32) || left > 0
    }

    /// How many rows a claim has to leave to others; `None` where all are others'.
    fn kept(&self, place: Option<u64>) -> Option<u32> {
        if self.signs.waiting.load(Ordering::Relaxed) == 0 || !planted::KEEPS_ROWS {
            return Some(0);
        }
        let line = lock(&self.line);
        let turns = line.turns.len() as u32;
        match place {
            Some(place) => Some(turns - u32::from(line.turns.contains_key(&place))),
            None => (line.asleep.is_empty() || !line.called.is_empty()).then_some(turns),
        }
    }

    /// Wakes up to `sleepers` callers, for each of which a row is kept. Returns whether there was
    /// one.
    fn give_turns(&self, sleepers: u32) -> bool {
        self.wake(sleepers, |line| &mut line.turns)
    }

    /// Wakes up to `sleepers` callers, for which no row is kept. Returns whether there was one.
    fn call(&self, sleepers: u32) -> bool {
        self.wake(sleepers, |line| &mut line.called)
    }

    /// Wakes up to `sleepers` callers, the first in line first.
    fn wake(&self, sleepers: u32, woken: fn(&mut Queue) -> &mut BTreeMap<u64, u64>) -> bool {
        for count in 0..sleepers {
            let mut line = lock(&self.line);
            let Some((place, waiter)) = line.asleep.pop_first() else { return count > 0 };
            let round = line.round;
            woken(&mut line).insert(place, round);
            drop(line);
            waiter.wake();
        }
        sleepers > 0
    }

    fn count(&self, line: &Queue) {
        let waiting = line.asleep.len() + line.turns.len() + line.called.len();
        self.signs.waiting.store(waiting as u64, Ordering::Relaxed);
    }

    /// Whether `rows` rows are known not to fit.
    fn is_marked(&self, rows: u32) -> bool {
        let marked = self.signs.full.load(Ordering::Relaxed) & LOW;
        marked != 0 && marked != LOOKING && u64::from(rows) >= marked
    }

    /// Says that this caller looks for room. Returns its word.
    fn look(&self) -> u64 {
        let full = &self.signs.full;
        let mut seen = full.load(Ordering::Relaxed);
        loop {
            let look = (((seen >> 32) + 1) << 32) | LOOKING;
            match full.compare_exchange_weak(seen, look, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    fence(Ordering::SeqCst);
                    return look;
                }
                Err(now) => seen = now,
            }
        }
    }

    /// Marks the lane as full for `rows` rows, unless rows were freed since the look began, or
    /// another caller has looked.
    fn mark(&self, look: u64, rows: u32) {
        let marked = (look & !LOW) | u64::from(rows);
        let order = Ordering::Relaxed;
        let _ = self.signs.full.compare_exchange(look, marked, order, order);
    }

    /// Wipes a mark off, or the word of a caller that looks. Returns whether there was either.
    fn wipe(&self) -> bool {
        let full = &self.signs.full;
        let mut seen = full.load(Ordering::Relaxed);
        while seen & LOW != 0 {
            let order = Ordering::Relaxed;
            match full.compare_exchange(seen, seen & !LOW, order, order) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }
}
