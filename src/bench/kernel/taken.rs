//! What was found on a device, with the rounds behind it.

use super::super::load::Durations;
use super::super::power::Used;
use super::report::{KernelCell, PipelineCell};
use crate::plan::{Cost, Peak};

/// One device.
#[derive(Clone, Debug, Default)]
pub(super) struct Taken {
    /// How tables and keys name it: the backend, with a number where several share one.
    pub(super) name: String,
    /// One entry per batch size.
    pub(super) cells: Vec<TakenCell>,
    /// Where it has a memory of its own.
    pub(super) pipeline: Option<PipelineCell>,
    /// Why nothing is said of energy, where nothing is.
    pub(super) energy: Option<String>,
}

impl Taken {
    /// The energy that its round trips took.
    pub(super) fn used(&self) -> Used<'_> {
        let told = |taken: &TakenCell| Some((taken.cell.batch, taken.cell.energy?));
        let cells = self.cells.iter().filter_map(told).collect();
        Used { name: &self.name, cells, missing: self.energy.clone() }
    }
}

/// One batch size.
#[derive(Clone, Debug)]
pub(super) struct TakenCell {
    pub(super) cell: KernelCell,
    pub(super) cost: Cost,
    pub(super) peak: Option<Peak>,
    /// Round trips, by the caller's clock.
    pub(super) trips: Vec<Durations>,
    /// Computations, by the device's clock; nothing in any round where it has none.
    pub(super) computed: Vec<Durations>,
    /// Rows a second with some batches under way.
    pub(super) in_flight: Vec<f64>,
}

impl TakenCell {
    /// Rows in a batch.
    pub(super) fn rows(&self) -> f64 {
        self.cell.batch as f64
    }

    /// The rounds by the device's clock, where it has one.
    pub(super) fn by_device(&self) -> Option<&[Durations]> {
        self.computed.iter().any(|round| round.count() > 0).then_some(&self.computed)
    }

    /// Operations a second that the ceilings allow for so many operations a byte.
    pub(super) fn roof(&self, intensity: f64) -> Option<f64> {
        let peak = self.peak?;
        let by_memory = peak.bytes_per_s * intensity;
        Some(self.cost.flops_ceiling(&peak).map_or(by_memory, |most| most.min(by_memory)))
    }

    /// Operations a byte.
    pub(super) fn intensity(&self) -> f64 {
        self.cost.intensity(self.cell.batch)
    }

    /// Of the ceilings, what was reached: the time that no kernel can beat over the median time.
    pub(super) fn roof_share(&self) -> Option<f64> {
        let roofline = self.cost.roofline(self.cell.batch, &self.peak?);
        Some(roofline.time_us / self.cell.achieved.p50_us)
    }
}
