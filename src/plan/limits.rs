//! What a device can hold: a plain struct that backends fill in and planning reads.

use super::{PlanError, PlanOptions};
use crate::model::Model;

/// What planning has to know about a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Memory one tile may use for activations: workgroup storage, shared memory, or cache.
    pub on_chip_bytes: usize,
    /// The parameter bytes a fused launch keeps on chip beside them; `usize::MAX` where parameters
    /// are streamed.
    pub resident_bytes: usize,
    /// Outputs packed side by side; what one vector of the kernel holds.
    pub panel: usize,
    /// The fewest rows a tile must hold for fusing to pay.
    pub tile_rows_min: usize,
    /// The most rows a tile may hold.
    pub tile_rows_max: usize,
    /// Alignment of every span in the parameter block; a power of two, at least 4.
    pub align_bytes: usize,
    /// The largest block of rows, activations or parameters the device takes.
    pub buffer_bytes_max: usize,
}

impl Limits {
    pub(super) fn check(&self) -> Result<(), PlanError> {
        let sound = self.panel >= 1
            && self.panel <= 1024
            && self.tile_rows_min >= 1
            && self.tile_rows_min <= self.tile_rows_max
            && self.align_bytes.is_power_of_two()
            && self.align_bytes >= 4;
        if sound { Ok(()) } else { Err(PlanError::Limits { limits: *self }) }
    }

    /// The rows of the largest batch whose every block fits [`buffer_bytes_max`](Limits), where a
    /// backend may pad each row to whole panels.
    pub(super) fn rows_that_fit(
        &self,
        model: &Model,
        options: &PlanOptions,
    ) -> Result<usize, PlanError> {
        if options.rows_max == 0 {
            return Err(PlanError::NoRows);
        }
        let widest = model.layers().iter().map(|layer| layer.outputs()).max().unwrap_or(1);
        let padded = |width: usize| width.next_multiple_of(self.panel);
        let row_bytes = (padded(model.inputs()) * options.input.bytes()).max(padded(widest) * 4);
        match self.buffer_bytes_max / row_bytes {
            0 => Err(PlanError::BufferTooLarge {
                what: "one row",
                limit_bytes: self.buffer_bytes_max,
                got_bytes: row_bytes,
            }),
            rows => Ok(rows.min(options.rows_max)),
        }
    }
}
