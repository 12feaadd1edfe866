//! What all contexts of one loaded plan share: its stages' blocks and their kernels.

use std::ffi::c_void;
use std::sync::Arc;

use super::driver::Address;
use super::memory::DeviceMemory;
use super::opened::{Function, Opened};
use super::shape::{self, FEW_ROWS_MAX, Shape};
use super::special::Fixed;
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
    /// What stays on the device for batches of few rows, where that was asked for and can be.
    pub(super) persistent: Option<Persistent>,
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

/// The kernel that stays on the device, and whether its stage is on chip.
#[derive(Debug)]
pub(super) struct Persistent {
    pub(super) kernel: Kernel,
    pub(super) is_on_chip: bool,
}

/// The arguments that every kernel takes, by the names that most of them have for them.
#[derive(Debug)]
pub(super) struct Arguments {
    pub(super) rows: Address,
    pub(super) stage: Address,
    pub(super) scores: Address,
    pub(super) count: u32,
    pub(super) done: Address,
    pub(super) number: u32,
}

impl Arguments {
    /// Where each of them lies, as a launch is told.
    pub(super) fn list(&mut self) -> [*mut c_void; 6] {
        [
            (&raw mut self.rows).cast(),
            (&raw mut self.stage).cast(),
            (&raw mut self.scores).cast(),
            (&raw mut self.count).cast(),
            (&raw mut self.done).cast(),
            (&raw mut self.number).cast(),
        ]
    }
}

/// A kernel, ready to be launched.
#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) function: Function,
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
        let mut persistent = None;
        for stage in plan.stages() {
            let layout = Layout::new(&plan, stage);
            let start = end.next_multiple_of(STAGE_ALIGN);
            end = start + layout.bytes;
            let (any, room) = any_kernel(&opened, &plan, stage, &layout)?;
            let fixed = layout.fixed(&plan, stage, room);
            let few = Kernel::new(&opened, shape::few(&plan, stage), fixed.as_ref())?;
            persistent = Persistent::new(&opened, &plan, stage, layout.bytes, fixed.as_ref())?;
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
        Ok(Program { opened, plan, launches, persistent, _blocks: blocks })
    }

    /// The kernels of each stage, and where they are from.
    pub(super) fn kernels(&self) -> Vec<String> {
        let named = |kernel: &Kernel| {
            format!("{} ({})", kernel.shape.name, self.opened.origin(&kernel.function))
        };
        let of_few = |launch: &Launch| {
            let stays = self.persistent.as_ref().map(|it| format!("{}, stays", named(&it.kernel)));
            let few = (launch.few.shape != launch.any.shape).then(|| named(&launch.few));
            stays.or(few).map(|it| format!("; up to {FEW_ROWS_MAX} rows {it}"))
        };
        let stage = |it: &Launch| named(&it.any) + &of_few(it).unwrap_or_default();
        self.launches.iter().map(stage).collect()
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

impl Persistent {
    /// The kernel for a stage; `None` where none may stay, or none can run the plan.
    fn new(
        opened: &Opened,
        plan: &Plan,
        stage: &Stage,
        stage_bytes: usize,
        fixed: Option<&Fixed>,
    ) -> Result<Option<Persistent>, BackendError> {
        if opened.timed || !opened.gpu.may_stay() {
            return Ok(None);
        }
        let shaped = shape::persistent(plan, stage, stage_bytes, opened.found.shared_max);
        let Some((shape, is_on_chip)) = shaped else {
            tracing::info!(stages = plan.stages().len(), "no kernel stays for this model");
            return Ok(None);
        };
        let kernel = Kernel::new(opened, shape, fixed)?;
        Ok(Some(Persistent { kernel, is_on_chip }))
    }
}

impl Kernel {
    /// A kernel for a stage: made for it, where that can be, else the one that runs any.
    fn new(opened: &Opened, shape: Shape, fixed: Option<&Fixed>) -> Result<Kernel, BackendError> {
        let refuse = |message: &str| BackendError::Compile {
            device: opened.gpu.name().to_owned(),
            kernel: shape.name.clone(),
            message: message.to_owned(),
        };
        if !shape.is_launchable() {
            return Err(refuse("a layer has more outputs than a grid has blocks for"));
        }
        let special = fixed.map(|fixed| opened.special(&shape.name, shape.threads, fixed));
        let function = match special.transpose()?.flatten() {
            Some(function) => function,
            None => opened.function(&shape.name)?,
        };
        if shape.shared > function.shared_max {
            return Err(refuse("a block needs more shared memory than the device has"));
        }
        let live = opened.gpu.enter()?;
        let at_once = live.occupancy(function.handle, shape.threads, shape.shared)?;
        if at_once == 0 {
            return Err(refuse("not a single block fits a multiprocessor"));
        }
        let (all, some_stay) = (opened.found.multiprocessors, opened.gpu.may_stay());
        let blocks = at_once * shape::multiprocessors(all, some_stay);
        Ok(Kernel { function, shape, blocks })
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
    layout: &Layout,
) -> Result<(Kernel, Option<Room>), BackendError> {
    if !opened.is_new() {
        let fixed = layout.fixed(plan, stage, None);
        return Ok((Kernel::new(opened, shape::any_old(plan, stage), fixed.as_ref())?, None));
    }
    // Held until the kernel is there, which may be this one.
    let shipped = shape::fused_name(plan, stage).map(|name| opened.function(&name)).transpose()?;
    let shared_max = shipped.as_ref().map_or(opened.found.shared_max, |it| it.shared_max);
    let shaped = shape::any(plan, stage, layout.bytes, shared_max);
    let (shape, room) = shaped.ok_or_else(|| BackendError::Compile {
        device: opened.gpu.name().to_owned(),
        kernel: stage.kind.name().to_owned(),
        message: String::from("the stage takes more shared memory than the device has"),
    })?;
    let fixed = layout.fixed(plan, stage, room);
    Ok((Kernel::new(opened, shape, fixed.as_ref())?, room))
}
