//! One batch in flight: staging memory that stays mapped between batches, device buffers, and bind
//! groups, all made when the context is made.
//!
//! A batch travels as one block, a header with its number of rows and then the rows:
//!
//! 1. `submit_pieces` writes the block to `upload`, which is mapped, and unmaps it.
//! 2. The commands copy it to `input`, run the launches, and copy the scores to `readback`, behind
//!    two readings of the device's clock where it is asked for.
//! 3. Mapping of `readback` and `upload` is asked for; both callbacks fire, on whichever thread
//!    polls the device, once the commands have completed, and do nothing but set a flag.
//! 4. `wait` or `is_complete` sees both flags, copies the scores out of `readback`, checks that the
//!    device was not lost meanwhile (what is mapped then would be anything), and publishes them.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use super::gpu::{Gpu, leave};
use super::program::{Launch, Program};
use super::timestamps::{TICKS_BYTES, Timestamps, between};
use crate::backend::sealed::Sealed;
use crate::backend::{BackendError, ExecutionContext, Rows};
use crate::plan::Plan;

/// Bytes before the rows of a batch: room for the header, and the alignment bindings need.
const HEADER_BYTES: usize = 256;
/// How long one poll waits at most, so that a loss seen by another thread is seen here too.
const POLL_LIMIT: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct WgpuContext {
    program: Arc<Program>,
    upload: Staging,
    input: wgpu::Buffer,
    output: wgpu::Buffer,
    readback: Staging,
    /// One for each launch.
    bind_groups: Vec<wgpu::BindGroup>,
    timestamps: Option<Timestamps>,
    state: State,
    /// The scores of the last batch, where it is complete.
    scores: Vec<f32>,
    /// How long the device computed them, where it says.
    compute_time: Option<Duration>,
}

#[derive(Debug)]
enum State {
    Idle,
    InFlight { rows: usize, submission: wgpu::SubmissionIndex },
    Complete,
}

/// A buffer the host can map, and whether it is.
#[derive(Debug)]
struct Staging {
    buffer: wgpu::Buffer,
    /// Written by the mapping callback, and by the owner before it asks for a mapping.
    mapping: Arc<AtomicU8>,
}

/// Asked for and not there yet.
const PENDING: u8 = 0;
/// The host may read or write the buffer.
const MAPPED: u8 = 1;
/// The device refused, which it does only when it is lost.
const REFUSED: u8 = 2;

impl Staging {
    fn new(
        device: &wgpu::Device,
        bytes: usize,
        usage: wgpu::BufferUsages,
        mapped: bool,
    ) -> Staging {
        let buffer = buffer(device, "staging", bytes, usage, mapped);
        let mapping = Arc::new(AtomicU8::new(if mapped { MAPPED } else { PENDING }));
        Staging { buffer, mapping }
    }

    fn map(&self, mode: wgpu::MapMode, bytes: usize) {
        self.mapping.store(PENDING, Ordering::Relaxed);
        let mapping = Arc::clone(&self.mapping);
        self.buffer.map_async(mode, ..bytes as u64, move |result| {
            // Release: what the device wrote is there for whoever sees the flag.
            mapping.store(if result.is_ok() { MAPPED } else { REFUSED }, Ordering::Release);
        });
    }

    fn is_mapped(&self, gpu: &Gpu) -> Result<bool, BackendError> {
        match self.mapping.load(Ordering::Acquire) {
            PENDING => Ok(false),
            MAPPED => Ok(true),
            _ => Err(gpu.lose(String::from("staging memory could not be mapped"))),
        }
    }
}

impl WgpuContext {
    pub(super) fn new(program: Arc<Program>) -> Result<WgpuContext, BackendError> {
        let rows_max = program.plan.rows_max();
        let input_bytes = HEADER_BYTES + rows_max * row_stride_bytes(&program.plan);
        let scores_bytes = rows_max * program.plan.classes() * 4;
        let gpu = Arc::clone(&program.gpu);
        let mut scores = Vec::new();
        scores.try_reserve_exact(scores_bytes / 4).map_err(|_| BackendError::OutOfMemory {
            device: gpu.name().to_owned(),
            message: String::from("no room for a batch of scores; plan with a smaller rows_max"),
        })?;
        gpu.scoped(|device| {
            use wgpu::BufferUsages as Usage;
            let rows = Usage::STORAGE | Usage::UNIFORM | Usage::COPY_DST;
            let input = buffer(device, "input", input_bytes, rows, false);
            let computed = Usage::STORAGE | Usage::COPY_SRC;
            let output = buffer(device, "output", scores_bytes, computed, false);
            let written = Usage::MAP_WRITE | Usage::COPY_SRC;
            let read = Usage::MAP_READ | Usage::COPY_DST;
            WgpuContext {
                bind_groups: bind_groups(device, &program, &input, &output),
                upload: Staging::new(device, input_bytes, written, true),
                readback: Staging::new(device, TICKS_BYTES + scores_bytes, read, false),
                input,
                output,
                timestamps: gpu.tick_ns().map(|_| Timestamps::new(device)),
                compute_time: None,
                state: State::Idle,
                scores,
                program,
            }
        })
    }

