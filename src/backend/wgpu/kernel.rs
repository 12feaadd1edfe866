//! The kernels, and the sizes each runs a stage at.

use crate::plan::{Plan, PlannedLayer, Stage, StageKind};

/// Workgroup storage every device has, in bytes: the 16 KiB of WebGPU less what GL and DX11 keep.
const WORKGROUP_STORAGE_BYTES: usize = 16_352;
/// The same in vectors of four f32, the unit of all workgroup storage here.
const STORAGE: usize = WORKGROUP_STORAGE_BYTES / 16;
/// The most quads of inputs brought on chip at once: 128 bytes a row, the line of most caches.
const CHUNK_MAX: usize = 8;
/// The fewest rows a fused tile holds: with fewer, reading the weights costs more than it saves.
pub(super) const TILE_ROWS_MIN: usize = 16;
/// The most rows a tile holds; also the rows, and the outputs, of a dense tile.
pub(super) const TILE_ROWS_MAX: usize = 64;
/// What a fused tile may use for activations: a quarter of the storage stays for staged weights,
/// and of the rest each quad of values takes one vector of padding (see [`quad_stride`]).
pub(super) const ACTIVATION_BYTES: usize =
    WORKGROUP_STORAGE_BYTES * 3 / 4 * TILE_ROWS_MIN / (TILE_ROWS_MIN + 1);
/// The largest batch that runs as few rows: one that leaves most of a device idle however it runs,
/// so that it matters less to read the weights again for every four rows.
pub(super) const FEW_ROWS_MAX: usize = 32;
/// Threads of a workgroup for few rows, at most; each takes 64 bytes of workgroup storage.
const FEW_ROWS_THREADS: usize = 128;
/// Panels of a workgroup for few rows of a dense stage.
const FEW_ROWS_PANELS: usize = 8;
/// Rows and outputs of a block, and values of a quad or a panel.
const BLOCK: usize = 4;

/// A file under `shaders/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kernel {
    FusedMlp,
    Dense,
    FewRows,
    Head,
}

impl Kernel {
    /// The stem of the file.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kernel::FusedMlp => "fused_mlp",
            Kernel::Dense => "dense",
            Kernel::FewRows => "few_rows",
            Kernel::Head => "head",
        }
    }
}

/// A kernel at the sizes of one stage, from which its shader and its grid follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) kernel: Kernel,
    /// Threads of a workgroup.
    pub(super) threads: usize,
    /// The kernel's own sizes, by the names its file uses.
    pub(super) sizes: Vec<(&'static str, usize)>,
    /// Workgroup storage in vectors of four f32.
    pub(super) storage: usize,
    /// Rows of a tile.
    tile_rows: usize,
    /// Tiles side by side that together make all outputs.
    tiles_across: usize,
}

impl Shape {
    /// How a stage runs batches of any size.
    pub(super) fn of(plan: &Plan, stage: &Stage) -> Shape {
        let layers = plan.layers_of(stage);
        match stage.kind {
            StageKind::Fused => Shape::fused(stage.tile_rows, layers),
            StageKind::Dense => Shape::dense(layers),
            StageKind::Head => Shape::head(),
        }
    }

    /// How a stage runs at most [`FEW_ROWS_MAX`] rows, where that is another way.
    pub(super) fn of_few_rows(plan: &Plan, stage: &Stage) -> Option<Shape> {
        let layers = plan.layers_of(stage);
        let widest = widest_panels(layers);
        match stage.kind {
            StageKind::Fused => Some(Shape::few_rows(widest, widest)),
            StageKind::Dense => Some(Shape::few_rows(FEW_ROWS_PANELS.min(widest), widest)),
            StageKind::Head => None,
        }
    }

