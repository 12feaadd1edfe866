//! Those who wait for room.

use std::sync::Arc;

use super::super::pipeline::ring::Refused;
use super::super::pipeline::space::Space;
use super::super::pipeline::waiter::Waiter;
use super::super::sync::Thread;
use super::tickets::Alarm;
use super::{Rows, Server, read, ring, spawn, submit};
use crate::check::Orders::Preempted;
use crate::check::{Seen, check};

struct Room {
    ring: Arc<Rows>,
    space: Space,
}

impl Room {
    /// A ring full of replies that nobody has read yet.
    fn full(capacity: u32) -> (Arc<Room>, Vec<u32>, Server) {
        let (ring, mut server) = ring(capacity, 0);
        let replies = (0..capacity).map(|value| submit(&ring, value.into()).unwrap()).collect();
        server.serve(&ring);
        (Arc::new(Room { ring, space: Space::new(0) }), replies, server)
    }

    fn let_go(&self, first: u32) {
        assert!(read(&self.ring, first).is_ok());
        self.space.freed(1);
    }

    /// Submits one row once, from a place in line or from none.
    fn try_from(&self, place: Option<u64>, value: u64) -> Result<u32, Refused> {
        let first = self.space.claim(&self.ring, 1, place, |request| request.set(value))?;
        self.ring.commit(first);
        Ok(first)
    }

    /// Submits as callers do that wait. Returns whether it had to sleep.
    fn submit(&self, value: u64) -> Result<bool, Refused> {
        self.submit_from(None, Thread::new(), value)
    }

    /// The same for one that has tried already, and has a place in line since.
    fn submit_from(
        &self,
        mut place: Option<u64>,
        thread: Thread,
        value: u64,
    ) -> Result<bool, Refused> {
        let mut slept = false;
        loop {
            if place.is_some() {
                slept = true;
                thread.park();
            }
            for _ in 0..2 {
                match self.try_from(place, value) {
                    Err(Refused::Full) => {}
                    taken => {
                        if let Some(place) = place {
                            self.space.leave(&self.ring, place, taken.is_ok());
                        }
                        return taken.map(|_| slept);
                    }
                }
                place = Some(self.space.wait(place, Waiter::Thread(thread.clone())));
            }
        }
    }
}

/// Room that comes while somebody begins to wait is not missed. 7.
pub(crate) fn is_not_missed() {
    check(Preempted(3), Seen::of(["did not sleep", "slept"]), |seen| {
        let (room, replies, _) = Room::full(1);
        let asks = spawn(&room, |room| room.submit(1));
        room.let_go(replies[0]);
        seen.note(usize::from(asks.join().unwrap().unwrap()));
    });
}

/// Room for two wakes two, though each of those who let go wakes one at most. 7.
pub(crate) fn is_passed_on() {
    check(Preempted(1), Seen::of(["both were there"]), |seen| {
        let (room, replies, _) = Room::full(2);
        let asks = [1, 2].map(|value| {
            let thread = Thread::new();
            let place = room.space.wait(None, Waiter::Thread(thread.clone()));
            spawn(&room, move |room| room.submit_from(Some(place), thread, value))
        });
        replies.iter().for_each(|first| room.let_go(*first));
        asks.map(|asks| assert!(asks.join().unwrap().is_ok()));
        seen.note(0);
    });
}

/// Whoever is woken and does not want the room any more leaves it to the next. 7.
pub(crate) fn is_left_to_the_next() {
    check(Preempted(2), Seen::of(["did not sleep", "slept"]), |seen| {
        let (room, replies, _) = Room::full(1);
        let place = room.space.wait(None, Alarm::new().waiter());
        let leaves = spawn(&room, move |room| room.space.leave(&room.ring, place, false));
        let asks = spawn(&room, |room| room.submit(1));
        room.let_go(replies[0]);
        leaves.join().unwrap();
        seen.note(usize::from(asks.join().unwrap().unwrap()));
    });
}

/// Whoever waits is told that there will be none. 7, 11.
pub(crate) fn may_never_come() {
    check(Preempted(3), Seen::of(["told"]), |seen| {
        let (room, _, _) = Room::full(1);
        let asks = spawn(&room, |room| room.submit(1));
        room.ring.close();
        room.space.wake_all();
        assert_eq!(asks.join().unwrap(), Err(Refused::Closed));
        seen.note(0);
    });
}

