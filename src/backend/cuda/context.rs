//! One batch in flight: a stream, pinned memory for its rows and scores, and device buffers, all
//! made when the context is made.
//!
//! A batch of many rows is copied to the device, computed, and its scores copied back, all in one
//! stream; its end is an event, which is polled. A batch of few is not copied at all: the kernels
//! read rows from the host's memory and write scores and [`Reports`] to it; or a [`Resident`] does.
//!
//! Rows in one of the device's host blocks are read where they lie, and the block is held until the
//! batch has completed; all other rows are copied to the context's own pinned memory first. A
//! context that is dropped with a batch in flight waits for it, and gives the device up where it
//! does not end.

#![allow(unsafe_code)]

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::driver::Address;
use super::gpu::Live;
use super::memory::{DeviceMemory, Pinned};
use super::program::{Arguments, Launch, Program};
use super::queue::Queue;
use super::reports::Reports;
use super::resident::Resident;
use super::shape::FEW_ROWS_MAX;
use crate::backend::sealed::Sealed;
use crate::backend::{BackendError, ExecutionContext, Rows};

/// How long a waiting thread looks again and again before it sleeps between looks, and how long.
const SPIN: Duration = Duration::from_micros(50);
const NAP: Duration = Duration::from_micros(20);
/// What a kernel needs rows to begin on.
const ROWS_ALIGN: u64 = 16;

#[derive(Debug)]
pub(super) struct CudaContext {
    /// Dropped before the memory that it uses.
    resident: Option<Resident>,
    program: Arc<Program>,
    queue: Queue,
    /// Rows of the batch on their way to the device, and there.
    input: Pinned,
    rows: DeviceMemory,
    /// Where launches hand rows over, by turns.
    between: Vec<DeviceMemory>,
    /// Scores on the device, and here.
    scores: DeviceMemory,
    output: Pinned,
    reports: Reports,
    /// The host block that the batch is read from.
    reading: Option<Arc<Pinned>>,
    state: State,
    /// How long the device computed the last batch, where it says.
    compute_time: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Idle,
    InFlight { rows: usize, by: Runner },
    Complete { rows: usize },
}

/// Who runs a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runner {
    Launches,
    Resident,
}

impl CudaContext {
    pub(super) fn new(program: Arc<Program>) -> Result<CudaContext, BackendError> {
        let (gpu, plan) = (&program.opened.gpu, &program.plan);
        let rows_bytes = plan.rows_max() * plan.inputs() * plan.input().bytes();
        let scores_bytes = plan.rows_max() * plan.classes() * 4;
        let few = plan.rows_max().min(FEW_ROWS_MAX);
        let reports = program.launches.last().map_or(0, |launch| reports_of(launch, few));
        let output = Pinned::new(gpu, scores_bytes)?;
        Ok(CudaContext {
            resident: Resident::new(&program, output.device())?,
            queue: Queue::new(gpu, program.opened.timed)?,
            input: Pinned::new(gpu, rows_bytes)?,
            rows: DeviceMemory::new(gpu, rows_bytes)?,
            between: between_stages(&program)?,
            scores: DeviceMemory::new(gpu, scores_bytes)?,
            output,
            reports: Reports::new(gpu, reports)?,
            reading: None,
            state: State::Idle,
            compute_time: None,
            program,
        })
    }

    /// Queues all the work of a batch, or hands it to the kernel that stays.
    fn begin(&mut self, pieces: &[Rows<'_>], count: usize) -> Result<Runner, BackendError> {
        let program = Arc::clone(&self.program);
        let live = program.opened.gpu.enter()?;
        if count <= FEW_ROWS_MAX {
            let rows = self.place_few(live, pieces)?;
            if let Some(resident) = &mut self.resident
                && resident.post(live, rows, count)?
            {
                return Ok(Runner::Resident);
            }
            let last = program.launches.last().filter(|_| !self.queue.is_timed());
            let report = self.reports.begin(last.map_or(0, |launch| reports_of(launch, count)));
            self.launch(live, count, rows, self.output.device(), report)?;
        } else {
            let report = self.reports.begin(0);
            self.bring(live, pieces)?;
            self.launch(live, count, self.rows.start(), self.scores.start(), report)?;
            let (to, from) = (self.output.start(), self.scores.start());
            let bytes = count * program.plan.classes() * 4;
            // SAFETY: both hold the scores of `rows_max` rows; `output` is read by nobody while
            // the batch is in flight, and both outlive it.
            unsafe { live.copy_out(to, from, bytes, self.queue.stream())? };
        }
        self.queue.batch_ends(live)?;
        Ok(Runner::Launches)
    }

    /// Where the kernels for few rows read them: in the host's memory, unless many blocks would
    /// read the same rows over the bus.
    fn place_few(&mut self, live: Live<'_>, pieces: &[Rows<'_>]) -> Result<Address, BackendError> {
        if self.program.launches[0].is_split() {
            self.bring(live, pieces)?;
            return Ok(self.rows.start());
        }
        if let [rows] = pieces
            && let Some((block, offset)) = self.held(rows.bytes())
        {
            let rows = block.device() + offset as Address;
            if rows.is_multiple_of(ROWS_ALIGN) {
                return Ok(rows);
            }
        }
        let mut at = 0;
        for piece in pieces {
            at = self.stage(at, piece.bytes());
        }
        Ok(self.input.device())
    }

