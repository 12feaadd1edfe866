//! One caller, who does everything a caller may do, and some things none should.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use fusewire::pipeline::{Pipeline, Reply, ReplyError, SubmitError, SubmitOptions, Ticket};

use crate::common::Random;

/// What came to pass.
#[derive(Debug, Default)]
pub struct Tally {
    /// Rows taken.
    pub submitted: u64,
    pub completed: u64,
    pub expired: u64,
    pub cancelled: u64,
    pub full: u64,
    pub leaked: u64,
    pub panicked: u64,
    pub retried: u64,
}

impl Tally {
    fn numbers(&mut self) -> [&mut u64; 8] {
        [
            &mut self.submitted,
            &mut self.completed,
            &mut self.expired,
            &mut self.cancelled,
            &mut self.full,
            &mut self.leaked,
            &mut self.panicked,
            &mut self.retried,
        ]
    }

    pub fn add(&mut self, other: &Tally) {
        let mut other = Tally { ..*other };
        for (sum, number) in self.numbers().into_iter().zip(other.numbers()) {
            *sum += *number;
        }
    }

    pub fn all_happened(&mut self) -> bool {
        self.numbers().into_iter().all(|number| *number > 0)
    }
}

pub struct Caller<'a> {
    pipeline: Pipeline,
    random: Random,
    leaks: bool,
    ends: &'a AtomicBool,
    next_id: u32,
    tally: Tally,
    waiting: Vec<(Ticket, Vec<f32>)>,
}

impl<'a> Caller<'a> {
    pub fn new(pipeline: Pipeline, seed: u64, leaks: bool, ends: &'a AtomicBool) -> Caller<'a> {
        let (random, tally, waiting) = (Random(seed), Tally::default(), Vec::new());
        Caller { pipeline, random, leaks, ends, next_id: 1, tally, waiting }
    }

    pub fn run(mut self) -> Tally {
        while !self.ends.load(Ordering::Relaxed) {
            match self.random.below(100) {
                0..=54 => self.submit(),
                55..=64 => self.submit_many(),
                65..=74 => self.reserve(),
                75..=79 => self.cancel(),
                80 => self.panic(),
                81..=84 => self.poll(),
                _ => self.read(),
            }
            if self.waiting.len() > 48 {
                self.read();
            }
        }
        while !self.waiting.is_empty() {
            self.read();
        }
        self.tally
    }

    /// Numbers that an f32 holds exactly.
    fn ids(&mut self, rows: usize) -> Vec<f32> {
        let first = self.next_id;
        self.next_id = (first + rows as u32) % (1 << 23);
        (first..).take(rows).map(|id| id as f32).collect()
    }

    fn options(&mut self) -> SubmitOptions {
        let bulk = self.random.below(4) == 0;
        let mut options = if bulk { SubmitOptions::bulk() } else { SubmitOptions::default() };
        if self.random.below(8) == 0 {
            let time = Duration::from_micros(self.random.below(400) as u64);
            options.deadline = Some(Instant::now() + time);
        }
        options
    }

    fn keep(&mut self, taken: Result<Ticket, SubmitError>, ids: Vec<f32>) {
        match taken {
            Ok(ticket) => {
                self.tally.submitted += ids.len() as u64;
                self.waiting.push((ticket, ids));
            }
            Err(SubmitError::Full | SubmitError::TooManyRows { .. }) => self.tally.full += 1,
            Err(SubmitError::DeadlinePassed) => self.tally.expired += 1,
            Err(error) => panic!("{error}"),
        }
    }

    fn submit(&mut self) {
        let (ids, options) = (self.ids(1), self.options());
        let row = [ids[0], 1.0];
        let taken = match self.random.below(3) {
            // Only those wait for room who hold none of it themselves.
            0 if self.waiting.is_empty() => self.pipeline.submit_blocking(&row, &options),
            _ => self.pipeline.submit_with(&row, &options),
        };
        self.keep(taken, ids);
    }

    fn submit_many(&mut self) {
        let rows = 1 + self.random.below(40);
        let (ids, options) = (self.ids(rows), self.options());
        let values: Vec<f32> = ids.iter().flat_map(|id| [*id, 1.0]).collect();
        let taken = self.pipeline.submit_many_with(&values, &options);
        self.keep(taken, ids);
    }

    fn reserve(&mut self) {
        let ids = self.ids(1);
        let Ok(mut guard) = self.pipeline.reserve::<f32>() else {
            self.tally.full += 1;
            return;
        };
        guard.copy_from_slice(&[ids[0], 1.0]);
        match self.random.below(4000) {
            // Two at most from each caller: what leaks is gone for good.
            0 if self.leaks && self.tally.leaked < 2 => {
                self.tally.leaked += 1;
                std::mem::forget(guard);
            }
            1..=400 => drop(guard),
            _ => {
                let taken = guard.commit();
                self.keep(taken, ids);
            }
        }
    }

    fn cancel(&mut self) {
        if !self.waiting.is_empty() {
            let index = self.random.below(self.waiting.len());
            drop(self.waiting.swap_remove(index));
            self.tally.cancelled += 1;
        }
    }

    /// Panics with a reserved row and a ticket in hand.
    fn panic(&mut self) {
        let pipeline = &self.pipeline;
        let ticket = pipeline.submit(&[1.0, 1.0]);
        self.tally.submitted += u64::from(ticket.is_ok());
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _in_hand = (pipeline.reserve::<f32>(), ticket);
            // Unwinds without a message on the screen.
            std::panic::resume_unwind(Box::new("as the soak wants it"));
        }));
        self.tally.panicked += u64::from(panicked.is_err());
    }

    /// Polls a future once, and then goes another way.
    fn poll(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        if let Some((mut ticket, ids)) = self.waiting.pop() {
            match std::pin::Pin::new(&mut ticket).poll(&mut context) {
                std::task::Poll::Pending => self.waiting.push((ticket, ids)),
                std::task::Poll::Ready(outcome) => self.check(outcome, &ids),
            }
        }
    }

    fn read(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let index = self.random.below(self.waiting.len());
        let (ticket, ids) = self.waiting.swap_remove(index);
        let outcome = match self.random.below(3) {
            0 => match ticket.wait_timeout(Duration::from_micros(50)) {
                Ok(outcome) => outcome,
                Err(ticket) => return self.waiting.push((ticket, ids)),
            },
            _ => ticket.wait(),
        };
        self.check(outcome, &ids);
    }

    fn check(&mut self, outcome: Result<Reply, ReplyError>, ids: &[f32]) {
        match outcome {
            Ok(reply) => {
                assert_eq!(reply.len(), ids.len());
                let version = reply.first().version();
                for (row, id) in reply.rows().zip(ids) {
                    assert_eq!(row.scores(), [*id, version as f32], "a row's own answer");
                    assert_eq!(row.version(), version, "one version in a request");
                }
                self.tally.completed += ids.len() as u64;
            }
            Err(ReplyError::Expired) => self.tally.expired += 1,
            Err(error) => panic!("{error}"),
        }
    }
}
