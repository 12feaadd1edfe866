//! What it costs to hand rows to a [`Pipeline`](crate::Pipeline) and to get their answers back.
//!
//! Most experiments run on the device that computes nothing, so that what is left is the hand-over:
//! latency of one caller who waits for each answer, and rows a second from callers who keep a
//! window of tickets. The rest run a model on the processor: rows a second from single rows,
//! latency at a part of that rate from the *scheduled* time of each request, and what swapping the
//! model adds.
//!
//! Figures stand beside floors taken in the same run and process, in turns with them: what two
//! threads need for the same exchange without a pipeline. Every answer is checked; a wrong one ends
//! the run with an error.

mod caller;
mod charts;
mod flood;
mod floors;
mod known;
mod memory;
mod open;
mod queues;
mod record;
mod report;
mod rig;
mod series;
mod swaps;
mod taken;
#[cfg(test)]
mod tests;
mod traffic;

use std::sync::Arc;
use std::time::Duration;

pub use memory::Memory;
pub use report::{Beside, HandoffCell, HandoffMethod, HandoffReport, ScheduleFacts, SwapFacts};

use super::compare::Progress;
use super::error::BenchError;
use crate::backend::null::NullDevice;
use crate::backend::{Device, cpu};
use crate::model::Model;
use crate::plan::PlanOptions;

/// What to measure, and for how long.
#[derive(Clone, Debug)]
pub struct HandoffOptions {
    /// Input type and precision of the model's experiments.
    pub plan: PlanOptions,
    /// The time for one figure, warm-up left out.
    pub figure_time: Duration,
    /// Rounds, each a part of that time, in which figures and their floors take turns; one at
    /// least. Rates are medians of rounds, times are of all of them.
    pub rounds: usize,
    /// Pairs of windows, one without swaps and one with.
    pub swap_windows: usize,
    /// Requests between two looks at the process's memory.
    pub memory_requests: u64,
}

impl HandoffOptions {
    /// A look at a machine: some twenty seconds.
    pub fn quick() -> HandoffOptions {
        HandoffOptions {
            plan: PlanOptions::default(),
            figure_time: Duration::from_millis(400),
            rounds: 5,
            swap_windows: 2,
            memory_requests: 10_000_000,
        }
    }

    /// Figures worth keeping: some minutes.
    pub fn full() -> HandoffOptions {
        HandoffOptions {
            figure_time: Duration::from_secs(4),
            rounds: 15,
            swap_windows: 5,
            memory_requests: 100_000_000,
            ..HandoffOptions::quick()
        }
    }

    /// The same with another time for one figure, and requests for the look at memory in
    /// proportion, ten thousand at least.
    #[must_use]
    pub fn with_figure_time(self, time: Duration) -> HandoffOptions {
        let share = time.as_secs_f64() / self.figure_time.as_secs_f64();
        let memory_requests = ((self.memory_requests as f64 * share) as u64).max(10_000);
        HandoffOptions { figure_time: time, memory_requests, ..self }
    }

    /// The time of one round of a figure.
    fn round_time(&self) -> Duration {
        self.figure_time / self.rounds.max(1) as u32
    }
}

/// Runs every experiment.
///
/// # Errors
/// [`BenchError`]: an answer was wrong or missing, or something failed on the way.
pub fn run(
    model: &Model,
    options: &HandoffOptions,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<HandoffReport, BenchError> {
    let processor = cpu::open();
    let null: Arc<dyn Device> = Arc::new(NullDevice::new(*processor.limits()));
    series::Series::new(model, options, null, processor, progress).run()
}
