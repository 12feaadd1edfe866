//! The thread that sends requests when they are due and takes their answers.
//!
//! It looks for answers while it waits, so that each is seen when it is there. On two cores it has
//! one of them and a worker the other; having looked for long in vain it yields, because the worker
//! may wait for this very core. Where nothing is under way it sleeps until shortly before the next
//! request is due.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::super::error::BenchError;
use super::super::images::OwnedRows;
use super::super::load::{Pacer, Service};
use super::sink::Sink;
use super::workload::Workload;
use crate::pipeline::{Pipeline, Prediction, Reply, SubmitError, Ticket};

/// Where nothing is due for so long, results that wait for others are written.
const QUIET_NS: u64 = 20_000_000;

/// Where the time of some rows went, from the call that sent each to its answer, as means.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::bench) struct Stages {
    pub(in crate::bench) rows: u64,
    pub(in crate::bench) queue: Duration,
    pub(in crate::bench) input: Duration,
    pub(in crate::bench) compute: Duration,
    pub(in crate::bench) output: Duration,
    /// From the end of the output until the answer was seen.
    pub(in crate::bench) reply: Duration,
}

impl Stages {
    /// The stages' names, in order.
    pub(in crate::bench) const NAMES: [&'static str; 5] =
        ["queue", "input", "compute", "output", "reply"];

    /// The mean time of each stage, in microseconds.
    pub(in crate::bench) fn means_us(&self) -> [f64; 5] {
        [self.queue, self.input, self.compute, self.output, self.reply]
            .map(|time| time.as_secs_f64() * 1e6 / self.rows.max(1) as f64)
    }

    fn add(&mut self, answer: &Prediction<'_>, took: Duration) {
        let times = answer.times();
        self.rows += 1;
        self.queue += times.queue;
        self.input += times.input;
        self.compute += times.compute;
        self.output += times.output;
        self.reply += took.saturating_sub(times.total());
    }

    /// Adds those of other rows.
    pub(in crate::bench) fn merge(&mut self, other: &Stages) {
        self.rows += other.rows;
        self.queue += other.queue;
        self.input += other.input;
        self.compute += other.compute;
        self.output += other.output;
        self.reply += other.reply;
    }
}

/// A source on a pipeline.
pub(super) struct Source<'a> {
    pipeline: &'a Pipeline,
    workload: &'a Workload,
    /// Rows of a request.
    rows: usize,
    /// For requests that take the last rows and the first.
    room: OwnedRows,
    tolerance: f64,
    sink: &'a mut Sink,
    pub(super) stages: Stages,
    start: Instant,
    /// Requests without an answer: number, when it was sent, and its ticket.
    waiting: VecDeque<(u64, u64, Ticket)>,
    pacer: Pacer,
}

impl<'a> Source<'a> {
    pub(super) fn new(
        pipeline: &'a Pipeline,
        (workload, rows): (&'a Workload, usize),
        tolerance: f64,
        sink: &'a mut Sink,
    ) -> Source<'a> {
        Source {
            pipeline,
            workload,
            rows,
            room: workload.empty_rows(),
            tolerance,
            sink,
            stages: Stages::default(),
            start: Instant::now(),
            waiting: VecDeque::with_capacity(1024),
            pacer: Pacer::new(),
        }
    }

    /// The number of a request's first row.
    fn first_row(&self, request: u64) -> u64 {
        request * self.rows as u64
    }

    fn take(&mut self, request: u64, took: Duration, reply: &Reply) -> Result<(), BenchError> {
        for (number, answer) in (self.first_row(request)..).zip(reply.rows()) {
            if !self.workload.is_right(number, answer.scores(), self.tolerance) {
                return Err(self.workload.wrong(answer.device(), number, answer.scores()));
            }
            self.stages.add(&answer, took);
            self.sink.push(number, answer.class(), took.as_secs_f32() * 1e6);
        }
        Ok(())
    }
}

impl Service for Source<'_> {
    type Error = BenchError;

    fn now_ns(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn offer(&mut self, number: u64) -> Result<bool, BenchError> {
        let sent_ns = self.now_ns();
        let first = self.first_row(number);
        let submitted = match self.rows {
            1 => self.pipeline.submit(self.workload.row(first)),
            rows => self.pipeline.submit_many(self.workload.rows(first, rows, &mut self.room)),
        };
        match submitted {
            Ok(ticket) => {
                self.waiting.push_back((number, sent_ns, ticket));
                Ok(true)
            }
            Err(SubmitError::Full) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn collect(&mut self) -> Result<Option<u64>, BenchError> {
        if !self.waiting.front().is_some_and(|(_, _, ticket)| ticket.is_ready()) {
            return Ok(None);
        }
        self.pacer.saw();
        let at_ns = self.now_ns();
        let Some((number, sent_ns, ticket)) = self.waiting.pop_front() else { return Ok(None) };
        let took = Duration::from_nanos(at_ns.saturating_sub(sent_ns));
        self.take(number, took, &ticket.wait()?)?;
        Ok(Some(at_ns))
    }

    fn rest(&mut self, ns: u64) {
        if self.waiting.is_empty() && ns > QUIET_NS {
            self.sink.flush();
        }
        self.pacer.rest(ns, !self.waiting.is_empty());
    }
}
