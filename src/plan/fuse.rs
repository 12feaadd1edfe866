//! Which layers share a launch.

use super::{Limits, PlanOptions, PlannedLayer, Precision, Stage, StageKind};
use crate::model::Head;

/// Groups consecutive layers into launches.
///
/// A layer is narrow when a tile of [`Limits::tile_rows_min`] rows of its outputs fits on chip
/// twice (what a layer reads and what it writes). A run of two or more narrow layers is one
/// [`StageKind::Fused`] launch, as far as their parameters together fit
/// [`Limits::resident_bytes`]: its first layer streams its input from global memory, so that input
/// may be as wide as it likes. Every other layer is a [`StageKind::Dense`] launch of its own.
pub(super) fn fuse(
    layers: &[PlannedLayer],
    head: Head,
    limits: &Limits,
    options: &PlanOptions,
) -> Vec<Stage> {
    let mut stages = Vec::new();
    let mut start = 0;
    while start < layers.len() {
        let mut resident = 0_usize;
        let precision = match start {
            0 => options.precision.beside(options.input),
            _ => options.precision,
        };
        let fusible = layers[start..].iter().take_while(|layer| {
            resident = resident.saturating_add(resident_bytes(layer, limits, precision));
            is_narrow(layer, limits) && resident <= limits.resident_bytes
        });
        let fusible = fusible.count();
        let end = start + fusible.max(1);
        stages.push(if fusible >= 2 {
            fused(layers, start, end, limits)
        } else {
            dense(start, limits)
        });
        start = end;
    }
    apply_head(&mut stages, head);
    stages
}

fn is_narrow(layer: &PlannedLayer, limits: &Limits) -> bool {
    limits.tile_rows_min * row_bytes(layer.outputs_padded) <= limits.on_chip_bytes
}

/// What a layer's description takes beside its parameters.
const DESCRIPTION_BYTES: usize = 64;

/// On-chip bytes of a layer that is kept there, its inputs padded to whole panels as its outputs
/// are: they are the outputs of another.
fn resident_bytes(layer: &PlannedLayer, limits: &Limits, precision: Precision) -> usize {
    let weights = layer.inputs.next_multiple_of(limits.panel) * layer.outputs_padded;
    weights * precision.bytes() + layer.outputs_padded * 4 + DESCRIPTION_BYTES
}

/// On-chip bytes of one row: f32, once as read and once as written.
fn row_bytes(width: usize) -> usize {
    2 * width * 4
}

fn fused(layers: &[PlannedLayer], start: usize, end: usize, limits: &Limits) -> Stage {
    let widest = layers[start..end].iter().map(|layer| layer.outputs_padded).max().unwrap_or(1);
    let fitting = (limits.on_chip_bytes / row_bytes(widest)).min(limits.tile_rows_max);
    let tile_rows = fitting / limits.tile_rows_min * limits.tile_rows_min;
    Stage {
        kind: StageKind::Fused,
        layers: start..end,
        tile_rows,
        on_chip_bytes: tile_rows * row_bytes(widest),
        head: Head::Logits,
    }
}

fn dense(layer: usize, limits: &Limits) -> Stage {
    Stage {
        kind: StageKind::Dense,
        layers: layer..layer + 1,
        tile_rows: limits.tile_rows_max,
        on_chip_bytes: 0,
        head: Head::Logits,
    }
}

/// A fused launch sees whole rows and applies the head itself; a dense one needs another launch.
fn apply_head(stages: &mut Vec<Stage>, head: Head) {
    let last = stages.len() - 1;
    match stages[last].kind {
        _ if head == Head::Logits => {}
        StageKind::Fused => stages[last].head = head,
        StageKind::Dense | StageKind::Head => {
            let end = stages[last].layers.end;
            stages.push(Stage {
                kind: StageKind::Head,
                layers: end..end,
                tile_rows: 1,
                on_chip_bytes: 0,
                head,
            });
        }
    }
}
