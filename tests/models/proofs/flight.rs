//! Batches that are taken from a worker.

use std::sync::Arc;

use super::super::pipeline::flight::{Batch, Flight};
use super::{Rows, Server, Value, answer, assert_all_free, read, ring, spawn};
use crate::check::Orders::{All, Preempted};
use crate::check::{Seen, check};

struct Sky {
    ring: Arc<Rows>,
    /// What the row holds, which devices read.
    values: Value,
    flight: Flight<()>,
}

impl Sky {
    /// One row, about to be handed over.
    fn new() -> (Arc<Sky>, u32, Server) {
        let (ring, mut server) = ring(1, 0);
        let sky = Arc::new(Sky { ring, values: Value::default(), flight: Flight::new() });
        let first = sky.write(1).unwrap();
        assert_eq!(server.take(&sky.ring).unwrap().first, first);
        let rows = vec![first];
        let batch = Batch { rows, pieces: 1, generation: (), tried: 0, formed_ns: 0 };
        sky.flight.take_off(batch, 0);
        (sky, first, server)
    }

    fn write(&self, value: u64) -> Option<u32> {
        let first = self.ring.claim(0, 1, 0, |request| request.set(value)).ok()?;
        self.values.set(value);
        self.ring.commit(first);
        Some(first)
    }

    /// The worker. Returns whether it answered, and what it freed.
    fn fly(&self) -> (bool, u32) {
        let value = self.values.get();
        let (owned, freed) = self.flight.handed_over(&self.ring);
        let batch = self.flight.land();
        assert!(owned || batch.is_none(), "landed what was revoked");
        for row in batch.iter().flat_map(|batch| &batch.rows) {
            answer(&self.ring, *row, 10 * value + 1);
        }
        (batch.is_some(), freed)
    }

    /// Whoever finds the batch overdue, and runs it again. Returns whether it answered.
    fn revoke(&self) -> bool {
        let Some(batch) = self.flight.revoke(&self.ring) else { return false };
        assert_eq!(batch.tried, 1);
        answer(&self.ring, batch.rows[0], 10 * self.values.get() + 1);
        true
    }
}

/// Worker and revoker: one of them answers, and the row is nobody's before both are done with it.
/// 1, 3, 13.
pub(crate) fn lands_once() {
    let seen = Seen::of(["landed", "revoked while it was read", "revoked later"]);
    check(All, seen, |seen| {
        let (sky, first, mut server) = Sky::new();
        let flies = spawn(&sky, Sky::fly);
        let revoked = sky.revoke();
        let answer = read(&sky.ring, first);
        let next = sky.write(2);
        let (landed, freed) = flies.join().unwrap();
        assert!(landed != revoked, "answered once");
        assert!(revoked || freed == 0);
        seen.note(if landed { 0 } else { 2 - freed as usize });
        assert_eq!(answer.or_else(|first| read(&sky.ring, first)), Ok(11));
        server.serve(&sky.ring);
        if let Some(next) = next {
            assert_eq!(read(&sky.ring, next), Ok(21));
        }
        assert_all_free(&sky.ring);
    });
}

/// The same where the ticket is another thread's, which writes the next row as soon as it may.
/// 1, 3, 13.
pub(crate) fn holds_what_is_read() {
    let seen = Seen::of(["landed", "revoked", "found no room", "wrote"]);
    check(Preempted(3), seen, |seen| {
        let (sky, first, mut server) = Sky::new();
        let flies = spawn(&sky, Sky::fly);
        let revokes = spawn(&sky, Sky::revoke);
        let answer = read(&sky.ring, first);
        let next = sky.write(2);
        let ((landed, _), revoked) = (flies.join().unwrap(), revokes.join().unwrap());
        assert!(landed != revoked, "answered once");
        seen.note(usize::from(revoked));
        seen.note(2 + usize::from(next.is_some()));
        assert_eq!(answer.or_else(|first| read(&sky.ring, first)), Ok(11));
        server.serve(&sky.ring);
        if let Some(next) = next {
            assert_eq!(read(&sky.ring, next), Ok(21));
        }
        assert_all_free(&sky.ring);
    });
}
