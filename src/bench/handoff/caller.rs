//! One caller, who waits for each answer before the next request: of a pipeline, or of the
//! executable itself.

use std::time::{Duration, Instant};

use super::super::error::BenchError;
use super::super::load::Durations;
use super::known::Known;
use super::traffic::Traffic;
use crate::backend::Executable;
use crate::pipeline::Pipeline;

/// Times from submission until the caller has the answer; checking it and giving the row back is
/// outside the clock. A tenth of the time goes to a warm-up.
pub(super) fn round_trips(
    pipeline: &Pipeline,
    traffic: &mut dyn Traffic,
    time: Duration,
) -> Result<Durations, BenchError> {
    let mut number = 0;
    let mut trip = || {
        let begun = Instant::now();
        let reply = traffic.send(pipeline, number)?.wait()?;
        let took = begun.elapsed();
        traffic.check(number, &reply)?;
        number += 1;
        Ok(took)
    };
    repeat(time / 10, &mut trip)?;
    repeat(time, &mut trip)
}

/// Times of direct calls, each of a batch, and the rows a second of the same calls. A tenth of the
/// time goes to a warm-up.
pub(super) fn direct_calls(
    executable: &dyn Executable,
    known: &Known,
    batch: usize,
    time: Duration,
) -> Result<(Durations, f64), BenchError> {
    let mut scores = vec![0.0; batch * executable.plan().classes()];
    let (mut first, mut busy) = (0, Duration::ZERO);
    let mut call = || {
        let took = known.run(executable, first, &mut scores)?;
        first += batch;
        busy += took;
        Ok(took)
    };
    let warm_up = repeat(time / 10, &mut call)?;
    let calls = repeat(time, &mut call)?;
    let rows = (warm_up.count() + calls.count()) * batch as u64;
    Ok((calls, rows as f64 / busy.as_secs_f64()))
}

/// Does something that takes a time again and again, for so long and at least once.
fn repeat(
    time: Duration,
    mut once: impl FnMut() -> Result<Duration, BenchError>,
) -> Result<Durations, BenchError> {
    let start = Instant::now();
    let mut times = Durations::default();
    loop {
        times.add(once()?);
        if start.elapsed() >= time {
            return Ok(times);
        }
    }
}
