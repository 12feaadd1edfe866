//! What every experiment on streams is told.

use std::path::PathBuf;
use std::time::Duration;

use super::super::images::OwnedRows;
use crate::pipeline::Waiting;
use crate::plan::PlanOptions;

/// How rows are scored, where they come from, where results go, and for how long.
#[derive(Clone, Debug)]
pub struct LabOptions {
    /// Input type and precision.
    pub plan: PlanOptions,
    /// How the pipeline waits.
    pub waiting: Waiting,
    /// Rows to send in place of generated ones, `[n, inputs]` row-major, of the planned type.
    pub rows: Option<OwnedRows>,
    /// The file that results are written to; it is replaced by each run. Where there is none, a
    /// temporary one, which goes when the experiment is over.
    pub results: Option<PathBuf>,
    /// Runs of each experiment, each with a figure of its own; one at least.
    pub runs: usize,
    /// How long a run takes, warm-up left out.
    pub run_time: Duration,
    /// What comes before a run and is not counted.
    pub warm_up: Duration,
    /// How long a rate is tried in the search for the highest.
    pub probe_time: Duration,
}

impl LabOptions {
    /// Random images, temporary results, and five runs of this length; rates are tried for
    /// `probe_time`.
    pub fn lasting(run_time: Duration, warm_up: Duration, probe_time: Duration) -> LabOptions {
        LabOptions {
            plan: PlanOptions::default(),
            waiting: Waiting::default(),
            rows: None,
            results: None,
            runs: 5,
            run_time,
            warm_up,
            probe_time,
        }
    }

    /// The same with every time so many times as long.
    #[must_use]
    pub fn scaled(self, factor: f64) -> LabOptions {
        let scaled = |time: Duration| scaled(time, factor);
        let (run_time, warm_up) = (scaled(self.run_time), scaled(self.warm_up));
        LabOptions { run_time, warm_up, probe_time: scaled(self.probe_time), ..self }
    }
}

/// A time so many times as long, a thousand years at most.
pub(in crate::bench) fn scaled(time: Duration, factor: f64) -> Duration {
    const LONGEST_S: f64 = 3e10;
    let seconds = (time.as_secs_f64() * factor).clamp(0.0, LONGEST_S);
    Duration::from_secs_f64(seconds)
}
