//! What a caller chooses: about a pipeline, and about one request.

use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use super::super::plan::Plan;
use super::error::PipelineError;

/// The most rows that may be asked for in a ring.
const CAPACITY_MAX: usize = 1 << 24;
/// The longest that threads may be told to spin.
const SPIN_MAX: Duration = Duration::from_millis(10);

/// What a caller chooses about a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct PipelineConfig {
    /// Rows that may be taken at once, from submission until the reply is dropped; rounded up to a
    /// power of two. More than that are `Full`.
    pub capacity: usize,
    /// The same for rows of [`Priority::Bulk`], which have a ring of their own; 0 for none.
    pub bulk_capacity: usize,
    /// The most rows in a batch; where a plan takes fewer, that many.
    pub max_rows: usize,
    /// How long rows may wait for others before a device that is free takes them. Zero, the
    /// default, takes them at once: batches grow while devices are busy. A row with a deadline is
    /// taken in time for it.
    pub max_delay: Duration,
    /// Batches in flight on one worker of a device that computes by itself, at most
    /// [`DEPTH_MAX`](PipelineConfig::DEPTH_MAX).
    pub depth: usize,
    /// Threads that run batches on the processor, each on its own.
    pub workers: usize,
    /// How long a batch may be in flight before its device counts as lost, pauses of the process
    /// left out. Batches have as many rows as are expected to be done in half of it; where one row
    /// takes longer than that, it is given a multiple of what it is expected to take. The processor
    /// is never lost for being slow.
    pub batch_timeout: Duration,
    /// How long a device may take to load a model, to be measured and warmed, pauses of the process
    /// left out.
    pub load_timeout: Duration,
    /// How often a batch may be tried, each time on another device.
    pub attempts: u32,
    /// What to do about rows with a NaN or an infinity.
    pub not_finite: NotFinite,
    /// How workers and tickets wait.
    pub waiting: Waiting,
}

impl Default for PipelineConfig {
    fn default() -> PipelineConfig {
        PipelineConfig {
            capacity: 1024,
            bulk_capacity: 0,
            max_rows: 256,
            max_delay: Duration::ZERO,
            depth: 2,
            workers: 1,
            batch_timeout: Duration::from_secs(2),
            load_timeout: Duration::from_secs(60),
            attempts: 3,
            not_finite: NotFinite::default(),
            waiting: Waiting::default(),
        }
    }
}

/// What to do about rows with a NaN or an infinity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NotFinite {
    /// Run them: NaN is data, and spoils its own row alone.
    #[default]
    Run,
    /// Refuse them when they are submitted, which reads every value once.
    Refuse,
}

/// How a thread waits: it spins, yields, and then parks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Waiting {
    /// How long to spin. Answers come soonest, and a core is busy meanwhile.
    pub spin: Duration,
    /// How often to yield after that.
    pub yields: u32,
}

impl Default for Waiting {
    /// Ten microseconds of spinning; on two cores or fewer none, where a spinning thread would keep
    /// the one it waits for from running.
    fn default() -> Waiting {
        let cores = available_parallelism().map_or(1, usize::from);
        if cores <= 2 { Waiting::PARKING } else { Waiting::spinning(Duration::from_micros(10)) }
    }
}

impl Waiting {
    /// Parks at once.
    pub const PARKING: Waiting = Waiting { spin: Duration::ZERO, yields: 0 };

    /// Spins for so long before it parks.
    pub const fn spinning(spin: Duration) -> Waiting {
        Waiting { spin, yields: 0 }
    }
}

/// Which rows go first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Priority {
    /// Somebody waits for the answer.
    #[default]
    Interactive,
    /// Fills the room that interactive rows leave in a batch. Where they would leave none, it gets
    /// one row for sixteen of theirs, so that it never waits for the end of a load.
    Bulk,
}

/// What a caller chooses about one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubmitOptions {
    /// After this the answer is of no use: rows that still wait then are never run. It passes while
    /// the process stands still, too.
    pub deadline: Option<Instant>,
    /// Which rows go first.
    pub priority: Priority,
}

impl SubmitOptions {
    /// Options with a deadline.
    pub fn deadline(deadline: Instant) -> SubmitOptions {
        SubmitOptions { deadline: Some(deadline), ..SubmitOptions::default() }
    }

    /// Options for bulk rows.
    pub fn bulk() -> SubmitOptions {
        SubmitOptions { priority: Priority::Bulk, ..SubmitOptions::default() }
    }
}

impl PipelineConfig {
    /// What `depth` may be: what is queued behind so many batches only waits there.
    pub const DEPTH_MAX: usize = 16;

    /// Checks every option, before anything is started.
    pub(crate) fn check(&self) -> Result<(), PipelineError> {
        let count = |option, got: usize, least: usize, most: usize| {
            if (least..=most).contains(&got) {
                return Ok(());
            }
            let expected = format!("{least} to {most}");
            Err(PipelineError::Option { option, expected, got: got.to_string() })
        };
        count("capacity", self.capacity, 1, CAPACITY_MAX)?;
        count("bulk_capacity", self.bulk_capacity, 0, CAPACITY_MAX)?;
        count("max_rows", self.max_rows, 1, CAPACITY_MAX)?;
        count("depth", self.depth, 1, PipelineConfig::DEPTH_MAX)?;
        count("workers", self.workers, 1, super::bell::WORKERS_MAX)?;
        count("attempts", self.attempts as usize, 1, 100)?;
        let time = |option, got: Duration, least: Duration, most: Duration| {
            if (least..=most).contains(&got) {
                return Ok(());
            }
            let (expected, got) = (format!("{least:?} to {most:?}"), format!("{got:?}"));
            Err(PipelineError::Option { option, expected, got })
        };
        let hour = Duration::from_secs(3600);
        time("batch_timeout", self.batch_timeout, Duration::from_millis(1), hour)?;
        time("load_timeout", self.load_timeout, Duration::from_millis(1), hour)?;
        time("max_delay", self.max_delay, Duration::ZERO, hour)?;
        time("waiting.spin", self.waiting.spin, Duration::ZERO, SPIN_MAX)
    }

    /// The most rows in a batch of a plan: no batch has more than wait in the ring.
    pub(crate) fn rows_max(&self, plan: &Plan) -> usize {
        let waiting: usize = self.lanes().iter().map(|rows| *rows as usize).sum();
        self.max_rows.min(plan.rows_max()).min(waiting)
    }

    /// Rows of each lane: interactive first, then bulk where there is room for it.
    pub(crate) fn lanes(&self) -> Vec<u32> {
        let capacities = [self.capacity, self.bulk_capacity].into_iter();
        let lanes = capacities.filter(|capacity| *capacity > 0);
        // Checked: at most CAPACITY_MAX.
        lanes.map(|capacity| capacity.next_power_of_two() as u32).collect()
    }
}

impl Priority {
    /// The lane that takes such rows.
    pub(crate) fn lane(self) -> usize {
        match self {
            Priority::Interactive => 0,
            Priority::Bulk => 1,
        }
    }
}
