//! What all contexts of one loaded plan share: its stages' blocks and their kernels.

use std::sync::Arc;

use super::driver::{Address, Handle};
use super::memory::DeviceMemory;
use super::opened::Opened;
use super::shape::{self, FEW_ROWS_MAX, Shape};
use super::stage::{self, Layout, Room};
use crate::backend::BackendError;
use crate::plan::{Plan, Stage, StageKind};

/// What a stage's block begins on.
const STAGE_ALIGN: usize = 256;

/// A plan on a device.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) opened: Arc<Opened>,
    pub(super) plan: Arc<Plan>,
    pub(super) launches: Vec<Launch>,
    /// The stages' blocks, which the launches point into.
    _blocks: DeviceMemory,
}

/// One stage.
#[derive(Debug)]
pub(super) struct Launch {
    /// Where its block lies.
    pub(super) stage: Address,
    /// Values of a row that it writes.
    pub(super) width: usize,
    /// Whether its kernel for few rows says so once it is done with a block.
    pub(super) reports: bool,
    /// For batches of any size.
    any: Kernel,
    /// For batches of at most [`FEW_ROWS_MAX`] rows.
    few: Kernel,
}

/// A kernel, ready to be launched.
#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) function: Handle,
    pub(super) shape: Shape,
    /// The most blocks of it that run at once, where it stays.
    blocks: usize,
}

/// A stage before it is on the device: its block, and what runs it.
struct Planned {
    layout: Layout,
    start: usize,
    room: Option<Room>,
    any: Kernel,
    few: Kernel,
}

impl Program {
    /// Lays a plan out, uploads it, and finds its kernels.
    pub(super) fn new(opened: Arc<Opened>, plan: Arc<Plan>) -> Result<Program, BackendError> {
        let mut end = 0_usize;
        let mut planned = Vec::new();
        for stage in plan.stages() {
            let layout = Layout::new(&plan, stage);
            let start = end.next_multiple_of(STAGE_ALIGN);
            end = start + layout.bytes;
            let (any, room) = any_kernel(&opened, &plan, stage, layout.bytes)?;
            let few = Kernel::new(&opened, shape::few(&plan, stage))?;
            planned.push(Planned { layout, start, room, any, few });
        }
        let mut content = Vec::new();
        if end > u32::MAX as usize || content.try_reserve_exact(end).is_err() {
            let message = format!("no room for {end} bytes of parameters on their way");
            return Err(BackendError::OutOfMemory { device: opened.gpu.name().into(), message });
        }
        content.resize(end, 0_u8);
        for (stage, planned) in plan.stages().iter().zip(&planned) {
            let block = &mut content[planned.start..][..planned.layout.bytes];
            planned.layout.write(&plan, stage, planned.room, block);
        }
        let blocks = DeviceMemory::filled(&opened.gpu, &content)?;
        let stages = plan.stages().iter().zip(planned);
        let launches = stages.map(|(stage, planned)| Launch {
            stage: blocks.start() + planned.start as Address,
            width: stage::width(&plan, stage),
            reports: stage.kind != StageKind::Head,
            any: planned.any,
            few: planned.few,
        });
        let launches = launches.collect();
        Ok(Program { opened, plan, launches, _blocks: blocks })
    }
}

impl Launch {
    /// Whether several blocks of its kernel for few rows read the same rows.
    pub(super) fn is_split(&self) -> bool {
        self.few.shape.columns > 1
    }

    /// The kernel for so many rows.
    pub(super) fn kernel(&self, rows: usize) -> &Kernel {
        if rows <= FEW_ROWS_MAX { &self.few } else { &self.any }
    }
}

impl Kernel {
    fn new(opened: &Opened, shape: Shape) -> Result<Kernel, BackendError> {
        let refuse = |message: &str| BackendError::Compile {
            device: opened.gpu.name().to_owned(),
            kernel: shape.name.clone(),
            message: message.to_owned(),
        };
        if !shape.is_launchable() {
            return Err(refuse("a layer has more outputs than a grid has blocks for"));
        }
        let function = opened.function(&shape.name)?;
        if shape.shared > function.shared_max {
            return Err(refuse("a block needs more shared memory than the device has"));
        }
        let live = opened.gpu.enter()?;
        let at_once = live.occupancy(function.handle, shape.threads, shape.shared)?;
        if at_once == 0 {
            return Err(refuse("not a single block fits a multiprocessor"));
        }
        let blocks = at_once * opened.found.multiprocessors.max(1);
        Ok(Kernel { function: function.handle, shape, blocks })
    }

    /// The grid that covers so many rows.
    pub(super) fn grid(&self, rows: usize) -> [u32; 2] {
        self.shape.grid(rows, self.blocks)
    }
}

/// The kernel of a stage for batches of any size, and the room that it has for its rows.
fn any_kernel(
    opened: &Opened,
    plan: &Plan,
    stage: &Stage,
    stage_bytes: usize,
) -> Result<(Kernel, Option<Room>), BackendError> {
    if !opened.is_new() {
        return Ok((Kernel::new(opened, shape::any_old(plan, stage))?, None));
    }
    let shared_max = match shape::fused_name(plan, stage) {
        Some(name) => opened.function(&name)?.shared_max,
        None => opened.found.shared_max,
    };
    let shaped = shape::any(plan, stage, stage_bytes, shared_max);
    let (shape, room) = shaped.ok_or_else(|| BackendError::Compile {
        device: opened.gpu.name().to_owned(),
        kernel: stage.kind.name().to_owned(),
        message: String::from("the stage takes more shared memory than the device has"),
    })?;
    Ok((Kernel::new(opened, shape)?, room))
}
