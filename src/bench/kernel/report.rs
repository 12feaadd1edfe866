//! What was found, ready to be written as JSON.
//!
//! Keys are part of the interface: snake_case, the unit last, added to but never renamed.

use serde::Serialize;

use super::super::energy::Energy;
use super::super::machine::Machine;
use super::super::measure::Measurement;
use super::super::record::Record;
use super::super::report::{DeviceReport, ModelFacts, State};
use super::{KernelOptions, ROUNDS};
use crate::plan::{Cost, Peak};

/// One model on every device, batch size by batch size.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct KernelReport {
    /// What was run.
    pub model: ModelFacts,
    /// What it was run on.
    pub machine: Machine,
    /// How it was measured.
    pub method: KernelMethod,
    /// Every device that is there, and every backend that is not.
    pub devices: Vec<DeviceReport>,
    /// One entry per device and batch size.
    pub results: Vec<KernelCell>,
    /// One entry per device with a memory of its own.
    pub pipelines: Vec<PipelineCell>,
    /// The same as a record, with the rounds behind the figures; not part of this document.
    #[serde(skip)]
    pub record: Record,
}

/// How figures were taken.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct KernelMethod {
    /// `closed`: a batch starts when the one before has returned.
    pub load: &'static str,
    /// What the caller's clock covers.
    pub clock: &'static str,
    /// The rows' type.
    pub input: &'static str,
    /// What weights were rounded to.
    pub precision: &'static str,
    /// Distinct rows, whose scores the oracle computed.
    pub rows_distinct: usize,
    /// The seed of the images.
    pub seed: u64,
    /// The time one figure took, warm-up left out.
    pub figure_s: f64,
    /// Parts of that time; records hold a number for each.
    pub rounds: u32,
}

impl KernelMethod {
    pub(super) fn of(options: &KernelOptions, rows_distinct: usize) -> KernelMethod {
        KernelMethod {
            load: "closed",
            clock: "submit and wait of one context, rows in the device's own host memory",
            input: options.plan.input.name(),
            precision: options.plan.precision.name(),
            rows_distinct,
            seed: options.seed,
            figure_s: options.figure_time.as_secs_f64(),
            rounds: ROUNDS,
        }
    }
}

/// One device at one batch size.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct KernelCell {
    /// The backend.
    pub backend: &'static str,
    /// The device's name.
    pub device: String,
    /// Whether the device is a processor that renders like a GPU.
    pub software: bool,
    /// Rows in a batch.
    pub batch: usize,
    /// The round trip, by the caller's clock.
    #[serde(flatten)]
    pub measurement: Measurement,
    /// Of the round trip, what the way to the device and back takes at its ceilings.
    pub link_share: Option<f64>,
    /// Batches under way at once, where the device has a memory of its own.
    pub in_flight: Option<InFlight>,
    /// What the computation alone came to.
    pub achieved: Achieved,
    /// What the round trips took, where it can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub energy: Option<Energy>,
    /// What the device can do, where that is measured.
    pub ceilings: Option<Ceilings>,
    /// The largest distance of a score from the oracle's; null where one of the two is NaN.
    pub max_abs_error: f64,
    /// Whether the scores are within the precision's tolerance of the oracle's.
    pub agrees: bool,
}

/// Batches of contexts that are busy in turn, from one thread.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct InFlight {
    /// Contexts in turn.
    pub contexts: usize,
    /// Rows over the time from the first batch's start to the last one's end.
    pub rows_per_s: f64,
    /// Of that time, what the busier way of the link takes at its ceiling.
    pub link_share: f64,
}

/// A whole pipeline, fed by callers who hand over many rows at once, which are copied to its ring.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PipelineCell {
    /// The backend.
    pub backend: &'static str,
    /// The device's name.
    pub device: String,
    /// Callers, each a thread.
    pub callers: usize,
    /// Rows of a request.
    pub request_rows: usize,
    /// Rows of a batch, at most.
    pub max_rows: usize,
    /// Rows answered over the time that it took.
    pub rows_per_s: f64,
    /// Of that time, what the busier way of the link takes at its ceiling.
    pub link_share: f64,
    /// The largest distance of a score from the oracle's, of the answers that were looked at.
    pub max_abs_error: f64,
    /// Whether they are within the precision's tolerance of the oracle's.
    pub agrees: bool,
}

/// What the computation of a batch came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Achieved {
    /// `device`: launches by its own clock; `caller`: the round trip, where it has none.
    pub clock: &'static str,
    /// The shortest time.
    pub min_us: f64,
    /// The median time.
    pub p50_us: f64,
    /// Bytes that a batch moves at least over the median time: rows, parameters, scores, and what
    /// launches hand to each other.
    pub bytes_per_s: f64,
    /// The same as a share of the memory's ceiling; above 1 for what stays in a cache.
    pub memory_share: Option<f64>,
    /// Operations over the median time.
    pub flops_per_s: f64,
    /// The same as a share of the ceiling.
    pub flops_share: Option<f64>,
}

impl Achieved {
    pub(super) fn of(
        clock: &'static str,
        times: &Measurement,
        cost: &Cost,
        batch: usize,
        peak: Option<&Peak>,
    ) -> Achieved {
        let rate = |amount: u64| amount as f64 / (times.p50_us / 1e6);
        let (bytes_per_s, flops_per_s) = (rate(cost.bytes(batch)), rate(cost.flops(batch)));
        Achieved {
            clock,
            min_us: times.min_us,
            p50_us: times.p50_us,
            bytes_per_s,
            memory_share: peak.map(|peak| bytes_per_s / peak.bytes_per_s),
            flops_per_s,
            flops_share: peak
                .and_then(|peak| cost.flops_ceiling(peak))
                .map(|peak| flops_per_s / peak),
        }
    }
}

/// What a device can do, measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Ceilings {
    /// Bytes a second of the memory that a batch of this size lies in.
    pub bytes_per_s: f64,
    /// Operations a second.
    pub flops_per_s: Option<f64>,
    /// Bytes a second from the host to the device.
    pub link_in_bytes_per_s: Option<f64>,
    /// Bytes a second from the device to the host.
    pub link_out_bytes_per_s: Option<f64>,
}

impl Ceilings {
    pub(super) fn of(peak: Peak) -> Ceilings {
        Ceilings {
            bytes_per_s: peak.bytes_per_s,
            flops_per_s: peak.flops_per_s,
            link_in_bytes_per_s: peak.link.map(|link| link.in_bytes_per_s),
            link_out_bytes_per_s: peak.link.map(|link| link.out_bytes_per_s),
        }
    }
}

impl KernelReport {
    /// Whether every device that took part worked and agrees with the oracle.
    pub fn is_sound(&self) -> bool {
        self.devices.iter().all(|device| device.state != State::Failed)
            && self.results.iter().all(|cell| cell.agrees)
            && self.pipelines.iter().all(|cell| cell.agrees)
    }
}
