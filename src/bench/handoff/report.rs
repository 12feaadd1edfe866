//! What was found, ready to be written as JSON.
//!
//! Keys are part of the interface: snake_case, the unit last, added to but never renamed.

use serde::Serialize;

use super::super::load::{Percentiles, Rate};
use super::super::machine::Machine;
use super::super::record::Record;
use super::super::report::ModelFacts;
use super::memory::Memory;

/// One run of all experiments.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct HandoffReport {
    /// The model of the experiments that run one.
    pub model: ModelFacts,
    /// What it was run on.
    pub machine: Machine,
    /// How it was measured.
    pub method: HandoffMethod,
    /// One entry per figure, floors first.
    pub results: Vec<HandoffCell>,
    /// Memory before and after many requests, where the system tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// The same as a record, with the rounds behind the figures; not part of this document.
    #[serde(skip)]
    pub record: Record,
}

/// How figures were taken.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct HandoffMethod {
    /// The time for one figure, warm-up left out.
    pub figure_s: f64,
    /// Rounds of a rate.
    pub rounds: usize,
    /// Rows that a producer had waiting for answers at most.
    pub window_rows: usize,
    /// Rows in the ring.
    pub capacity: usize,
    /// The most rows in a batch.
    pub max_rows: usize,
    /// Threads that ran batches.
    pub workers: usize,
    /// How long threads spun before they parked where nothing else is said: the default here.
    pub spin_us: f64,
    /// The type of the model's rows.
    pub input: &'static str,
    /// What the model's weights were rounded to.
    pub precision: &'static str,
}

/// One figure.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct HandoffCell {
    /// `floor`, `latency`, `throughput`, `model_floor`, `model_throughput`, `open_loop` or `swap`.
    pub experiment: &'static str,
    /// Which of its kind.
    pub variant: &'static str,
    /// The values of a row, in bytes; 0 where there are no rows.
    pub row_bytes: usize,
    /// Threads that sent requests.
    pub producers: usize,
    /// Requests, round trips or batches behind the figure.
    pub requests: u64,
    /// Times, where times were measured.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Percentiles>,
    /// Rows a second, where those were counted.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// How the schedule was kept, where there was one.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleFacts>,
    /// What was swapped, where something was.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub swaps: Option<SwapFacts>,
    /// The figure of this run that it stands beside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beside: Option<Beside>,
}

/// How an open loop's schedule was kept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ScheduleFacts {
    /// Requests a second that were due.
    pub offered_per_s: f64,
    /// That rate as a share of the sustained one.
    pub load: f64,
    /// What 99 of 100 requests were sent within of the time they were due.
    pub late_p99_us: f64,
    /// The longest of those delays.
    pub late_max_us: f64,
    /// The median from the time a request was sent to its answer, the sender's delay left out.
    pub called_p50_us: f64,
    /// What 99 of 100 of those times were within.
    pub called_p99_us: f64,
    /// Requests that found the ring full when they were due.
    pub full: u64,
    /// Requests that were given up because the schedule was over.
    pub unsent: u64,
    /// Whether all were sent, and 99 of 100 within 100 microseconds of their time. Where this is
    /// false the rate was not the one that is written here, on this machine at this moment.
    pub kept: bool,
}

/// Swaps in the windows behind a figure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SwapFacts {
    /// Their number.
    pub swaps: u64,
    /// The median time of one: planning, loading and warming the model.
    pub swap_p50_us: f64,
    /// The longest.
    pub swap_max_us: f64,
}

/// Another figure of the same run, and the ratio to it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Beside {
    /// Which experiment and variant.
    pub figure: String,
    /// Which of its quantities: `p50_us`, `p99_us` or `rows_per_s`.
    pub quantity: &'static str,
    /// Its value.
    pub value: f64,
    /// This figure's quantity over it.
    pub ratio: f64,
}

/// A quantity that figures are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantity {
    P50,
    P99,
    Rate,
}

impl Quantity {
    fn name(self) -> &'static str {
        match self {
            Quantity::P50 => "p50_us",
            Quantity::P99 => "p99_us",
            Quantity::Rate => "rows_per_s",
        }
    }

    fn of(self, cell: &HandoffCell) -> Option<f64> {
        match self {
            Quantity::P50 => cell.latency.map(|latency| latency.p50_us),
            Quantity::P99 => cell.latency.map(|latency| latency.p99_us),
            Quantity::Rate => cell.rate.map(|rate| rate.rows_per_s),
        }
    }
}

impl HandoffCell {
    /// What it is of, as tables name it.
    pub fn title(&self) -> &'static str {
        match (self.experiment, self.variant) {
            ("floor", "cache_line") => "floor: cache line, spinning",
            ("floor", "queue") => "floor: queue trip, spinning",
            ("floor", "park") => "floor: park trip",
            ("floor", _) => "floor: queues by hand",
            ("latency", "spinning") => "submit to reply, spinning",
            ("latency", _) => "submit to reply, parking",
            ("throughput", "submit") => "submit",
            ("throughput", "reserve") => "reserve, commit",
            ("throughput", _) => "submit_many, 16 rows",
            ("model_floor", "one_row") => "model, direct calls of one row",
            ("model_floor", _) => "model, direct calls of a batch",
            ("model_throughput", _) => "model, submit",
            ("open_loop", _) => "model",
            ("swap", "quiet") => "model, windows without swaps",
            _ => "model, windows with swaps",
        }
    }

    /// The figure beside another one; unchanged where one of them lacks the quantity.
    pub(super) fn beside(mut self, other: &HandoffCell, quantity: Quantity) -> HandoffCell {
        let values = quantity.of(&self).zip(quantity.of(other));
        self.beside = values.filter(|(_, other)| *other > 0.0).map(|(own, value)| Beside {
            figure: format!("{} {}", other.experiment, other.variant),
            quantity: quantity.name(),
            value,
            ratio: own / value,
        });
        self
    }
}

impl Beside {
    /// What the ratio is to, as tables name it.
    pub fn title(&self) -> String {
        let quantity = match self.quantity {
            "p50_us" => "p50",
            "p99_us" => "p99",
            _ => "rate",
        };
        let figure = match self.figure.as_str() {
            "floor queue" => "queue trip",
            "floor park" => "park trip",
            "floor queues" => "queues",
            "model_floor one_row" => "direct call",
            "model_floor full_batch" => "direct calls",
            "swap quiet" => "windows without",
            other => other,
        };
        format!("{quantity} of {figure}")
    }
}

impl HandoffReport {
    /// Whether two threads had a core each while floors were taken: where they had not, because
    /// other programs ran or there is one core, times of spinning threads are times of waiting for
    /// a core.
    pub fn had_cores(&self) -> bool {
        const TRIP_MAX_US: f64 = 20.0;
        let mut lines = self.of("floor").filter(|cell| cell.variant == "cache_line");
        lines.all(|cell| cell.latency.is_some_and(|latency| latency.p50_us <= TRIP_MAX_US))
    }

    /// The figures of one experiment.
    pub fn of<'a>(&'a self, experiment: &'a str) -> impl Iterator<Item = &'a HandoffCell> {
        self.results.iter().filter(move |cell| cell.experiment == experiment)
    }
}
