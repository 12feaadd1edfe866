//! Workers that sleep, and those who wake them.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use super::super::pipeline::bell::{Bell, Rung};
use super::super::sync::{AtomicU64, Mutex, Ordering, Thread, lock};
use super::tickets::Alarm;
use super::{Rows, Server, ring, spawn};
use crate::check::Orders::{All, Preempted};
use crate::check::{Seen, check};

struct Hall {
    ring: Arc<Rows>,
    server: Mutex<Server>,
    bell: Bell,
    threads: [Thread; 2],
    /// 1 once workers are to leave.
    closed: AtomicU64,
    /// How often a worker parked.
    slept: AtomicUsize,
}

enum Look {
    Served,
    Nothing,
    Over,
}

impl Hall {
    fn new() -> Arc<Hall> {
        let (ring, server) = ring(2, 1);
        let threads = [Thread::new(), Thread::new()];
        let bell = Bell::new();
        for (number, thread) in threads.iter().enumerate() {
            bell.introduce(number, thread.clone());
        }
        let (server, closed) = (Mutex::new(server), AtomicU64::new(0));
        Arc::new(Hall { ring, server, bell, threads, closed, slept: AtomicUsize::new(0) })
    }

    fn claim(&self, value: u64) -> u32 {
        self.ring.claim(0, 1, 0, |request| request.set(value)).unwrap()
    }

    fn commit(&self, first: u32) {
        self.ring.commit(first);
        assert_eq!(self.bell.ring(0b10), Rung::Heard);
    }

    fn close(&self) {
        self.closed.store(1, Ordering::Release);
        self.bell.ring_all();
    }

    /// Works like a worker's thread until that many were served, or until the hall is closed.
    fn work(&self, number: usize, count: Option<usize>) {
        loop {
            match self.look(count) {
                Look::Served => continue,
                Look::Over => return,
                Look::Nothing => self.bell.lie_down(number),
            }
            if let Look::Nothing = self.look(count) {
                self.slept.fetch_add(1, Relaxed);
                while self.bell.lies(number) {
                    self.threads[number].park();
                }
            }
            self.bell.get_up(number);
        }
    }

    fn look(&self, count: Option<usize>) -> Look {
        let is_closed = count.is_none() && self.closed.load(Ordering::Acquire) == 1;
        let mut server = lock(&self.server);
        if server.serve_one(&self.ring) {
            Look::Served
        } else if is_closed || Some(server.served.len()) == count {
            Look::Over
        } else {
            Look::Nothing
        }
    }

    fn note(&self, seen: &Seen<2>) {
        seen.note(usize::from(self.slept.load(Relaxed) > 0));
    }
}

/// One producer, one worker. 7.
pub(crate) fn wakes_one_worker() {
    check(Preempted(3), Seen::of(["nobody slept", "somebody slept"]), |seen| {
        let hall = Hall::new();
        let asks = spawn(&hall, |hall| hall.commit(hall.claim(1)));
        hall.work(0, Some(1));
        asks.join().unwrap();
        hall.note(seen);
    });
}

/// Two producers, one worker. 7.
pub(crate) fn wakes_for_two_producers() {
    check(Preempted(2), Seen::of(["nobody slept", "somebody slept"]), |seen| {
        let hall = Hall::new();
        let asks = [1, 2].map(|value| {
            let first = hall.claim(value);
            spawn(&hall, move |hall| hall.commit(first))
        });
        hall.work(0, Some(2));
        asks.map(|asks| asks.join().unwrap());
        lock(&hall.server).assert_served(&[1, 2]);
        hall.note(seen);
    });
}

/// One producer, two workers; and both leave when they are to. 7, 11.
pub(crate) fn wakes_one_of_two_workers() {
    check(Preempted(1), Seen::of(["nobody slept", "somebody slept"]), |seen| {
        let hall = Hall::new();
        let first = hall.claim(1);
        let workers = [0, 1].map(|number| spawn(&hall, move |hall| hall.work(number, None)));
        hall.commit(first);
        let alarm = Alarm::new();
        // SAFETY: this is the request's ticket.
        if !unsafe { hall.ring.wait(first, alarm.waiter()) } {
            alarm.sleep();
        }
        hall.close();
        workers.map(|worker| worker.join().unwrap());
        lock(&hall.server).assert_served(&[1]);
        hall.note(seen);
    });
}

/// Where no worker is left, either the producer is told so, or whoever says so sees the request.
/// 1, 11.
pub(crate) fn tells_that_nobody_is_left() {
    check(All, Seen::of(["seen by who said so", "told to the producer"]), |seen| {
        let hall = Hall::new();
        let deserts = spawn(&hall, |hall| {
            hall.bell.set_deserted(true);
            lock(&hall.server).serve(&hall.ring);
        });
        hall.ring.commit(hall.claim(1));
        let rung = hall.bell.ring(0);
        if rung == Rung::Deserted {
            lock(&hall.server).serve(&hall.ring);
        }
        deserts.join().unwrap();
        lock(&hall.server).assert_served(&[1]);
        seen.note(usize::from(rung == Rung::Deserted));
    });
}