    /// Writes header and rows, piece behind piece, to the mapped staging memory and hands it to the
    /// device.
    fn stage(&self, pieces: &[Rows<'_>], count: usize) -> Result<usize, wgpu::MapRangeError> {
        let plan = &self.program.plan;
        let row_bytes = plan.inputs() * plan.input().bytes();
        let stride = row_stride_bytes(plan);
        let bytes = HEADER_BYTES + count * stride;
        let mut block = self.upload.buffer.get_mapped_range_mut(..bytes as u64)?;
        block.slice(..4).copy_from_slice(&(count as u32).to_le_bytes());
        let mut start = HEADER_BYTES;
        for piece in pieces {
            // What lies between rows was zero when the buffer was made and is never written.
            let unbroken = if row_bytes == stride { piece.bytes().len() } else { row_bytes };
            for rows in piece.bytes().chunks_exact(unbroken) {
                block.slice(start..start + unbroken).copy_from_slice(rows);
                start += unbroken.next_multiple_of(stride);
            }
        }
        drop(block);
        self.upload.buffer.unmap();
        Ok(bytes)
    }

    /// The commands of one batch.
    fn commands(&self, device: &wgpu::Device, count: usize, bytes: usize) -> wgpu::CommandBuffer {
        let label = Some("batch");
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label });
        encoder.copy_buffer_to_buffer(&self.upload.buffer, 0, &self.input, 0, bytes as u64);
        {
            let timestamp_writes = self.timestamps.as_ref().map(Timestamps::writes);
            let descriptor = wgpu::ComputePassDescriptor { label, timestamp_writes };
            let mut pass = encoder.begin_compute_pass(&descriptor);
            for (launch, bind_group) in self.program.launches.iter().zip(&self.bind_groups) {
                let (pipeline, [x, y, z]) = launch.covering(count);
                pass.set_pipeline(pipeline);
                pass.set_bind_group(0, bind_group, &[]);
                pass.dispatch_workgroups(x, y, z);
            }
        }
        let readback = &self.readback.buffer;
        let bytes = (count * self.program.plan.classes() * 4) as u64;
        encoder.copy_buffer_to_buffer(&self.output, 0, readback, TICKS_BYTES as u64, bytes);
        if let Some(timestamps) = &self.timestamps {
            timestamps.copy(&mut encoder, readback);
        }
        encoder.finish()
    }

    fn launch(
        &self,
        pieces: &[Rows<'_>],
        count: usize,
    ) -> Result<wgpu::SubmissionIndex, BackendError> {
        let gpu = &self.program.gpu;
        let submission = gpu.guarded(|device, queue| {
            let bytes = self.stage(pieces, count)?;
            let submission = queue.submit([self.commands(device, count, bytes)]);
            let scores_bytes = count * self.program.plan.classes() * 4;
            self.readback.map(wgpu::MapMode::Read, TICKS_BYTES + scores_bytes);
            self.upload.map(wgpu::MapMode::Write, self.upload.buffer.size() as usize);
            Ok(submission)
        })?;
        submission.map_err(|error: wgpu::MapRangeError| gpu.lose(error.to_string()))
    }

    /// Polls once, for at most `timeout`, and publishes the scores if they are there.
    fn advance(&mut self, timeout: Option<Duration>) -> Result<bool, BackendError> {
        let gpu = &self.program.gpu;
        let (rows, submission) = match &self.state {
            State::Idle => return gpu.check().and(Err(BackendError::Idle)),
            State::Complete => return gpu.check().map(|()| true),
            State::InFlight { rows, submission } => (*rows, submission),
        };
        gpu.poll(submission, timeout)?;
        if !(self.readback.is_mapped(gpu)? && self.upload.is_mapped(gpu)?) {
            return Ok(false);
        }
        let values = rows * self.program.plan.classes();
        let (readback, scores) = (&self.readback.buffer, &mut self.scores);
        let read = gpu.guarded(|_, _| {
            let view = readback.get_mapped_range(..(TICKS_BYTES + values * 4) as u64)?;
            let (ticks, bytes) = view.split_at(TICKS_BYTES);
            scores.resize(values, 0.0);
            bytemuck::cast_slice_mut(scores).copy_from_slice(bytes);
            let compute_time = gpu.tick_ns().and_then(|tick_ns| between(ticks, tick_ns));
            drop(view);
            readback.unmap();
            Ok(compute_time)
        })?;
        self.compute_time =
            read.map_err(|error: wgpu::MapRangeError| gpu.lose(error.to_string()))?;
        self.state = State::Complete;
        Ok(true)
    }
}

