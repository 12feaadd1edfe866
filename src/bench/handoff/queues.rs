//! The exchange that a pipeline makes, by hand: rows through one queue, answers back through a
//! queue for each producer. No request outlives its queue, fails, expires, or is counted.

use std::thread;
use std::time::{Duration, Instant};

use crossbeam::queue::ArrayQueue;

use super::super::error::BenchError;
use super::flood::WINDOW_ROWS;
use super::floors::spin;
use super::rig::CLASSES;

/// Looks before a spinning thread lets others run: few, for there may be more threads than cores.
const LOOKS: u32 = 64;

type Outcome<T> = Result<T, BenchError>;
type Scores = [f32; CLASSES];

/// A row of `N` bytes, and whose it is.
struct Sent<const N: usize> {
    producer: usize,
    row: [u8; N],
}

/// Rows a second that so many producers get answered, after a warm-up of a tenth of the time; and
/// the rows. Each producer keeps as many under way as in the other experiments.
pub(super) fn rate<const N: usize>(producers: usize, time: Duration) -> Outcome<(f64, u64)> {
    round::<N>(producers, time / 10)?;
    let (rows, took) = round::<N>(producers, time)?;
    Ok((rows as f64 / took.as_secs_f64(), rows))
}

fn round<const N: usize>(producers: usize, time: Duration) -> Outcome<(u64, Duration)> {
    let there = ArrayQueue::new(1024);
    let back: Vec<ArrayQueue<Scores>> =
        (0..producers).map(|_| ArrayQueue::new(WINDOW_ROWS)).collect();
    let begun = Instant::now();
    let rows = thread::scope(|scope| {
        let answerer = scope.spawn(|| answer::<N>(&there, &back));
        let threads: Vec<_> = back
            .iter()
            .enumerate()
            .map(|(producer, back)| {
                let there = &there;
                scope.spawn(move || produce::<N>(producer, there, back, time))
            })
            .collect();
        let done: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
        push(&there, None);
        let _ = answerer.join();
        // A producer's panic is a bug in this file, and ends the run as such.
        let outcomes =
            done.into_iter().map(|it| it.unwrap_or_else(|it| std::panic::resume_unwind(it)));
        outcomes.sum::<Outcome<u64>>()
    });
    Ok((rows?, begun.elapsed()))
}

fn produce<const N: usize>(
    producer: usize,
    there: &ArrayQueue<Option<Sent<N>>>,
    back: &ArrayQueue<Scores>,
    time: Duration,
) -> Outcome<u64> {
    let start = Instant::now();
    let (mut sent, mut answered) = (0_u64, 0_u64);
    let mut row = [0; N];
    let mut is_enough = false;
    while !is_enough || answered < sent {
        if !is_enough && sent - answered < WINDOW_ROWS as u64 {
            row[..8].copy_from_slice(&sent.to_le_bytes());
            push(there, Some(Sent { producer, row }));
            sent += 1;
            is_enough = sent.is_multiple_of(64) && start.elapsed() >= time;
            continue;
        }
        let scores = spin(LOOKS, || back.pop());
        let expected = answered.to_le_bytes().map(f32::from);
        if scores[..8] != expected {
            let device = String::from("queues");
            return Err(BenchError::wrong(device, answered, &expected, &scores));
        }
        answered += 1;
    }
    Ok(answered)
}

fn answer<const N: usize>(there: &ArrayQueue<Option<Sent<N>>>, back: &[ArrayQueue<Scores>]) {
    while let Some(sent) = spin(LOOKS, || there.pop()) {
        let mut scores = [0.0; CLASSES];
        for (score, byte) in scores.iter_mut().zip(sent.row) {
            *score = f32::from(byte);
        }
        push(&back[sent.producer], scores);
    }
}

/// Pushes once there is room.
fn push<T>(queue: &ArrayQueue<T>, value: T) {
    let mut value = Some(value);
    spin(LOOKS, || match queue.push(value.take()?) {
        Ok(()) => Some(()),
        Err(back) => {
            value = Some(back);
            None
        }
    });
}
