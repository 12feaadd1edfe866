//! Rows that somebody keeps: the others go on without them.

use super::super::pipeline::ring::Refused;
use super::{assert_all_free, read, ring, spawn, submit};
use crate::check::Orders::Preempted;
use crate::check::{Seen, check};

/// Two producers pass an unread reply at once: one of them gets the row behind it. 3, 5.
pub(crate) fn are_passed_by_two_at_once() {
    let seen = Seen::of(["first", "second"]);
    check(Preempted(3), seen, |seen| {
        let (ring, mut server) = ring(2, 0);
        let kept = submit(&ring, 1).unwrap();
        let gone = submit(&ring, 2).unwrap();
        server.serve(&ring);
        assert_eq!(read(&ring, gone), Ok(21));
        server.served.clear();
        let asks = spawn(&ring, |ring| submit(ring, 3));
        let this = submit(&ring, 4);
        let other = asks.join().unwrap();
        seen.note(usize::from(this.is_ok()));
        let first = match (other, this) {
            (Ok(first), Err(Refused::Full)) | (Err(Refused::Full), Ok(first)) => first,
            both => panic!("{both:?}"),
        };
        server.serve(&ring);
        assert_eq!(server.served.len(), 1);
        assert!(read(&ring, first).is_ok());
        assert_eq!(read(&ring, kept), Ok(11));
        assert_all_free(&ring);
    });
}

/// Two producers pass a reply while it is read and let go of. 3, 4, 5.
pub(crate) fn are_passed_while_they_let_go() {
    let seen = Seen::of(["one found room", "both found room"]);
    check(Preempted(2), seen, |seen| {
        let (ring, mut server) = ring(2, 0);
        let kept = submit(&ring, 1).unwrap();
        let gone = submit(&ring, 2).unwrap();
        server.serve(&ring);
        assert_eq!(read(&ring, gone), Ok(21));
        server.served.clear();
        let reads = spawn(&ring, move |ring| read(ring, kept));
        let asks = spawn(&ring, |ring| submit(ring, 3));
        let asked = [submit(&ring, 4), asks.join().unwrap()];
        assert_eq!(reads.join().unwrap(), Ok(11));
        server.serve(&ring);
        let taken = asked.iter().filter(|asked| asked.is_ok()).count();
        assert!(taken > 0, "there was a free row all the time");
        assert_eq!(server.served.len(), taken);
        seen.note(taken - 1);
        for first in asked.into_iter().flatten() {
            assert!(read(&ring, first).is_ok());
        }
        assert_all_free(&ring);
    });
}

/// A row that was claimed and never committed costs nobody else a row. 1, 5.
pub(crate) fn may_never_come() {
    let seen = Seen::of(["came", "found no room"]);
    check(Preempted(2), seen, |seen| {
        let (ring, mut server) = ring(2, 0);
        let leaks = spawn(&ring, |ring| ring.claim(0, 1, 0, |request| request.set(1)));
        for value in [2, 3] {
            let first = submit(&ring, value).expect("the other row is free");
            server.serve(&ring);
            assert_eq!(read(&ring, first), Ok(10 * value + 1));
        }
        let leaked = leaks.join().unwrap();
        server.serve(&ring);
        server.assert_served(&[2, 3]);
        seen.note(usize::from(leaked.is_err()));
        assert!(submit(&ring, 5).is_ok());
        assert_eq!(submit(&ring, 6).is_ok(), leaked.is_err());
    });
}

/// What is not committed when the dispatcher comes by holds nobody up, and is taken later. 1, 2.
pub(crate) fn may_come_late() {
    let seen = Seen::of(["before", "after"]);
    check(Preempted(3), seen, |seen| {
        let (ring, mut server) = ring(2, 1);
        let late = spawn(&ring, |ring| submit(ring, 1).unwrap());
        let first = submit(&ring, 2).unwrap();
        server.serve_one(&ring);
        seen.note(usize::from(server.served == [2]));
        server.serve_one(&ring);
        assert_eq!(read(&ring, first), Ok(21));
        let late = late.join().unwrap();
        server.serve(&ring);
        server.assert_served(&[1, 2]);
        assert_eq!(read(&ring, late), Ok(11));
        assert_all_free(&ring);
    });
}

/// What is given up before it is committed is cleared away once. 1, 6.
pub(crate) fn may_change_their_mind() {
    let seen = Seen::of(["cleared away late", "cleared away in passing"]);
    check(Preempted(3), seen, |seen| {
        let (ring, mut server) = ring(2, 1);
        let gives_up = spawn(&ring, |ring| {
            let first = ring.claim(0, 1, 0, |request| request.set(1)).unwrap();
            ring.discard(first);
        });
        let first = submit(&ring, 2).unwrap();
        server.serve(&ring);
        seen.note(server.freed as usize);
        assert_eq!(read(&ring, first), Ok(21));
        gives_up.join().unwrap();
        server.serve(&ring);
        server.assert_served(&[2]);
        assert_eq!(server.freed, 1);
        assert_all_free(&ring);
    });
}