/// Nobody sleeps beside a free row, whatever the one who has the other row does with it. 5, 7.
pub(crate) fn is_not_denied_for_another() {
    check(Preempted(2), Seen::of(["found room", "found none"]), |seen| {
        let (ring, mut server) = ring(2, 0);
        let room = Arc::new(Room { ring, space: Space::new(0) });
        let keeps = spawn(&room, |room| room.ring.claim(0, 1, 0, |it| it.set(1)).is_ok());
        let first = submit(&room.ring, 2).unwrap();
        server.serve(&room.ring);
        room.let_go(first);
        let alarm = Alarm::new();
        let mut taken = submit(&room.ring, 3);
        if taken.is_err() {
            room.space.wait(None, alarm.waiter());
            taken = submit(&room.ring, 3);
        }
        let keeps = keeps.join().unwrap();
        assert!(taken.is_ok() || alarm.rang() > 0, "asleep beside a free row");
        seen.note(usize::from(!keeps));
    });
}

/// A caller that found no room does not deny it to the next once a row was freed. 5, 7.
pub(crate) fn is_not_denied_after_it_came() {
    check(Preempted(3), Seen::of(["found room", "found none"]), |seen| {
        let (room, replies, mut server) = Room::full(1);
        let tries = spawn(&room, |room| [1, 2].map(|value| room.try_from(None, value).is_ok()));
        room.let_go(replies[0]);
        let found = tries.join().unwrap();
        seen.note(usize::from(found == [false; 2]));
        if found == [false; 2] {
            assert!(room.try_from(None, 3).is_ok(), "full beside a free row");
        }
        assert_eq!(room.try_from(None, 4), Err(Refused::Full));
        server.serve(&room.ring);
    });
}

/// A row that becomes free is the first sleeper's, whatever others try meanwhile. 7.
pub(crate) fn is_kept_for_the_first() {
    check(Preempted(3), Seen::of(["woken"]), |seen| {
        let (room, replies, _) = Room::full(1);
        let alarm = Alarm::new();
        let place = room.space.wait(None, alarm.waiter());
        let tries = spawn(&room, |room| room.try_from(None, 1));
        room.let_go(replies[0]);
        assert_eq!(alarm.rang(), 1);
        assert_eq!(tries.join().unwrap(), Err(Refused::Full), "jumped the line");
        assert!(room.try_from(Some(place), 2).is_ok());
        room.space.leave(&room.ring, place, true);
        seen.note(0);
    });
}

/// A caller that is woken and does not come does not block others for ever. 7.
pub(crate) fn is_passed_over() {
    check(Preempted(2), Seen::of(["did not sleep", "slept"]), |seen| {
        let (room, replies, _) = Room::full(1);
        room.space.wait(None, Alarm::new().waiter());
        let asks = spawn(&room, |room| room.submit(1));
        room.let_go(replies[0]);
        assert!(room.space.pass_over(), "a turn lasts for one round at least");
        room.space.pass_over();
        seen.note(usize::from(asks.join().unwrap().unwrap()));
    });
}

/// As many rows are kept as there are turns, and no more. A row is never lost to both. 5, 7.
pub(crate) fn is_taken_beside_a_turn() {
    check(Preempted(2), Seen::of(["in the midst of it", "beside it"]), |seen| {
        let (room, replies, _) = Room::full(2);
        let place = room.space.wait(None, Alarm::new().waiter());
        replies.iter().for_each(|first| room.let_go(*first));
        let tries = spawn(&room, |room| [1, 2].map(|value| room.try_from(None, value).is_ok()));
        let taken = room.try_from(Some(place), 3);
        room.space.leave(&room.ring, place, true);
        assert!(taken.is_ok(), "its row was taken by another");
        let tried = tries.join().unwrap();
        // While the other takes its row and has not left the line yet, its turn still counts.
        let came = tried != [false; 2];
        assert!(came || room.try_from(None, 4).is_ok(), "a row was kept for no turn");
        assert_eq!(room.try_from(None, 5), Err(Refused::Full));
        seen.note(usize::from(came));
    });
}
