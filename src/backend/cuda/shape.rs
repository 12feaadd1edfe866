//! Which kernel runs a stage, in how many blocks, with how much shared memory.
//!
//! The names and numbers are what the kernels under `kernels/` are written for.

use super::stage::{CHUNK, Room, TILE, chunks, input_of, row_bytes, tiles, weights_of};
use crate::model::Head;
use crate::plan::{Plan, Stage, StageKind};

/// Batches of at most so many rows run in kernels made for few.
pub(super) const FEW_ROWS_MAX: usize = 16;
/// Threads of every block but the head's, and their warps.
const THREADS: u32 = 256;
const WARPS: usize = 8;
/// The head's threads, and the rows of its block: one for each warp.
const HEAD_THREADS: u32 = 128;
const HEAD_ROWS: usize = 4;
/// Rows and outputs of a block of `dense`, and its shared memory.
const DENSE_ROWS: usize = 128;
const DENSE_OUTPUTS: usize = 64;
const DENSE_SHARED_BYTES: usize = 49_152;
/// Tiles of outputs that a block of `few_rows` takes of a dense stage.
const FEW_TILES: usize = 4;
/// The most bytes of rows that a block of `few_rows` brings on chip.
const ROWS_ON_CHIP: usize = 32 << 10;
/// Rows of a block of `few_rows` for batches that are not few, where there is no other kernel.
const MANY_OF_FEW: usize = 8;
/// The widest layers that `fused_mlp` is compiled for, in tiles.
const FUSED_TILES: [usize; 4] = [2, 4, 8, 16];
/// Outputs of the widest layer that is fused.
pub(super) const WIDEST_FUSED: usize = FUSED_TILES[3] * TILE;
/// Chunks of a row that a warp brings on chip at once: an odd number, so that rows spread over all
/// banks; and how many such steps it has room for.
const STEPS: [usize; 4] = [7, 5, 3, 1];
const DEPTHS: [usize; 2] = [3, 2];
/// Rows that `persistent` takes at once, and the bytes of its letter.
const PERSISTENT_ROWS: usize = 4;
const LETTER_BYTES: usize = 32;
/// Shared memory that a kernel may have besides what a launch asks for.
const STATIC_BYTES_MAX: usize = 2048;
/// Bytes of a barrier, one for each warp and step.
const BARRIER_BYTES: usize = 8;
/// The most kernels that stay which room is left for: those of a pipeline's contexts.
const RESIDENTS: usize = 4;
/// Blocks along a grid's second dimension.
const GRID_Y_MAX: usize = 65_535;

/// A kernel, and how it is launched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// The kernel's name in the module.
    pub(super) name: String,
    pub(super) threads: u32,
    /// Bytes of shared memory that a block asks for.
    pub(super) shared: usize,
    /// Rows of one block.
    pub(super) rows: usize,
    /// Blocks across the outputs.
    pub(super) columns: usize,
    /// Whether blocks go on with further rows, so that no more are launched than run at once.
    pub(super) stays: bool,
}

impl Shape {
    /// The grid that covers so many rows, with at most `blocks` of a kernel that stays.
    pub(super) fn grid(&self, rows: usize, blocks: usize) -> [u32; 2] {
        let covering = rows.div_ceil(self.rows);
        let across = if self.stays { covering.min(blocks) } else { covering };
        // Rows, and what they are divided by, fit a buffer of less than 2^31 bytes.
        [across as u32, self.columns as u32]
    }

    /// Whether a device can launch it.
    pub(super) fn is_launchable(&self) -> bool {
        self.columns <= GRID_Y_MAX
    }
}

/// The kernel for any batch of a stage, on devices with tensor cores for every type of weight. The
/// room is that of `fused_mlp`, whose stage takes `stage_bytes` of a block's `shared_max`; `None`
/// where there is not enough.
pub(super) fn any(
    plan: &Plan,
    stage: &Stage,
    stage_bytes: usize,
    shared_max: usize,
) -> Option<(Shape, Option<Room>)> {
    let types = types(plan, stage);
    let layers = plan.layers_of(stage);
    match stage.kind {
        StageKind::Head => Some((head(), None)),
        StageKind::Dense => {
            let outputs = layers.iter().map(|layer| tiles(layer) * TILE).sum::<usize>();
            let shape = Shape {
                name: format!("dense_{types}"),
                threads: THREADS,
                shared: DENSE_SHARED_BYTES,
                rows: DENSE_ROWS,
                columns: outputs.div_ceil(DENSE_OUTPUTS),
                stays: false,
            };
            Some((shape, None))
        }
        StageKind::Fused => {
            let compiled = compiled_tiles(plan, stage)?;
            let warp_rows = if compiled == 16 { 16 } else { 32 };
            let value_bytes = input_of(plan, stage).bytes();
            let shared_of = |room: &Room| {
                let step_bytes = warp_rows * room.step * CHUNK * value_bytes + BARRIER_BYTES;
                stage_bytes + WARPS * room.depth * step_bytes
            };
            let rooms = DEPTHS.into_iter().flat_map(|depth| STEPS.map(|step| Room { step, depth }));
            // No row has more chunks than its own, and an odd number covers them.
            let longest = layers.first().map_or(1, |layer| chunks(layer) | 1);
            let fits = |room: &Room| room.step <= longest && shared_of(room) <= shared_max;
            // All steps but the one that is computed are under way.
            let room =
                rooms.filter(fits).max_by_key(|room| ((room.depth - 1) * room.step, room.depth))?;
            let shape = Shape {
                name: fused_name(plan, stage)?,
                threads: THREADS,
                shared: shared_of(&room),
                rows: WARPS * warp_rows,
                columns: 1,
                stays: true,
            };
            Some((shape, Some(room)))
        }
    }
}