impl Sealed for WgpuContext {}

impl ExecutionContext for WgpuContext {
    fn submit_pieces(&mut self, pieces: &[Rows<'_>]) -> Result<(), BackendError> {
        let count = Rows::count_batch(pieces, &self.program.plan)?;
        self.program.gpu.check()?;
        if matches!(self.state, State::InFlight { .. }) {
            return Err(BackendError::Busy);
        }
        self.scores.clear();
        self.state = State::Idle;
        let submission = self.launch(pieces, count)?;
        self.state = State::InFlight { rows: count, submission };
        Ok(())
    }

    fn is_complete(&mut self) -> Result<bool, BackendError> {
        self.advance(None)
    }

    fn wait(&mut self, deadline: Instant) -> Result<(), BackendError> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.advance(Some(left.min(POLL_LIMIT)))? {
                return Ok(());
            }
            if left.is_zero() {
                return Err(BackendError::Timeout { device: self.program.gpu.name().to_owned() });
            }
            // The commands may have completed while another thread is about to fire the callbacks.
            std::thread::yield_now();
        }
    }

    fn scores(&self) -> &[f32] {
        match self.state {
            State::Complete => &self.scores,
            State::Idle | State::InFlight { .. } => &[],
        }
    }

    fn compute_time(&self) -> Option<Duration> {
        self.compute_time.filter(|_| matches!(self.state, State::Complete))
    }
}

fn buffer(
    device: &wgpu::Device,
    label: &str,
    bytes: usize,
    usage: wgpu::BufferUsages,
    mapped_at_creation: bool,
) -> wgpu::Buffer {
    let (label, size) = (Some(label), bytes as u64);
    device.create_buffer(&wgpu::BufferDescriptor { label, size, usage, mapped_at_creation })
}

impl Drop for WgpuContext {
    fn drop(&mut self) {
        if self.program.gpu.is_anothers() {
            leave((self.upload.buffer.clone(), self.readback.buffer.clone()));
            leave((self.input.clone(), self.output.clone()));
            leave((self.bind_groups.clone(), self.timestamps.clone()));
        }
    }
}

/// Bytes from a row of the input to the next: whole quads.
fn row_stride_bytes(plan: &Plan) -> usize {
    plan.inputs().next_multiple_of(4) * plan.input().bytes()
}

/// A bind group for each launch; what one writes, the next reads.
fn bind_groups(
    device: &wgpu::Device,
    program: &Program,
    input: &wgpu::Buffer,
    output: &wgpu::Buffer,
) -> Vec<wgpu::BindGroup> {
    let between = between_stages(device, program);
    let last = program.launches.len() - 1;
    let rows = wgpu::BindingResource::Buffer(wgpu::BufferBinding {
        buffer: input,
        offset: HEADER_BYTES as u64,
        size: None,
    });
    let header = wgpu::BindingResource::Buffer(wgpu::BufferBinding {
        buffer: input,
        offset: 0,
        size: NonZeroU64::new(16),
    });
    let group = |(index, launch): (usize, &Launch)| {
        let read = match index {
            0 => rows.clone(),
            _ => between[(index - 1) % 2].as_entire_binding(),
        };
        let written = if index == last { output } else { &between[index % 2] };
        let resources = [
            header.clone(),
            launch.layers.as_entire_binding(),
            read,
            program.parameters.as_entire_binding(),
            program.parameters.as_entire_binding(),
            written.as_entire_binding(),
        ];
        let entries = (0..).zip(resources);
        let entries: Vec<wgpu::BindGroupEntry<'_>> =
            entries.map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource }).collect();
        device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("launch"),
            layout: &program.layout,
            entries: &entries,
        })
    };
    program.launches.iter().enumerate().map(group).collect()
}

/// The buffers that launches hand rows over in, by turns; none for a plan of one stage.
fn between_stages(device: &wgpu::Device, program: &Program) -> Vec<wgpu::Buffer> {
    let widths: Vec<usize> = program.launches.iter().map(|launch| launch.output_stride).collect();
    let handed_over = &widths[..widths.len() - 1];
    let widest = |turn: usize| handed_over.iter().skip(turn).step_by(2).copied().max();
    let bytes = |width: usize| program.plan.rows_max() * width * 4;
    let usage = wgpu::BufferUsages::STORAGE;
    (0..2)
        .filter_map(widest)
        .map(|width| buffer(device, "between stages", bytes(width), usage, false))
        .collect()
}
