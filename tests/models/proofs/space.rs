//! Those who wait for room.

use std::sync::Arc;

use super::super::pipeline::ring::Refused;
use super::super::pipeline::space::Space;
use super::super::pipeline::waiter::Waiter;
use super::super::sync::Thread;
use super::tickets::Alarm;
use super::{Rows, Server, read, ring, spawn, submit};
use crate::check::Orders::{All, Preempted};
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
        (Arc::new(Room { ring, space: Space::new() }), replies, server)
    }

    fn let_go(&self, first: u32) {
        assert!(read(&self.ring, first).is_ok());
        self.space.freed();
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
                match submit(&self.ring, value) {
                    Err(Refused::Full) => {}
                    taken => {
                        place.into_iter().for_each(|place| self.space.leave(place));
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
    check(All, Seen::of(["did not sleep", "slept"]), |seen| {
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
        let leaves = spawn(&room, move |room| room.space.leave(place));
        let asks = spawn(&room, |room| room.submit(1));
        room.let_go(replies[0]);
        leaves.join().unwrap();
        seen.note(usize::from(asks.join().unwrap().unwrap()));
    });
}

/// Whoever waits is told that there will be none. 7, 11.
pub(crate) fn may_never_come() {
    check(All, Seen::of(["told"]), |seen| {
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
        let room = Arc::new(Room { ring, space: Space::new() });
        let keeps = spawn(&room, |room| room.ring.claim(0, 1, |it| it.set(1)).is_ok());
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
