//! A schedule kept on a pipeline, by one thread that sends and takes answers in turn.
//!
//! It spins between requests, so that a request is sent when it is due and an answer is seen when
//! it is there; on two cores it has one of them, and the worker the other. Having spun for long, it
//! yields once: the worker may wait for this very core. Where nothing is due for a while and
//! nothing is under way it sleeps, and spins from shortly before the next request.

use std::collections::VecDeque;
use std::time::Instant;

use super::super::error::BenchError;
use super::super::load::{Kept, Pacer, Schedule, Service};
use super::traffic::Traffic;
use crate::pipeline::{Pipeline, SubmitError, Ticket};

/// Keeps the schedule, from the traffic's request `*next` on.
pub(super) fn keep(
    schedule: &Schedule,
    pipeline: &Pipeline,
    traffic: &mut dyn Traffic,
    next: &mut u64,
) -> Result<Kept, BenchError> {
    let mut live = Live {
        pipeline,
        traffic,
        first: *next,
        next,
        waiting: VecDeque::with_capacity(1024),
        start: Instant::now(),
        pacer: Pacer::new(),
    };
    schedule.keep(&mut live)
}

struct Live<'a> {
    pipeline: &'a Pipeline,
    traffic: &'a mut dyn Traffic,
    /// The traffic's number of the schedule's request 0.
    first: u64,
    next: &'a mut u64,
    waiting: VecDeque<(u64, Ticket)>,
    start: Instant,
    pacer: Pacer,
}

impl Service for Live<'_> {
    type Error = BenchError;

    fn now_ns(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn offer(&mut self, number: u64) -> Result<bool, BenchError> {
        match self.traffic.send(self.pipeline, self.first + number) {
            Ok(ticket) => {
                self.waiting.push_back((number, ticket));
                *self.next = self.first + number + 1;
                Ok(true)
            }
            Err(SubmitError::Full) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn collect(&mut self) -> Result<Option<u64>, BenchError> {
        if !self.waiting.front().is_some_and(|(_, ticket)| ticket.is_ready()) {
            return Ok(None);
        }
        self.pacer.saw();
        let at_ns = self.now_ns();
        let Some((number, ticket)) = self.waiting.pop_front() else { return Ok(None) };
        self.traffic.check(self.first + number, &ticket.wait()?)?;
        Ok(Some(at_ns))
    }

    fn rest(&mut self, ns: u64) {
        self.pacer.rest(ns, !self.waiting.is_empty());
    }
}