/// The name of the `fused_mlp` that runs a stage; `None` for other stages.
pub(super) fn fused_name(plan: &Plan, stage: &Stage) -> Option<String> {
    let tiles = compiled_tiles(plan, stage).filter(|_| stage.kind == StageKind::Fused)?;
    Some(format!("fused_mlp_{}_{tiles}", types(plan, stage)))
}

/// The narrowest `fused_mlp` that holds a stage's widest layer, in tiles.
fn compiled_tiles(plan: &Plan, stage: &Stage) -> Option<usize> {
    let widest = plan.layers_of(stage).iter().map(tiles).max().unwrap_or(0);
    FUSED_TILES.into_iter().find(|tiles| *tiles >= widest)
}

/// The kernel for batches of at most [`FEW_ROWS_MAX`] rows.
pub(super) fn few(plan: &Plan, stage: &Stage) -> Shape {
    of_few_rows(plan, stage, 1)
}

/// The kernel for any batch of a stage on devices without such tensor cores.
pub(super) fn any_old(plan: &Plan, stage: &Stage) -> Shape {
    of_few_rows(plan, stage, MANY_OF_FEW)
}

fn of_few_rows(plan: &Plan, stage: &Stage, rows: usize) -> Shape {
    let columns = match (stage.kind, plan.layers_of(stage).last()) {
        (_, None) => return head(),
        (StageKind::Fused, _) => 1,
        (_, Some(last)) => tiles(last).div_ceil(FEW_TILES),
    };
    Shape {
        name: format!("few_rows_{}_{rows}", types(plan, stage)),
        threads: THREADS,
        shared: block_shared(plan, stage, rows, columns),
        rows,
        columns,
        stays: false,
    }
}

/// The kernel that stays on the device, for plans of one stage of narrow layers; and whether the
/// stage, of so many bytes, is on chip, where a block may have `shared_max`.
pub(super) fn persistent(
    plan: &Plan,
    stage: &Stage,
    stage_bytes: usize,
    shared_max: usize,
) -> Option<(Shape, bool)> {
    if plan.stages().len() > 1 || stage.kind != StageKind::Fused {
        return None;
    }
    let own = LETTER_BYTES + block_shared(plan, stage, PERSISTENT_ROWS, 1);
    let is_on_chip = own + stage_bytes + STATIC_BYTES_MAX <= shared_max;
    let shape = Shape {
        name: format!("persistent_{}", types(plan, stage)),
        threads: THREADS,
        shared: own + if is_on_chip { stage_bytes } else { 0 },
        rows: FEW_ROWS_MAX,
        columns: 1,
        stays: true,
    };
    Some((shape, is_on_chip))
}

/// Multiprocessors that large batches are spread over. Some are left to kernels that stay: a block
/// that had to wait for one of those would do its share after all others have done theirs.
pub(super) fn multiprocessors(all: usize, some_stay: bool) -> usize {
    let left = if some_stay { (all / 16).clamp(1, RESIDENTS) } else { 0 };
    all.saturating_sub(left).max(1)
}

/// What a block of `kernels/block.cuh` needs for so many rows: the rows, the values of two layers,
/// and what every warp summed up.
fn block_shared(plan: &Plan, stage: &Stage, rows: usize, columns: usize) -> usize {
    let row_bytes = rows * row_bytes(plan, stage);
    let on_chip = if row_bytes <= ROWS_ON_CHIP { row_bytes.next_multiple_of(16) } else { 0 };
    // The last layer's values stay only for a head.
    let layers = plan.layers_of(stage);
    let has_head = stage.head != Head::Logits && columns == 1;
    let kept = layers.len() - usize::from(!has_head);
    let widest = layers[..kept].iter().map(|layer| tiles(layer) * TILE).max().unwrap_or(0);
    on_chip + 4 * (2 * rows * widest + WARPS * rows * FEW_TILES * TILE)
}

fn head() -> Shape {
    Shape {
        name: String::from("head"),
        threads: HEAD_THREADS,
        shared: 0,
        rows: HEAD_ROWS,
        columns: 1,
        stays: false,
    }
}

/// The types that a kernel is compiled for, as they stand in its name.
fn types(plan: &Plan, stage: &Stage) -> String {
    format!("{}_{}", input_of(plan, stage).name(), weights_of(plan, stage).name())
}