    /// Has rows copied to the device: from their block, or from where they are staged.
    fn bring(&mut self, live: Live<'_>, pieces: &[Rows<'_>]) -> Result<(), BackendError> {
        let mut staged = 0..0;
        for piece in pieces {
            let bytes = piece.bytes();
            let Some((block, offset)) = self.held(bytes) else {
                staged.end = self.stage(staged.end, bytes);
                continue;
            };
            // SAFETY: the bytes lie in the block from there on.
            let from = unsafe { block.start().add(offset) };
            let (to, end) = (self.rows.start() + staged.end as Address, staged.end + bytes.len());
            self.send(live, staged)?;
            // SAFETY: there is room for `rows_max` rows; the block is pinned and held until the
            // batch has completed.
            unsafe { live.copy_in(to, from, bytes.len(), self.queue.stream())? };
            staged = end..end;
        }
        self.send(live, staged)
    }

    /// Copies bytes to a place in the own pinned memory; returns where they end.
    fn stage(&mut self, at: usize, bytes: &[u8]) -> usize {
        debug_assert!(at + bytes.len() <= self.input.len());
        // SAFETY: there is room for `rows_max` rows, and no batch in flight reads it.
        unsafe {
            self.input.start().add(at).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
        at + bytes.len()
    }

    /// Has staged bytes copied to their place on the device.
    fn send(&self, live: Live<'_>, staged: Range<usize>) -> Result<(), BackendError> {
        if staged.is_empty() {
            return Ok(());
        }
        let to = self.rows.start() + staged.start as Address;
        // SAFETY: there is room for `rows_max` rows at either place; the own pinned memory is
        // written by nobody while the batch is in flight, and outlives it.
        unsafe {
            let from = self.input.start().add(staged.start);
            live.copy_in(to, from, staged.len(), self.queue.stream())
        }
    }

    /// The host block that rows lie in, held from now on, and where. A batch is read from one block
    /// at most; rows in a second one are copied like any others.
    fn held(&mut self, bytes: &[u8]) -> Option<(&Pinned, usize)> {
        if self.reading.is_none() {
            self.reading = self.program.opened.blocks.holding(bytes);
        }
        let block = self.reading.as_deref()?;
        Some((block, block.offset_of(bytes)?))
    }

    /// Queues every stage's launch; the last one reports, where it does.
    fn launch(
        &self,
        live: Live<'_>,
        count: usize,
        mut rows: Address,
        scores: Address,
        (done, number): (Address, u32),
    ) -> Result<(), BackendError> {
        self.queue.launches_begin(live)?;
        let last = self.program.launches.len() - 1;
        for (index, launch) in self.program.launches.iter().enumerate() {
            let is_last = index == last;
            let to = if is_last { scores } else { self.between[index % 2].start() };
            let done = if is_last { done } else { 0 };
            // A buffer holds less than 2^32 rows.
            let (stage, count_u32) = (launch.stage, count as u32);
            let mut arguments =
                Arguments { rows, stage, scores: to, count: count_u32, done, number };
            let kernel = launch.kernel(count);
            let (grid, shape) = (kernel.grid(count), &kernel.shape);
            let block = (shape.threads, shape.shared as u32);
            let (stream, mut list) = (self.queue.stream(), arguments.list());
            // SAFETY: every kernel takes these arguments; each buffer holds what is read and
            // written of `rows_max` rows, and is this context's alone.
            unsafe { live.launch(kernel.function.handle, grid, block, stream, &mut list)? };
            rows = to;
        }
        self.queue.launches_end(live)
    }

    /// Looks once, and publishes the scores if they are there.
    fn advance(&mut self) -> Result<bool, BackendError> {
        self.program.opened.gpu.check()?;
        let (rows, by) = match self.state {
            State::Idle => return Err(BackendError::Idle),
            State::Complete { .. } => return Ok(true),
            State::InFlight { rows, by } => (rows, by),
        };
        let is_done = match (&mut self.resident, by) {
            (Some(resident), Runner::Resident) => resident.has_answered()?,
            _ => self.has_ended()?,
        };
        if is_done {
            self.reading = None;
            self.state = State::Complete { rows };
        }
        Ok(is_done)
    }

    /// Whether all that was queued is done.
    fn has_ended(&mut self) -> Result<bool, BackendError> {
        if self.reports.are_in() {
            return Ok(true);
        }
        if !self.reports.is_time_to_ask() {
            return Ok(false);
        }
        let live = self.program.opened.gpu.enter()?;
        if !self.queue.is_done(live)? {
            return Ok(false);
        }
        self.compute_time = self.queue.compute_time(live)?;
        Ok(true)
    }

    /// Waits until nothing that was queued reads or writes memory any more; where that does not
    /// come true, the device is given up, and the memory left behind.
    fn settle(&mut self) {
        if let Some(resident) = &mut self.resident {
            resident.dismiss();
        }
        if let Ok(live) = self.program.opened.gpu.enter() {
            match self.queue.batch_ends(live) {
                Ok(()) => self.queue.settle(),
                Err(error) => drop(self.program.opened.gpu.lose(error.to_string())),
            }
        }
        self.reading = None;
    }
}

