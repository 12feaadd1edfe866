//! A closed loop: the next request starts once the one before is answered, and not before its time.

use std::time::{Duration, Instant};

use super::super::error::BenchError;
use super::super::images::OwnedRows;
use super::super::load::{Durations, Pacer};
use super::job::Job;
use crate::Error;
use crate::pipeline::Pipeline;

/// Who scores a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bench) enum Way {
    /// A pipeline's worker, while the caller waits.
    Pipeline,
    /// The caller's own thread.
    Caller,
}

/// A loop to run.
#[derive(Clone, Copy, Debug)]
pub(in crate::bench) struct Closed {
    /// Who scores.
    pub(in crate::bench) way: Way,
    /// Rows of a request.
    pub(in crate::bench) batch: usize,
    /// From the start of a request to that of the next one, at least.
    pub(in crate::bench) every: Duration,
    /// Requests that are not counted: so many, or those of so long, whichever is less.
    pub(in crate::bench) warm_up: (u64, Duration),
    /// How long requests are counted; one at least is.
    pub(in crate::bench) time: Duration,
}

/// What requests took, by the papers' two clocks.
#[derive(Clone, Debug, Default)]
pub(in crate::bench) struct Answered {
    /// From before the rows were generated until the scores had been looked at.
    pub(in crate::bench) generated: Durations,
    /// From the call with the rows until the scores were there.
    pub(in crate::bench) called: Durations,
}

impl Answered {
    /// Adds what others took.
    pub(in crate::bench) fn merge(&mut self, other: &Answered) {
        self.generated.merge(&other.generated);
        self.called.merge(&other.called);
    }
}

impl Job<'_> {
    /// Runs the loop.
    pub(in crate::bench) fn closed_loop(&self, closed: &Closed) -> Result<Answered, BenchError> {
        match closed.way {
            Way::Pipeline => {
                Ok(self.with_pipeline(|pipeline| self.requests(closed, Some(pipeline)))?.0)
            }
            Way::Caller => self.requests(closed, None),
        }
    }

    fn requests(
        &self,
        closed: &Closed,
        pipeline: Option<&Pipeline>,
    ) -> Result<Answered, BenchError> {
        let mut answered = Answered::default();
        let mut request = Request::new(self, closed.batch);
        let mut pacer = Pacer::new();
        let (requests, longest) = closed.warm_up;
        let warming = Instant::now();
        for _ in 0..requests {
            request.run(pipeline)?;
            if warming.elapsed() >= longest {
                break;
            }
        }
        let begun = Instant::now();
        while answered.called.count() == 0 || begun.elapsed() < closed.time {
            let generated = Instant::now();
            let called = request.run(pipeline)?;
            answered.generated.add(generated.elapsed());
            answered.called.add(called);
            wait_until(generated + closed.every, &mut pacer);
        }
        Ok(answered)
    }
}

fn wait_until(moment: Instant, pacer: &mut Pacer) {
    loop {
        let left = moment.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        if !pacer.sleep_within(u64::try_from(left.as_nanos()).unwrap_or(u64::MAX)) {
            std::hint::spin_loop();
        }
    }
}

/// Requests of so many rows, each of the next ones.
struct Request<'a> {
    job: &'a Job<'a>,
    batch: usize,
    /// The number of the next request's first row.
    next: u64,
    rows: OwnedRows,
    scores: Vec<f32>,
}

impl<'a> Request<'a> {
    fn new(job: &'a Job<'a>, batch: usize) -> Request<'a> {
        let scores = vec![0.0; batch * job.executable.plan().classes()];
        Request { job, batch, next: 0, rows: job.workload.empty_rows(), scores }
    }

    /// Generates the rows, has them scored, looks at every score, and returns what the call took.
    fn run(&mut self, pipeline: Option<&Pipeline>) -> Result<Duration, BenchError> {
        let first = self.next;
        self.next += self.batch as u64;
        self.job.workload.copy_rows(first, self.batch, &mut self.rows);
        let begun = Instant::now();
        let Some(pipeline) = pipeline else {
            let run = self.job.executable.run(self.rows.as_rows(), &mut self.scores);
            let took = begun.elapsed();
            run.map_err(Error::from)?;
            let device = || self.job.executable.device().info().name.clone();
            let scores = self.scores.chunks_exact(self.job.executable.plan().classes());
            self.check(first, scores, device)?;
            return Ok(took);
        };
        let ticket = match self.batch {
            1 => pipeline.submit(self.rows.as_rows())?,
            _ => pipeline.submit_many(self.rows.as_rows())?,
        };
        let reply = ticket.wait()?;
        let took = begun.elapsed();
        let device = || reply.first().device();
        self.check(first, reply.rows().map(|answer| answer.scores()), device)?;
        Ok(took)
    }

    fn check<'s>(
        &self,
        first: u64,
        rows: impl Iterator<Item = &'s [f32]>,
        device: impl Fn() -> String,
    ) -> Result<(), BenchError> {
        let tolerance = self.job.tolerance();
        for (number, scores) in (first..).zip(rows) {
            if !self.job.workload.is_right(number, scores, tolerance) {
                return Err(self.job.workload.wrong(device(), number, scores));
            }
        }
        Ok(())
    }
}
