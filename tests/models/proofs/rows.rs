//! Requests of several rows.

use super::super::pipeline::ring::Refused;
use super::tickets::Alarm;
use super::{abandon, answer, assert_all_free, read, ring, spawn, submit, submit_rows};
use crate::check::Orders::{All, Preempted};
use crate::check::{Seen, check};

/// Two answerers at once, while the ticket is dropped: the rows are freed once, together. 1, 6.
pub(crate) fn given_up_are_freed_once() {
    let seen = Seen::of(["freed by an answerer", "freed by the ticket"]);
    check(Preempted(3), seen, |seen| {
        let (ring, mut server) = ring(2, 1);
        let first = submit_rows(&ring, 2, 3).unwrap();
        assert_eq!(server.take(&ring).unwrap().first, first);
        // SAFETY: the request was taken.
        let second = unsafe { ring.next_of(first) };
        let answers = spawn(&ring, move |ring| answer(ring, second, 32));
        let gives_up = spawn(&ring, move |ring| abandon(ring, first));
        let one = answer(&ring, first, 31);
        let (other, freed) = (answers.join().unwrap(), gives_up.join().unwrap());
        seen.note(freed as usize / 2);
        assert_eq!(one.freed + other.freed + freed, 2);
        assert!(one.waiter.is_none() && other.waiter.is_none());
        assert_all_free(&ring);
    });
}

/// Two answerers at once, while the ticket begins to wait: one of them wakes it, or none has to.
/// 1, 2, 4, 7.
pub(crate) fn waited_for_are_complete_once() {
    let seen = Seen::of(["woken", "not to be woken"]);
    check(Preempted(3), seen, |seen| {
        let (ring, mut server) = ring(2, 1);
        let first = submit_rows(&ring, 2, 3).unwrap();
        assert_eq!(server.take(&ring).unwrap().first, first);
        // SAFETY: the request was taken.
        let second = unsafe { ring.next_of(first) };
        let answers = spawn(&ring, move |ring| {
            answer(ring, second, 32).waiter.into_iter().for_each(|waiter| waiter.wake());
        });
        let waits = spawn(&ring, move |ring| {
            let alarm = Alarm::new();
            // SAFETY: this is the request's ticket.
            let is_complete = unsafe { ring.wait(first, alarm.waiter()) };
            if !is_complete {
                alarm.sleep();
            }
            (is_complete, read(ring, first))
        });
        answer(&ring, first, 31).waiter.into_iter().for_each(|waiter| waiter.wake());
        answers.join().unwrap();
        let (is_complete, sum) = waits.join().unwrap();
        seen.note(usize::from(is_complete));
        assert_eq!(sum, Ok(63));
        assert_all_free(&ring);
    });
}

/// Requests of two rows and of one share what a straggler between them leaves. 1, 2, 5.
pub(crate) fn pass_a_straggler() {
    let seen = Seen::of(["two rows first", "one row first"]);
    check(Preempted(3), seen, |seen| {
        let (ring, mut server) = ring(4, 0);
        let straggler = 1;
        let asked = [0, 1, 2, 3].map(|value| submit(&ring, value).unwrap());
        server.serve(&ring);
        for first in asked.into_iter().filter(|first| *first != straggler) {
            assert!(read(&ring, first).is_ok());
        }
        server.served.clear();
        let asks = spawn(&ring, |ring| submit_rows(ring, 2, 4).unwrap());
        let one = submit(&ring, 5).unwrap();
        server.serve_one(&ring);
        let two = asks.join().unwrap();
        seen.note(usize::from(one == 0));
        assert_eq!(submit(&ring, 6), Err(Refused::Full));
        server.serve(&ring);
        server.assert_served(&[4, 5]);
        assert_eq!((read(&ring, two), read(&ring, one)), (Ok(82), Ok(51)));
        assert_eq!(read(&ring, straggler), Ok(11));
        assert_all_free(&ring);
    });
}

/// One of two requests that want the same two rows gets them, the other nothing. 5.
pub(crate) fn are_claimed_together() {
    let seen = Seen::of(["first", "second"]);
    check(All, seen, |seen| {
        let (ring, mut server) = ring(2, 1);
        let asks = spawn(&ring, |ring| submit_rows(ring, 2, 1));
        let this = submit_rows(&ring, 2, 2);
        let other = asks.join().unwrap();
        seen.note(usize::from(this.is_ok()));
        let first = match (other, this) {
            (Ok(first), Err(Refused::Full)) | (Err(Refused::Full), Ok(first)) => first,
            both => panic!("{both:?}"),
        };
        server.serve(&ring);
        assert!(read(&ring, first).is_ok());
        assert_all_free(&ring);
    });
}
