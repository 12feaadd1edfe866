//! Those who wait for an answer.

use std::sync::Arc;
use std::task::Wake;

use super::super::pipeline::waiter::Waiter;
use super::super::sync::{AtomicU64, Ordering, Thread};
use super::{assert_all_free, read, ring, spawn, submit};
use crate::check::Orders::{All, Preempted};
use crate::check::{Seen, check};

/// A task that knows how often it was woken.
pub(crate) struct Alarm {
    thread: Thread,
    rang: AtomicU64,
}

impl Alarm {
    pub(crate) fn new() -> Arc<Alarm> {
        Arc::new(Alarm { thread: Thread::new(), rang: AtomicU64::new(0) })
    }

    pub(crate) fn waiter(self: &Arc<Alarm>) -> Waiter {
        Waiter::Task(Arc::clone(self).into())
    }

    pub(crate) fn rang(&self) -> u64 {
        self.rang.load(Ordering::Acquire)
    }

    /// Looks at nothing but the alarm.
    pub(crate) fn sleep(&self) {
        while self.rang() == 0 {
            self.thread.park();
        }
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Alarm>) {
        self.rang.fetch_add(1, Ordering::Release);
        self.thread.unpark();
    }
}

/// A task that begins to wait while it is answered is woken, or told that it need not wait; and
/// whoever uses the row next is not woken in its stead. 7.
pub(crate) fn are_woken_for_their_own() {
    let seen = Seen::of(["woken", "not to be woken"]);
    check(All, seen, |seen| {
        let (ring, mut server) = ring(1, 0);
        let first = submit(&ring, 1).unwrap();
        let next_alarm = Alarm::new();
        let waits = spawn(&ring, {
            let next_alarm = Arc::clone(&next_alarm);
            move |ring| {
                let alarm = Alarm::new();
                // SAFETY: this is the request's ticket.
                let is_complete = unsafe { ring.wait(first, alarm.waiter()) };
                if !is_complete {
                    alarm.sleep();
                }
                assert_eq!(read(ring, first), Ok(11));
                let next = submit(ring, 2).unwrap();
                // SAFETY: as above.
                assert!(!unsafe { ring.wait(next, next_alarm.waiter()) });
                (is_complete, next)
            }
        });
        server.serve_one(&ring);
        let (is_complete, next) = waits.join().unwrap();
        seen.note(usize::from(is_complete));
        assert_eq!(next_alarm.rang(), 0, "woken for another request");
        server.serve(&ring);
        assert_eq!(next_alarm.rang(), 1);
        assert_eq!(read(&ring, next), Ok(21));
        assert_all_free(&ring);
    });
}

/// A task that was about to wait and saw the answer instead goes on, while whoever answered still
/// looks for it: neither it nor the next one in its row is woken for nothing. 7.
pub(crate) fn may_leave_before_they_are_woken() {
    let seen = Seen::of(["left before", "woken"]);
    check(Preempted(3), seen, |seen| {
        let (ring, mut server) = ring(1, 0);
        let first = submit(&ring, 1).unwrap();
        let (alarm, next_alarm) = (Alarm::new(), Alarm::new());
        // SAFETY: this is the request's ticket.
        assert!(!unsafe { ring.wait(first, alarm.waiter()) });
        let waits = spawn(&ring, {
            let next_alarm = Arc::clone(&next_alarm);
            move |ring| {
                if read(ring, first).is_err() {
                    return None;
                }
                let next = submit(ring, 2).unwrap();
                // SAFETY: this is the request's ticket.
                assert!(!unsafe { ring.wait(next, next_alarm.waiter()) });
                Some(next)
            }
        });
        server.serve_one(&ring);
        let next = waits.join().unwrap();
        assert_eq!(next_alarm.rang(), 0, "woken for another request");
        server.serve(&ring);
        seen.note(usize::from(alarm.rang() == 1));
        match next {
            Some(next) => {
                assert_eq!(next_alarm.rang(), 1);
                assert_eq!(read(&ring, next), Ok(21));
            }
            None => assert_eq!(read(&ring, first), Ok(11)),
        }
        assert_all_free(&ring);
    });
}
