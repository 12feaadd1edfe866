//! The ring on one thread, in whatever order things are done to it, against a model of queues and
//! sets. A sequence that fails is made as short as it can be, and printed.

#![allow(unsafe_code)]

use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::ring::{Reader, Refused, Ring};
use super::super::waiter::Waiter;

const CASES: u32 = if cfg!(miri) { 10 } else { 1500 };

/// One thing that is done. Numbers choose among what there is, modulo how much there is.
#[derive(Clone, Debug)]
enum Op {
    Claim {
        lane: usize,
        rows: u32,
    },
    Commit(usize),
    Discard(usize),
    Revisit(usize),
    Next(usize),
    Publish(usize),
    /// Takes every waiting request whose number is divisible by this.
    Sweep(usize, u64),
    Answer(usize),
    Wait(usize),
    Abandon(usize),
    Release(usize),
    Hold(usize),
    Unhold(usize),
    Close,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let any = || 0..16_usize;
    let op = prop_oneof![
        20 => (any(), 1..4_u32).prop_map(|(lane, rows)| Op::Claim { lane, rows }),
        16 => any().prop_map(Op::Commit),
        4 => any().prop_map(Op::Discard),
        6 => any().prop_map(Op::Revisit),
        20 => any().prop_map(Op::Next),
        10 => any().prop_map(Op::Publish),
        2 => (any(), 1..4_u64).prop_map(|(lane, by)| Op::Sweep(lane, by)),
        24 => any().prop_map(Op::Answer),
        4 => any().prop_map(Op::Wait),
        4 => any().prop_map(Op::Abandon),
        14 => any().prop_map(Op::Release),
        2 => any().prop_map(Op::Hold),
        3 => any().prop_map(Op::Unhold),
        // Seldom: little can happen after it.
        1 => (0..20_u32).prop_map(|one| if one == 0 { Op::Close } else { Op::Publish(0) }),
    ];
    vec(op, 1..250)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_ring_is_a_queue_of_rows(shifts in vec(0..4_u32, 1..3), ops in ops()) {
        let mut world = World::new(&shifts);
        ops.into_iter().for_each(|op| world.apply(op));
        world.finish();
    }
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Claimed,
    Committed,
    Discarded,
    Taken,
    Complete,
}

#[derive(Clone, Debug)]
struct Request {
    lane: usize,
    rows: Vec<u32>,
    stage: Stage,
    answered: usize,
    waited: bool,
    abandoned: bool,
}

/// A lane of the model.
#[derive(Debug)]
struct Lane {
    first_row: u32,
    capacity: u64,
    /// For each claim, the request that begins there.
    claims: Vec<Option<u64>>,
    /// The next claim to visit, and how far that was said.
    head: usize,
    said: usize,
    /// Requests that were not committed when they were visited.
    holes: Vec<u64>,
    late: VecDeque<u64>,
}

struct World {
    ring: Ring<u64, u64>,
    readers: Vec<Reader>,
    lanes: Vec<Lane>,
    /// Those that hold rows, by number. A request writes its number, an answer the row's.
    requests: BTreeMap<u64, Request>,
    next: u64,
    /// How often a row is held.
    holds: BTreeMap<u32, u32>,
    closed: bool,
}

impl World {
    fn new(shifts: &[u32]) -> World {
        let capacities: Vec<u32> = shifts.iter().map(|shift| 1 << shift).collect();
        let ring = Ring::new(&capacities).unwrap();
        let mut first_row = 0;
        let lanes = capacities.iter().map(|capacity| {
            first_row += capacity;
            Lane {
                first_row: first_row - capacity,
                capacity: u64::from(*capacity),
                claims: Vec::new(),
                head: 0,
                said: 0,
                holes: Vec::new(),
                late: VecDeque::new(),
            }
        });
        World {
            lanes: lanes.collect(),
            readers: (0..capacities.len()).map(|lane| Reader::new(&ring, lane).unwrap()).collect(),
            ring,
            requests: BTreeMap::new(),
            next: 1,
            holds: BTreeMap::new(),
            closed: false,
        }
    }

