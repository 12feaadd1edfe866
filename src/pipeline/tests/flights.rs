//! A batch in flight, in whatever order its worker and others come to it, against a table.

#![allow(unsafe_code)]

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::flight::{Batch, Flight};
use super::super::ring::{Reader, Ring};

/// One thing that is done to a flight, or, at last, by the attempt that a revoked batch goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    TakeOff,
    HandedOver,
    Revoke,
    RevokeOverdue,
    Land,
    AnswerElsewhere,
}

/// How a flight stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    Idle,
    Submitting,
    Submitted,
    Revoked,
    RevokedHeld,
}

/// What an operation leads to, and who owns the batch from there on: the worker's step goes on with
/// it, whoever revokes it gets it, or neither. `None` where the operation cannot come.
fn table(stands: Stands, op: Op) -> Option<(Stands, bool)> {
    use Stands::{Idle, Revoked, RevokedHeld, Submitted, Submitting};
    Some(match (op, stands) {
        (Op::TakeOff, Idle) => (Submitting, true),
        (Op::TakeOff, _) => return None,
        (Op::HandedOver, Submitting) => (Submitted, true),
        (Op::HandedOver, RevokedHeld) => (Revoked, false),
        (Op::HandedOver, other) => (other, false),
        (Op::Revoke | Op::RevokeOverdue, Submitting) => (RevokedHeld, true),
        (Op::Revoke | Op::RevokeOverdue, Submitted) => (Revoked, true),
        (Op::Revoke | Op::RevokeOverdue, other) => (other, false),
        // A worker lands what it handed over.
        (Op::Land, Submitted) => (Idle, true),
        (Op::Land, Idle | Revoked) => (Idle, false),
        (Op::Land, _) => return None,
        (Op::AnswerElsewhere, other) => (other, false),
    })
}

const CASES: u32 = if cfg!(miri) { 20 } else { 3000 };
const DUE_NS: u64 = 100;
const GRACE_NS: u64 = 10;

struct World {
    ring: Ring<u64, u64>,
    reader: Reader,
    flight: Flight<()>,
    stands: Stands,
    /// A batch that another attempt has.
    elsewhere: Option<Batch<()>>,
    /// Rows that were answered and released while the flight held them.
    held: u32,
    tried: u32,
}

impl World {
    fn apply(&mut self, op: Op) {
        let Some((stands, owns)) = table(self.stands, op) else { return };
        match op {
            Op::TakeOff if self.elsewhere.is_some() => return,
            Op::TakeOff => self.take_off(),
            Op::HandedOver => {
                let freed = if self.stands == Stands::RevokedHeld { self.held } else { 0 };
                assert_eq!(self.flight.handed_over(&self.ring), (owns, freed));
            }
            Op::Revoke => self.revoked(self.flight.revoke(&self.ring), owns),
            Op::RevokeOverdue => {
                // Once before it is due, once when it is, and once more after the grace.
                for now_ns in [DUE_NS - 1, DUE_NS, DUE_NS + GRACE_NS - 1] {
                    let batch = self.flight.revoke_overdue(&self.ring, now_ns, GRACE_NS);
                    assert!(batch.is_none(), "too early");
                }
                let now_ns = DUE_NS + GRACE_NS;
                let batch = self.flight.revoke_overdue(&self.ring, now_ns, GRACE_NS);
                self.revoked(batch, owns);
            }
            Op::Land => {
                let batch = self.flight.land();
                assert_eq!(batch.is_some(), owns);
                batch.into_iter().for_each(|batch| assert_eq!(self.answer(&batch), 2));
            }
            Op::AnswerElsewhere => {
                let Some(batch) = self.elsewhere.take() else { return };
                let rows = self.answer(&batch);
                self.held += if stands == Stands::RevokedHeld { rows } else { 0 };
            }
        }
        self.stands = stands;
        let in_flight = matches!(stands, Stands::Submitting | Stands::Submitted);
        assert_eq!(self.flight.due_ns(), in_flight.then_some(DUE_NS));
    }

    /// Two rows are there for every batch, unless one of them was lost.
    fn take_off(&mut self) {
        let first = self.ring.claim(0, 2, 0, |_| {}).expect("every row is free");
        self.ring.commit(first);
        let mut freed = 0;
        assert_eq!(self.reader.next(&self.ring, &mut freed).map(|it| it.first), Some(first));
        self.reader.publish(&self.ring);
        // SAFETY: the request was taken.
        let rows = vec![first, unsafe { self.ring.next_of(first) }];
        let batch = Batch { rows, pieces: 1, generation: (), tried: self.tried, formed_ns: 0 };
        self.flight.take_off(batch, DUE_NS);
        self.held = 0;
    }

    fn revoked(&mut self, batch: Option<Batch<()>>, owns: bool) {
        assert_eq!(batch.is_some(), owns);
        if let Some(batch) = batch {
            assert_eq!(batch.tried, self.tried + 1);
            self.elsewhere = Some(batch);
        }
    }

    /// Answers a batch and releases it. Returns its rows.
    fn answer(&self, batch: &Batch<()>) -> u32 {
        for row in &batch.rows {
            // SAFETY: the model says that whoever calls has the batch.
            unsafe { self.ring.answer(*row, |_| {}) };
        }
        // SAFETY: the request is complete.
        unsafe { self.ring.release(batch.rows[0]) }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_flight_has_one_owner_at_a_time(ops in vec(
        prop_oneof![
            Just(Op::TakeOff),
            Just(Op::HandedOver),
            Just(Op::Revoke),
            Just(Op::RevokeOverdue),
            Just(Op::Land),
            Just(Op::AnswerElsewhere),
        ],
        1..60,
    )) {
        let ring = Ring::new(&[2]).unwrap();
        let reader = Reader::new(&ring, 0).unwrap();
        let (flight, stands) = (Flight::new(), Stands::Idle);
        let mut world = World { ring, reader, flight, stands, elsewhere: None, held: 0, tried: 1 };
        ops.into_iter().for_each(|op| world.apply(op));
    }
}