    /// One thread for every block of the widest layer.
    fn fused(tile_rows: usize, layers: &[PlannedLayer]) -> Shape {
        let (groups, panels) = (tile_rows / BLOCK, widest_panels(layers));
        // Two halves, each with room for the widest activations and for a chunk of input.
        let on_chip = |chunk: usize| 2 * panels.max(chunk) * quad_stride(groups);
        let storage = |chunk: usize| on_chip(chunk) + panels * quad_stride(chunk);
        // A chunk of one quad fits beside whatever ACTIVATION_BYTES allowed to be planned.
        let chunk = (1..=CHUNK_MAX).rev().find(|chunk| storage(*chunk) <= STORAGE).unwrap_or(1);
        Shape {
            kernel: Kernel::FusedMlp,
            threads: groups * panels,
            sizes: tile_sizes(groups, panels, chunk, on_chip(chunk)),
            storage: storage(chunk),
            tile_rows,
            tiles_across: 1,
        }
    }

    /// One thread for every two by two blocks.
    fn dense(layers: &[PlannedLayer]) -> Shape {
        let (groups, panels, chunk) = (TILE_ROWS_MAX / BLOCK, TILE_ROWS_MAX / BLOCK, 4);
        let on_chip = chunk * quad_stride(groups);
        Shape {
            kernel: Kernel::Dense,
            threads: groups / 2 * (panels / 2),
            sizes: tile_sizes(groups, panels, chunk, on_chip),
            storage: on_chip + panels * quad_stride(chunk),
            tile_rows: TILE_ROWS_MAX,
            tiles_across: widest_panels(layers).div_ceil(panels),
        }
    }

    /// As many threads for every panel as there is room for.
    fn few_rows(panels: usize, panels_of_stage: usize) -> Shape {
        let splits = FEW_ROWS_THREADS / panels;
        let threads = splits * panels;
        Shape {
            kernel: Kernel::FewRows,
            threads,
            sizes: vec![("PANELS", panels), ("SPLITS", splits)],
            storage: BLOCK * panels + BLOCK * threads,
            tile_rows: BLOCK,
            tiles_across: panels_of_stage.div_ceil(panels),
        }
    }

    fn head() -> Shape {
        let threads = 64;
        Shape {
            kernel: Kernel::Head,
            threads,
            sizes: Vec::new(),
            storage: threads,
            tile_rows: 1,
            tiles_across: 1,
        }
    }

    /// Workgroups that together cover `rows` rows.
    pub(super) fn workgroups(&self, rows: usize) -> usize {
        rows.div_ceil(self.tile_rows) * self.tiles_across
    }
}

/// The sizes of `shaders/tile.wgsl`.
fn tile_sizes(
    groups: usize,
    panels: usize,
    chunk: usize,
    on_chip: usize,
) -> Vec<(&'static str, usize)> {
    vec![("GROUPS", groups), ("PANELS", panels), ("CHUNK", chunk), ("ON_CHIP", on_chip)]
}

fn widest_panels(layers: &[PlannedLayer]) -> usize {
    layers.iter().map(|layer| layer.outputs_padded / BLOCK).max().unwrap_or(1)
}

/// Vectors from a quad to the next on chip: four for each of `n`, and one against bank conflicts.
fn quad_stride(n: usize) -> usize {
    BLOCK * n + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::wgpu::planning_limits;
    use crate::model::{Activation, Dense, Model};
    use crate::plan::PlanOptions;

    #[test]
    fn every_shape_fits_every_device() {
        // No adapter is needed to plan for the least of them.
        let limits = planning_limits(&wgpu::Limits::downlevel_defaults());
        for width in 1..=100 {
            let layer = |inputs, outputs| {
                Dense::new(inputs, outputs, vec![0.0; inputs * outputs], None, Activation::Relu)
            };
            let (wide, narrow) = (layer(50, width).unwrap(), layer(width, 1).unwrap());
            let model = Model::from_layers(vec![wide, narrow]).unwrap();
            let plan = Plan::new(&model, &limits, &PlanOptions::default()).unwrap();
            for stage in plan.stages() {
                let few_rows = Shape::of_few_rows(&plan, stage).unwrap();
                for shape in [Shape::of(&plan, stage), few_rows] {
                    assert!(shape.storage <= STORAGE, "{width}: {shape:?}");
                    assert!((1..=256).contains(&shape.threads), "{width}: {shape:?}");
                }
            }
        }
    }
}
