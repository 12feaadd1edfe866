//! Rows a second through a whole pipeline, from callers who hand over many at once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::super::agreement::Agreement;
use super::pattern::{Block, Pattern};
use super::report::PipelineCell;
use crate::Error;
use crate::backend::Executable;
use crate::pipeline::{Pipeline, PipelineConfig, Reply, SubmitError};
use crate::plan::Link;

/// Rows of a request, and requests that a caller has under way.
const REQUEST_ROWS: usize = 1024;
const WINDOW: usize = 8;
/// Callers, where there are cores for them and two more.
const CALLERS_MAX: usize = 8;
/// Rows of a batch, and batches under way.
pub(super) const BATCH_ROWS: usize = 16 << 10;
const DEPTH: usize = 3;
/// Bytes of rows in the ring, and rows, at most.
const RING_BYTES: usize = 256 << 20;
const RING_ROWS: usize = 1 << 18;
/// Of so many requests of a caller, one is held against the oracle: all would take the callers
/// longer than the device.
const CHECK_EVERY: u64 = 64;
/// How long the last batches may take.
const LIMIT: Duration = Duration::from_secs(10);

/// What callers hand over.
pub(super) struct Feeding<'a> {
    pub(super) executable: &'a Arc<dyn Executable>,
    pub(super) pattern: &'a Pattern<'a>,
    pub(super) block: &'a Block,
}

impl Feeding<'_> {
    /// Feeds a pipeline for so long, after a warm-up of a tenth of it.
    pub(super) fn measure(&self, time: Duration, link: &Link) -> Result<PipelineCell, Error> {
        let (plan, info) = (self.executable.plan(), self.executable.device().info());
        let fitting = RING_BYTES / (plan.inputs() * plan.input().bytes());
        // No larger than that, though it is rounded up to a power of two.
        let capacity = (fitting / 2 + 1).next_power_of_two().min(RING_ROWS);
        let config = PipelineConfig {
            capacity,
            max_rows: BATCH_ROWS.min(capacity),
            depth: DEPTH,
            ..PipelineConfig::default()
        };
        let max_rows = config.max_rows.min(plan.rows_max());
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let callers = cores.saturating_sub(2).clamp(1, CALLERS_MAX);
        let request_rows = REQUEST_ROWS.min(self.block.count()).min(capacity / callers).max(1);
        let pipeline = Pipeline::start(Arc::clone(self.executable), config)?;
        self.round(&pipeline, callers, request_rows, time / 10)?;
        let (rows_per_s, agreement) = self.round(&pipeline, callers, request_rows, time)?;
        pipeline.shutdown(LIMIT);
        let busier = plan.cost().link_us(1, link).into_iter().fold(0.0, f64::max);
        Ok(PipelineCell {
            backend: info.backend.name(),
            device: info.name.clone(),
            callers,
            request_rows,
            max_rows,
            rows_per_s,
            link_share: rows_per_s * busier / 1e6,
            max_abs_error: agreement.max_abs_error,
            agrees: agreement.agrees,
        })
    }

    /// All callers at once: the rows a second, and how right the answers that were looked at are.
    fn round(
        &self,
        pipeline: &Pipeline,
        callers: usize,
        request_rows: usize,
        time: Duration,
    ) -> Result<(f64, Agreement), Error> {
        let begun = Instant::now();
        let ended: Vec<_> = thread::scope(|scope| {
            let call = |caller| {
                let handle = pipeline.clone();
                scope.spawn(move || self.call(&handle, caller, request_rows, begun + time))
            };
            let started: Vec<_> = (0..callers).map(call).collect();
            // A caller's panic is a bug in this file, and ends the run as such.
            let join = |thread: thread::ScopedJoinHandle<'_, _>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            started.into_iter().map(join).collect()
        });
        let seconds = begun.elapsed().as_secs_f64();
        let (mut rows, mut agreement) = (0, self.pattern.check(0, &[], self.executable.plan()));
        for outcome in ended {
            let (answered, agreed): (u64, Agreement) = outcome?;
            rows += answered;
            agreement = agreement.and(agreed);
        }
        Ok((rows as f64 / seconds, agreement))
    }

    /// One caller, until its time is up and all of its requests are answered: its rows, and how
    /// right they are.
    fn call(
        &self,
        pipeline: &Pipeline,
        caller: usize,
        request_rows: usize,
        end: Instant,
    ) -> Result<(u64, Agreement), Error> {
        let plan = self.executable.plan();
        let places = (self.block.count() / request_rows).max(1);
        let mut agreement = self.pattern.check(0, &[], plan);
        let (mut sent, mut answered) = (0_u64, 0_u64);
        let mut waiting = VecDeque::with_capacity(WINDOW);
        let mut take = |(first, ticket): (usize, crate::pipeline::Ticket)| {
            let reply = ticket.wait()?;
            if answered.is_multiple_of(CHECK_EVERY) {
                agreement = agreement.and(self.pattern.check(first, &scores_of(&reply), plan));
            }
            answered += 1;
            Ok::<_, Error>(())
        };
        while Instant::now() < end || sent == 0 {
            let first = (sent as usize + caller * 7) % places * request_rows;
            let is_full = match pipeline.submit_many(self.block.rows(first..first + request_rows)) {
                Ok(ticket) => {
                    waiting.push_back((first, ticket));
                    sent += 1;
                    waiting.len() >= WINDOW
                }
                Err(SubmitError::Full) => true,
                Err(error) => return Err(error.into()),
            };
            if is_full {
                match waiting.pop_front() {
                    Some(oldest) => take(oldest)?,
                    // The others' rows fill the ring.
                    None => thread::yield_now(),
                }
            }
        }
        waiting.into_iter().try_for_each(&mut take)?;
        Ok((answered * request_rows as u64, agreement))
    }
}

fn scores_of(reply: &Reply) -> Vec<f32> {
    reply.rows().flat_map(|row| row.scores().to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::KernelOptions;
    use super::*;
    use crate::InputType;
    use crate::backend::cpu;
    use crate::model::{Activation, Dense, Model};
    use crate::plan::{Plan, PlanOptions};

    #[test]
    fn every_request_is_answered_and_wrong_answers_are_found() {
        let layer = Dense::new(2, 2, vec![1.0, 0.5, -2.0, 1.0], None, Activation::Relu).unwrap();
        let model = Model::from_layers(vec![layer]).unwrap();
        let wrong = model.clone().with_u8_scale(0.9 / 255.0).unwrap();
        let plan = PlanOptions { input: InputType::U8, ..PlanOptions::default() };
        let pattern = Pattern::new(&model, &KernelOptions { plan, ..KernelOptions::default() });
        let device = cpu::open();
        let block = Block::new(&*device, &pattern, 5000).unwrap();
        let link = Link { in_bytes_per_s: 2e9, out_bytes_per_s: 2e9 };
        for (run, agrees) in [(&model, true), (&wrong, false)] {
            let executable = device.load(Plan::new(run, device.limits(), &plan).unwrap()).unwrap();
            let feeding = Feeding { executable: &executable, pattern: &pattern, block: &block };
            let cell = feeding.measure(Duration::from_millis(10), &link).unwrap();
            assert_eq!(cell.agrees, agrees, "{cell:?}");
            // Eight bytes of scores a row are the busier way.
            assert!(cell.rows_per_s > 0.0, "{cell:?}");
            assert!((cell.link_share / (cell.rows_per_s * 8.0 / 2e9) - 1.0).abs() < 1e-9);
        }
    }
}
