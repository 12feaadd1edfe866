//! Requests of one row: each is answered once, and rows are used again.

use super::super::pipeline::ring::Refused;
use super::{abandon, answer, assert_all_free, read, ring, spawn, submit};
use crate::check::Orders::{All, Preempted};
use crate::check::{Seen, check};

/// Two producers, one of which gives up, and the dispatcher, about the end of a lap. 1, 2, 4, 6.
pub(crate) fn are_answered_once() {
    let seen = Seen::of(["read at once", "read later", "given up early", "given up late"]);
    check(Preempted(2), seen, |seen| {
        let (ring, mut server) = ring(2, 1);
        let reads = spawn(&ring, |ring| read(ring, submit(ring, 1).unwrap()));
        let gives_up = spawn(&ring, |ring| abandon(ring, submit(ring, 2).unwrap()));
        server.serve_one(&ring);
        server.serve_one(&ring);
        let (answer, freed) = (reads.join().unwrap(), gives_up.join().unwrap());
        server.serve(&ring);
        seen.note(usize::from(answer.is_err()));
        seen.note(2 + freed as usize);
        assert_eq!(answer.or_else(|first| read(&ring, first)), Ok(11));
        server.assert_served(&[1, 2]);
        assert_eq!(freed + server.freed, 1);
        assert_all_free(&ring);
    });
}

/// Giving up while it is answered frees the row once, for the next request. 3, 6.
pub(crate) fn given_up_free_their_row_once() {
    let seen = Seen::of(["freed by the answerer", "freed by the ticket", "full", "reused"]);
    check(All, seen, |seen| {
        let (ring, mut server) = ring(1, 0);
        let first = submit(&ring, 1).unwrap();
        let gives_up = spawn(&ring, move |ring| (abandon(ring, first), submit(ring, 2)));
        server.serve_one(&ring);
        let (freed, next) = gives_up.join().unwrap();
        seen.note(freed as usize);
        seen.note(2 + usize::from(next.is_ok()));
        assert_eq!(freed + server.freed, 1);
        server.serve(&ring);
        if let Ok(next) = next {
            assert_eq!(read(&ring, next), Ok(21));
        }
        assert_all_free(&ring);
    });
}

/// A row whose answer is being read is nobody else's. 3, 5.
pub(crate) fn keep_their_row_while_it_is_read() {
    let seen = Seen::of(["full", "reused"]);
    check(All, seen, |seen| {
        let (ring, mut server) = ring(1, 0);
        let first = submit(&ring, 1).unwrap();
        server.serve(&ring);
        let reads = spawn(&ring, move |ring| read(ring, first));
        let next = submit(&ring, 2);
        server.serve(&ring);
        assert_eq!(reads.join().unwrap(), Ok(11));
        seen.note(usize::from(next.is_ok()));
        if let Ok(next) = next {
            assert_eq!(read(&ring, next), Ok(21));
        }
        assert_all_free(&ring);
    });
}

/// A request on the row of another that was read just now is not passed by a visit. 1, 5.
pub(crate) fn are_seen_on_a_row_just_freed() {
    let seen = Seen::of(["seen later", "seen at once"]);
    check(All, seen, |seen| {
        let (ring, mut server) = ring(1, 0);
        let first = submit(&ring, 1).unwrap();
        server.serve(&ring);
        let follows = spawn(&ring, move |ring| (read(ring, first), submit(ring, 2).unwrap()));
        let at_once = server.serve_one(&ring);
        let (before, next) = follows.join().unwrap();
        seen.note(usize::from(at_once));
        server.serve(&ring);
        assert_eq!((before, read(&ring, next)), (Ok(11), Ok(21)));
        server.assert_served(&[1, 2]);
        assert_all_free(&ring);
    });
}

/// Of two producers that want the last row one gets it, and the other nothing. 5.
pub(crate) fn get_the_last_row_one_at_a_time() {
    let seen = Seen::of(["first", "second"]);
    check(All, seen, |seen| {
        let (ring, mut server) = ring(1, 1);
        let other = spawn(&ring, |ring| submit(ring, 1));
        let this = submit(&ring, 2);
        let other = other.join().unwrap();
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

/// Those before the end are answered, those after it refused. 11.
pub(crate) fn end_with_the_ring() {
    let seen = Seen::of(["refused", "taken"]);
    check(All, seen, |seen| {
        let (ring, mut server) = ring(2, 1);
        let asks = spawn(&ring, |ring| [submit(ring, 1), submit(ring, 2)]);
        ring.close();
        server.serve_one(&ring);
        assert_eq!(submit(&ring, 3), Err(Refused::Closed));
        let asked = asks.join().unwrap();
        server.serve(&ring);
        let mut taken = Vec::new();
        for (value, asked) in [1, 2].into_iter().zip(asked) {
            seen.note(usize::from(asked.is_ok()));
            if asked == Err(Refused::Closed) {
                continue;
            }
            assert_eq!(read(&ring, asked.unwrap()), Ok(10 * value + 1));
            taken.push(value);
        }
        server.assert_served(&taken);
    });
}

/// What is taken out of its turn is not taken again. 1.
pub(crate) fn are_taken_out_of_turn_once() {
    let seen = Seen::of(["in turn", "out of turn"]);
    check(Preempted(3), seen, |seen| {
        let (ring, mut server) = ring(2, 1);
        let asks = spawn(&ring, |ring| [1, 2].map(|value| submit(ring, value).unwrap()));
        let mut swept = Vec::new();
        let wanted = |request: &super::Value| (request.get() == 2, 0);
        server.reader.sweep(&ring, wanted, |visited| swept.push(visited.first));
        server.serve_one(&ring);
        let asked = asks.join().unwrap();
        server.serve(&ring);
        seen.note(swept.len());
        for first in &swept {
            answer(&ring, *first, 21);
        }
        server.assert_served(if swept.is_empty() { &[1, 2] } else { &[1] });
        assert_eq!(asked.map(|first| read(&ring, first)), [Ok(11), Ok(21)]);
        assert_all_free(&ring);
    });
}