    fn apply(&mut self, op: Op) {
        use Stage::{Claimed, Committed, Complete, Taken};
        let lane = |lane: usize| lane % self.lanes.len();
        match op {
            Op::Claim { lane: at, rows } => self.claim(lane(at), rows),
            Op::Revisit(at) => self.revisit(lane(at)),
            Op::Next(at) => _ = self.visit(lane(at)),
            Op::Publish(at) => self.publish(lane(at)),
            Op::Sweep(at, by) => self.sweep(lane(at), by),
            Op::Commit(nth) => self.with(nth, &[Claimed], World::commit),
            Op::Discard(nth) => self.with(nth, &[Claimed], World::discard),
            Op::Answer(nth) => self.with(nth, &[Taken], World::answer),
            Op::Wait(nth) => self.with(nth, &[Committed, Taken, Complete], World::wait),
            Op::Abandon(nth) => self.with(nth, &[Committed, Taken, Complete], World::abandon),
            Op::Release(nth) => self.with(nth, &[Complete], World::release),
            Op::Hold(nth) => self.with(nth, &[Taken], World::hold),
            Op::Unhold(nth) => self.unhold(nth),
            Op::Close => {
                self.ring.close();
                self.closed = true;
            }
        }
        self.check();
    }

    /// Does something with one of the requests at these stages, where there are any. Those whose
    /// ticket is gone are the dispatcher's and the answerers' alone.
    fn with(&mut self, nth: usize, stages: &[Stage], act: fn(&mut World, u64)) {
        let at = |request: &Request| {
            let of_ticket = stages.contains(&Stage::Complete);
            stages.contains(&request.stage) && !(of_ticket && request.abandoned)
        };
        let fit = self.requests.iter().filter(|(_, request)| at(request));
        let fit: Vec<u64> = fit.map(|(id, _)| *id).collect();
        if !fit.is_empty() {
            act(self, fit[nth % fit.len()]);
        }
    }

    fn is_taken(&self, row: u32) -> bool {
        let held = self.holds.get(&row).is_some_and(|holds| *holds > 0);
        held || self.requests.values().any(|request| request.rows.contains(&row))
    }

    /// The claims from the tail on up to the last of so many free rows. None goes past a taken row
    /// that the dispatcher has not visited.
    fn room(&self, lane: usize, rows: u32) -> Option<Vec<Option<u32>>> {
        let Lane { first_row, capacity, ref claims, said, .. } = self.lanes[lane];
        let (tail, unvisited) = (claims.len() as u64, said as u64 + capacity);
        let mut found = Vec::new();
        for claim in tail..tail + capacity {
            let row = first_row + (claim % capacity) as u32;
            match self.is_taken(row) {
                true if claim >= unvisited => return None,
                true => found.push(None),
                false => found.push(Some(row)),
            }
            if found.iter().flatten().count() == rows as usize {
                return Some(found);
            }
        }
        None
    }

    fn claim(&mut self, lane: usize, rows: u32) {
        let rows = rows.min(self.lanes[lane].capacity as u32);
        let (id, room) = (self.next, self.room(lane, rows));
        let claimed = self.ring.claim(lane, rows, 0, |request| *request = id);
        let Some(room) = room.filter(|_| !self.closed) else {
            let why = if self.closed { Refused::Closed } else { Refused::Full };
            assert_eq!(claimed, Err(why));
            return;
        };
        let expected: Vec<u32> = room.iter().copied().flatten().collect();
        assert_eq!(claimed, Ok(expected[0]));
        let mut row = expected[0];
        for other in &expected {
            // SAFETY: the request was claimed, and is not committed.
            assert_eq!((row, unsafe { self.ring.first_of(row) }), (*other, (expected[0], rows)));
            // SAFETY: as above.
            row = unsafe { self.ring.next_of(row) };
        }
        assert_eq!(row, expected[0]);
        let begins = |row: &Option<u32>| (*row == Some(expected[0])).then_some(id);
        self.lanes[lane].claims.extend(room.iter().map(begins));
        let (stage, answered, waited, abandoned) = (Stage::Claimed, 0, false, false);
        let request = Request { lane, rows: expected, stage, answered, waited, abandoned };
        self.requests.insert(id, request);
        self.next += 1;
    }

    fn first(&self, id: u64) -> u32 {
        self.requests[&id].rows[0]
    }

    fn set(&mut self, id: u64, stage: Stage) {
        self.requests.get_mut(&id).unwrap().stage = stage;
    }

    fn commit(&mut self, id: u64) {
        self.ring.commit(self.first(id));
        self.set(id, Stage::Committed);
    }