impl Sealed for CudaContext {}

impl ExecutionContext for CudaContext {
    fn submit_pieces(&mut self, pieces: &[Rows<'_>]) -> Result<(), BackendError> {
        let count = Rows::count_batch(pieces, &self.program.plan)?;
        self.program.opened.gpu.check()?;
        if matches!(self.state, State::InFlight { .. }) {
            return Err(BackendError::Busy);
        }
        (self.state, self.compute_time) = (State::Idle, None);
        let by = self.begin(pieces, count).inspect_err(|_| self.settle())?;
        self.state = State::InFlight { rows: count, by };
        Ok(())
    }

    fn is_complete(&mut self) -> Result<bool, BackendError> {
        self.advance()
    }

    fn wait(&mut self, deadline: Instant) -> Result<(), BackendError> {
        let begun = Instant::now();
        while !self.advance()? {
            let now = Instant::now();
            if now >= deadline {
                let device = self.program.opened.gpu.name().to_owned();
                return Err(BackendError::Timeout { device });
            }
            if now - begun < SPIN {
                std::hint::spin_loop();
            } else {
                std::thread::sleep(NAP.min(deadline - now));
            }
        }
        Ok(())
    }

    fn scores(&self) -> &[f32] {
        let State::Complete { rows } = self.state else { return &[] };
        let values = rows * self.program.plan.classes();
        // SAFETY: the block begins on a page and holds the scores of `rows_max` rows, all of them
        // written at some time or zero; the batch has completed, so nobody writes them.
        unsafe { std::slice::from_raw_parts(self.output.start().cast::<f32>(), values) }
    }

    fn compute_time(&self) -> Option<Duration> {
        self.compute_time.filter(|_| matches!(self.state, State::Complete { .. }))
    }
}

impl Drop for CudaContext {
    fn drop(&mut self) {
        // Of another process's batch nothing is this one's to end.
        let is_ours = !self.program.opened.gpu.is_anothers();
        if is_ours && matches!(self.state, State::InFlight { .. }) {
            self.settle();
        }
    }
}

/// Blocks of a stage's launch that report for a batch of few rows.
fn reports_of(launch: &Launch, rows: usize) -> usize {
    let [x, y] = launch.kernel(rows).grid(rows);
    if launch.reports { x as usize * y as usize } else { 0 }
}

/// The buffers that launches hand rows over in, by turns; none for a plan of one stage.
fn between_stages(program: &Program) -> Result<Vec<DeviceMemory>, BackendError> {
    let (_, handed_over) = program.launches.split_last().unwrap_or((&program.launches[0], &[]));
    let widest = |turn: usize| handed_over.iter().skip(turn).step_by(2).map(|it| it.width).max();
    let memory =
        |width: usize| DeviceMemory::new(&program.opened.gpu, program.plan.rows_max() * width * 4);
    (0..2).filter_map(widest).map(memory).collect()
}
