//! Producers that keep a window of tickets: as many rows a second as the pipeline takes.

use std::collections::VecDeque;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use super::super::error::BenchError;
use super::traffic::Traffic;
use crate::pipeline::{Pipeline, SubmitError, Ticket};

/// Rows that a producer has waiting for their answers at most.
pub(super) const WINDOW_ROWS: usize = 256;
/// Requests between two looks at the clock.
const LOOK_EVERY: u64 = 64;

/// A producer and how far it has come.
#[derive(Debug)]
pub(super) struct Producer<T> {
    traffic: T,
    next: u64,
    waiting: VecDeque<(u64, Ticket)>,
}

/// When a producer has done enough.
#[derive(Clone, Copy, Debug)]
enum Enough {
    /// At the first look at the clock past this time from the start.
    After(Duration),
    /// After so many requests.
    Of(u64),
}

impl<T: Traffic> Producer<T> {
    pub(super) fn new(traffic: T) -> Producer<T> {
        let waiting = VecDeque::with_capacity(WINDOW_ROWS);
        Producer { traffic, next: 0, waiting }
    }

    /// Hands requests over and takes answers until it is enough and all are answered. Returns the
    /// requests.
    fn work(&mut self, pipeline: &Pipeline, enough: Enough) -> Result<u64, BenchError> {
        let (start, first) = (Instant::now(), self.next);
        let window = WINDOW_ROWS / self.traffic.rows();
        let mut is_enough = false;
        while !is_enough {
            match self.traffic.send(pipeline, self.next) {
                Ok(ticket) => {
                    self.waiting.push_back((self.next, ticket));
                    self.next += 1;
                    let sent = self.next - first;
                    is_enough = match enough {
                        Enough::After(time) => {
                            sent.is_multiple_of(LOOK_EVERY) && start.elapsed() >= time
                        }
                        Enough::Of(requests) => sent >= requests,
                    };
                    if self.waiting.len() < window {
                        continue;
                    }
                }
                Err(SubmitError::Full) => {}
                Err(error) => return Err(error.into()),
            }
            self.take_oldest()?;
        }
        while !self.waiting.is_empty() {
            self.take_oldest()?;
        }
        Ok(self.next - first)
    }

    fn take_oldest(&mut self) -> Result<(), BenchError> {
        match self.waiting.pop_front() {
            Some((number, ticket)) => self.traffic.check(number, &ticket.wait()?),
            // The others' rows fill the ring.
            None => {
                thread::yield_now();
                Ok(())
            }
        }
    }
}

/// Rows a second over some time, after a warm-up of a tenth of it; and the requests they took.
pub(super) fn rate<T: Traffic>(
    pipeline: &Pipeline,
    producers: &mut [Producer<T>],
    time: Duration,
) -> Result<(f64, u64), BenchError> {
    let rows = producers.first().map_or(1, |producer| producer.traffic.rows());
    round(pipeline, producers, Enough::After(time / 10))?;
    let (requests, took) = round(pipeline, producers, Enough::After(time))?;
    Ok(((requests * rows as u64) as f64 / took.as_secs_f64(), requests))
}

/// Hands so many requests over, shared evenly by the producers.
pub(super) fn requests<T: Traffic>(
    pipeline: &Pipeline,
    producers: &mut [Producer<T>],
    requests: u64,
) -> Result<u64, BenchError> {
    let each = requests.div_ceil(producers.len().max(1) as u64);
    Ok(round(pipeline, producers, Enough::Of(each))?.0)
}

/// Lets all producers work at once, each on a thread and a handle of its own. Returns their
/// requests and the time from the first one's start to the last one's end.
fn round<T: Traffic>(
    pipeline: &Pipeline,
    producers: &mut [Producer<T>],
    enough: Enough,
) -> Result<(u64, Duration), BenchError> {
    let start = Barrier::new(producers.len() + 1);
    let handles: Vec<_> = producers.iter().map(|_| pipeline.clone()).collect();
    thread::scope(|scope| {
        let started: Vec<_> = producers
            .iter_mut()
            .zip(&handles)
            .map(|(producer, handle)| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    let begun = Instant::now();
                    let requests = producer.work(handle, enough);
                    requests.map(|requests| (requests, begun, Instant::now()))
                })
            })
            .collect();
        start.wait();
        let (mut requests, mut first, mut last) = (0, None::<Instant>, None::<Instant>);
        for thread in started {
            // A producer's panic is a bug in this file, and ends the run as such.
            let outcome = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let (done, begun, ended) = outcome?;
            requests += done;
            first = Some(first.map_or(begun, |first| first.min(begun)));
            last = last.max(Some(ended));
        }
        let took = last.zip(first).map_or(Duration::ZERO, |(last, first)| last - first);
        Ok((requests, took))
    })
}