    fn discard(&mut self, id: u64) {
        self.ring.discard(self.first(id));
        self.set(id, Stage::Discarded);
    }

    /// Frees a request's rows in the model, and says how many they are.
    fn free(&mut self, id: u64) -> u32 {
        self.requests.remove(&id).unwrap().rows.len() as u32
    }

    fn revisit(&mut self, lane: usize) {
        let freed = self.readers[lane].revisit(&self.ring);
        let mut expected = 0;
        for id in std::mem::take(&mut self.lanes[lane].holes) {
            match self.requests[&id].stage {
                Stage::Claimed => self.lanes[lane].holes.push(id),
                Stage::Discarded => expected += self.free(id),
                _ => {
                    self.set(id, Stage::Taken);
                    self.lanes[lane].late.push_back(id);
                }
            }
        }
        assert_eq!(freed, expected, "rows freed by coming back");
    }

    /// Takes the next request, if there is one.
    fn visit(&mut self, lane: usize) -> bool {
        let mut freed = 0;
        let visited = self.readers[lane].next(&self.ring, &mut freed);
        let (next, expected) = self.next_of(lane);
        assert_eq!(freed, expected, "rows freed in passing");
        assert_eq!(visited.map(|visited| visited.first), next.map(|id| self.first(id)));
        if let (Some(visited), Some(id)) = (visited, next) {
            // What was late was taken before: its ticket may have gone since.
            assert!(!visited.abandoned || self.requests[&id].abandoned);
            // SAFETY: the request was taken, and is not answered.
            assert_eq!(*unsafe { self.ring.request(visited.first) }, id);
        }
        next.is_some()
    }

    /// The request that is next in the model, and the rows freed on the way there.
    fn next_of(&mut self, lane: usize) -> (Option<u64>, u32) {
        if let Some(id) = self.lanes[lane].late.pop_front() {
            return (Some(id), 0);
        }
        let mut freed = 0;
        while self.lanes[lane].head < self.lanes[lane].claims.len() {
            let id = self.lanes[lane].claims[self.lanes[lane].head];
            self.lanes[lane].head += 1;
            let Some(request) = id.and_then(|id| self.requests.get(&id)) else { continue };
            let id = id.unwrap();
            match request.stage {
                Stage::Claimed => self.lanes[lane].holes.push(id),
                Stage::Discarded => freed += self.free(id),
                Stage::Committed => {
                    self.set(id, Stage::Taken);
                    return (Some(id), freed);
                }
                // It was swept up.
                Stage::Taken | Stage::Complete => {}
            }
        }
        (None, freed)
    }

    fn publish(&mut self, lane: usize) {
        self.readers[lane].publish(&self.ring);
        let lane = &mut self.lanes[lane];
        lane.said = lane.head;
    }

    /// What waits in a lane, in order: what is late, what was a hole, what lies ahead.
    fn waiting(&self, lane: usize) -> [Vec<u64>; 3] {
        let Lane { ref claims, head, ref holes, ref late, .. } = self.lanes[lane];
        let waits = |id: &u64| {
            self.requests.get(id).is_some_and(|request| request.stage == Stage::Committed)
        };
        let holes = holes.iter().copied().filter(waits).collect();
        let ahead = claims[head..].iter().flatten().copied().filter(waits).collect();
        [late.iter().copied().collect(), holes, ahead]
    }

    fn sweep(&mut self, lane: usize, by: u64) {
        let mut swept = Vec::new();
        let judge = |id: &u64| (id.is_multiple_of(by), *id);
        let each = |visited: super::super::ring::Visited| swept.push(visited.first);
        let least = self.readers[lane].sweep(&self.ring, judge, each);
        let [late, _, ahead] = self.waiting(lane);
        let (wanted, left): (Vec<u64>, Vec<u64>) =
            late.into_iter().chain(ahead).partition(|id| id.is_multiple_of(by));
        assert_eq!(swept, wanted.iter().map(|id| self.first(*id)).collect::<Vec<_>>());
        assert_eq!(least, left.into_iter().min().unwrap_or(u64::MAX));
        self.lanes[lane].late.retain(|id| !id.is_multiple_of(by));
        wanted.into_iter().for_each(|id| self.set(id, Stage::Taken));
    }

