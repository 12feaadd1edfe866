//! Percentiles of calls that take turns.

use std::time::Instant;

use anyhow::Result;

/// Rows timed for every batch size, and the fewest calls.
const ROWS_TIMED: usize = 200_000;
const CALLS_MIN: usize = 60;
const CALLS_MAX: usize = 20_000;
/// Calls in a row before the next peer's turn, so that its code and weights are in cache again; the
/// first of them are not timed.
const TURN: usize = 12;
const UNTIMED: usize = 2;

/// What one peer's calls took.
pub struct Times {
    /// The shortest: what the machine can do when nothing else runs on it.
    pub best_us: f64,
    pub p50_us: f64,
    pub p99_us: f64,
}

/// Times `calls` in turns; each is handed the number of the batch to run, and all of them end on
/// the same one.
pub fn interleaved<const N: usize>(
    calls: &mut [&mut dyn FnMut(usize) -> Result<()>; N],
    batch: usize,
) -> Result<[Times; N]> {
    let count = (ROWS_TIMED / batch).clamp(CALLS_MIN, CALLS_MAX);
    let mut seconds: [Vec<f64>; N] = std::array::from_fn(|_| Vec::with_capacity(count));
    for turn in 0..count.div_ceil(TURN - UNTIMED) {
        for (call, seconds) in calls.iter_mut().zip(&mut seconds) {
            for index in 0..TURN {
                let start = Instant::now();
                call(turn * TURN + index)?;
                let took = start.elapsed().as_secs_f64();
                if index >= UNTIMED {
                    seconds.push(took);
                }
            }
        }
    }
    Ok(seconds.map(|mut seconds| {
        seconds.sort_by(f64::total_cmp);
        let at = |share: f64| seconds[(seconds.len() as f64 * share) as usize] * 1e6;
        Times { best_us: at(0.0), p50_us: at(0.5), p99_us: at(0.99) }
    }))
}