    /// Answers the next row of a request that was handed out.
    fn answer(&mut self, id: u64) {
        let request = self.requests.get_mut(&id).unwrap();
        if self.lanes[request.lane].late.contains(&id) {
            return;
        }
        let row = request.rows[request.answered];
        request.answered += 1;
        let is_last = request.answered == request.rows.len();
        let (waited, abandoned) = (request.waited, request.abandoned);
        // SAFETY: the row was taken, and is answered this once.
        let answered = unsafe { self.ring.answer(row, |answer| *answer = u64::from(row)) };
        assert_eq!(answered.abandoned, abandoned);
        assert_eq!(answered.waiter.is_some(), is_last && waited && !abandoned);
        let mut freed = 0;
        if is_last {
            self.set(id, Stage::Complete);
            freed = if abandoned { self.free(id) } else { 0 };
        }
        assert_eq!(answered.freed, freed, "rows freed by an answer");
    }

    fn wait(&mut self, id: u64) {
        let waiter = Waiter::Task(Waker::noop().clone());
        // SAFETY: the request's ticket is there.
        let is_complete = unsafe { self.ring.wait(self.first(id), waiter) };
        let request = self.requests.get_mut(&id).unwrap();
        request.waited = true;
        assert_eq!(is_complete, request.stage == Stage::Complete);
    }

    fn abandon(&mut self, id: u64) {
        // SAFETY: the request's ticket is there, and is not after this.
        let freed = unsafe { self.ring.abandon(self.first(id)) };
        self.requests.get_mut(&id).unwrap().abandoned = true;
        let is_complete = self.requests[&id].stage == Stage::Complete;
        let expected = if is_complete { self.free(id) } else { 0 };
        assert_eq!(freed, expected, "rows freed by a ticket");
    }

    fn release(&mut self, id: u64) {
        for row in &self.requests[&id].rows {
            // SAFETY: the request is complete, and its ticket is there.
            assert_eq!(*unsafe { self.ring.answer_of(*row) }, u64::from(*row));
        }
        // SAFETY: as above, and it is not after this.
        let freed = unsafe { self.ring.release(self.first(id)) };
        assert_eq!(freed, self.free(id), "rows freed by a reply");
    }

    fn hold(&mut self, id: u64) {
        let row = self.first(id);
        self.ring.hold(row);
        *self.holds.entry(row).or_default() += 1;
    }

    fn unhold(&mut self, nth: usize) {
        let held: Vec<u32> = self.holds.keys().copied().collect();
        let Some(row) = held.get(nth % held.len().max(1)).copied() else { return };
        let holds = self.holds.remove(&row).unwrap() - 1;
        if holds > 0 {
            self.holds.insert(row, holds);
        }
        let freed = self.ring.unhold(row);
        assert_eq!(freed, u32::from(!self.is_taken(row)), "rows freed by reading no more");
    }

    /// What can be seen at any time.
    fn check(&self) {
        for (lane, reader) in self.readers.iter().enumerate() {
            let Lane { ref claims, said, ref late, .. } = self.lanes[lane];
            assert_eq!(self.ring.waiting(lane), (claims.len() - said) as u64);
            assert_eq!(reader.late(), late.len());
            let expected = self.waiting(lane).concat();
            let expected: Vec<u32> = expected.into_iter().map(|id| self.first(id)).collect();
            assert_eq!(reader.waiting(&self.ring).collect::<Vec<_>>(), expected, "what waits");
        }
        for (id, request) in &self.requests {
            let is_complete = request.stage == Stage::Complete;
            assert_eq!(self.ring.is_complete(self.first(*id)), is_complete);
        }
    }

    /// Brings everything to its end, after which every row can be claimed.
    fn finish(&mut self) {
        use Stage::{Claimed, Complete, Taken};
        while !self.requests.is_empty() {
            self.with(0, &[Claimed], World::commit);
            for lane in 0..self.lanes.len() {
                self.revisit(lane);
                while self.visit(lane) {}
                self.publish(lane);
            }
            self.with(0, &[Taken], World::answer);
            self.with(0, &[Complete], World::release);
        }
        while !self.holds.is_empty() {
            self.unhold(0);
        }
        for lane in 0..self.lanes.len() {
            while self.visit(lane) {}
            self.publish(lane);
            (0..=self.lanes[lane].capacity).for_each(|_| self.claim(lane, 1));
        }
    }
}
