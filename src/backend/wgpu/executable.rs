//! A plan loaded on an adapter: pipelines, parameters, and the contexts that wait for work.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::queue::ArrayQueue;

use super::context::WgpuContext;
use super::gpu::Gpu;
use super::kernel::{FEW_ROWS_MAX, Shape};
use super::shader;
use crate::backend::sealed::Sealed;
use crate::backend::{BackendError, Executable, ExecutionContext, Rows};
use crate::plan::{InputType, Plan};

/// Contexts kept for the next [`Executable::run`]; more callers at once than this make new ones.
const IDLE_MAX: usize = 8;
/// A driver that has not answered by then has hung.
const RUN_LIMIT: Duration = Duration::from_secs(600);
/// Workgroups in one dimension of a grid on every device.
const GRID_MAX: usize = 65_535;

/// What all contexts of one loaded plan share.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) gpu: Arc<Gpu>,
    pub(super) plan: Arc<Plan>,
    pub(super) layout: wgpu::BindGroupLayout,
    pub(super) parameters: wgpu::Buffer,
    pub(super) launches: Vec<Launch>,
}

/// One stage, compiled.
#[derive(Debug)]
pub(super) struct Launch {
    /// The shader's layer table.
    pub(super) layers: wgpu::Buffer,
    /// Values from a row it writes to the next.
    pub(super) output_stride: usize,
    /// For batches of any size.
    any: Compiled,
    /// For batches of at most [`FEW_ROWS_MAX`] rows, where that is another kernel.
    few: Option<Compiled>,
}

/// A kernel, ready to run.
#[derive(Debug)]
struct Compiled {
    pipeline: wgpu::ComputePipeline,
    shape: Shape,
}

impl Launch {
    /// What runs `rows` rows: the pipeline, and the grid that covers them, folded where one
    /// dimension does not suffice.
    pub(super) fn covering(&self, rows: usize) -> (&wgpu::ComputePipeline, [u32; 3]) {
        let few = self.few.as_ref().filter(|_| rows <= FEW_ROWS_MAX);
        let compiled = few.unwrap_or(&self.any);
        let workgroups = compiled.shape.workgroups(rows);
        let across = workgroups.min(GRID_MAX);
        (&compiled.pipeline, [across as u32, workgroups.div_ceil(across) as u32, 1])
    }
}

#[derive(Debug)]
pub(super) struct WgpuExecutable {
    program: Arc<Program>,
    idle: ArrayQueue<WgpuContext>,
}

impl WgpuExecutable {
    pub(super) fn new(gpu: Arc<Gpu>, plan: Arc<Plan>) -> Result<WgpuExecutable, BackendError> {
        let usage = wgpu::BufferUsages::STORAGE;
        let parameters = gpu.filled_buffer("parameters", usage, plan.parameters())?;
        let layout = gpu.scoped(bind_group_layout)?;
        let launches = (0..plan.stages().len()).map(|stage| launch(&gpu, &plan, &layout, stage));
        let launches = launches.collect::<Result<Vec<_>, _>>()?;
        let program = Program { gpu, plan, layout, parameters, launches };
        Ok(WgpuExecutable { program: Arc::new(program), idle: ArrayQueue::new(IDLE_MAX) })
    }

    fn context(&self) -> Result<WgpuContext, BackendError> {
        self.idle.pop().map_or_else(|| WgpuContext::new(Arc::clone(&self.program)), Ok)
    }

    /// Waits for the batch in `context` and hands its scores over.
    fn collect(
        &self,
        mut context: WgpuContext,
        scores: &mut [f32],
    ) -> Result<WgpuContext, BackendError> {
        context.wait(Instant::now() + RUN_LIMIT)?;
        scores.copy_from_slice(context.scores());
        Ok(context)
    }
}

impl Sealed for WgpuExecutable {}

impl Executable for WgpuExecutable {
    fn plan(&self) -> &Plan {
        &self.program.plan
    }

    /// Batches overlap in two contexts: while one computes, the other's rows are copied.
    fn run(&self, rows: Rows<'_>, scores: &mut [f32]) -> Result<(), BackendError> {
        let plan = &self.program.plan;
        let count = rows.count_for(plan, scores)?;
        self.program.gpu.check()?;
        let mut spare = None;
        let mut in_flight: Option<(WgpuContext, &mut [f32])> = None;
        let batches = scores.chunks_mut(plan.rows_max() * plan.classes()).enumerate();
        for (index, batch_scores) in batches {
            let first = index * plan.rows_max();
            let batch = first..count.min(first + plan.rows_max());
            let mut context = spare.take().map_or_else(|| self.context(), Ok)?;
            context.submit(rows.slice(batch, plan.inputs()))?;
            if let Some((earlier, scores)) = in_flight.replace((context, batch_scores)) {
                spare = Some(self.collect(earlier, scores)?);
            }
        }
        let last = in_flight.map(|(context, scores)| self.collect(context, scores)).transpose()?;
        for context in [last, spare].into_iter().flatten() {
            // A full queue drops the context, which is all there is to do with it.
            let _ = self.idle.push(context);
        }
        Ok(())
    }

    fn create_context(&self) -> Result<Box<dyn ExecutionContext>, BackendError> {
        Ok(Box::new(WgpuContext::new(Arc::clone(&self.program))?))
    }
}

/// The bindings of every shader; see `shaders/batch.wgsl`.
fn bind_group_layout(device: &wgpu::Device) -> wgpu::BindGroupLayout {
    let read = wgpu::BufferBindingType::Storage { read_only: true };
    let uniform = wgpu::BufferBindingType::Uniform;
    let written = wgpu::BufferBindingType::Storage { read_only: false };
    let types = [uniform, uniform, read, read, read, written];
    let entries: Vec<wgpu::BindGroupLayoutEntry> = (0..)
        .zip(types)
        .map(|(binding, ty)| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        })
        .collect();
    let label = Some("launch");
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries })
}

fn launch(
    gpu: &Gpu,
    plan: &Plan,
    layout: &wgpu::BindGroupLayout,
    index: usize,
) -> Result<Launch, BackendError> {
    let stage = &plan.stages()[index];
    let input = if index == 0 { plan.input() } else { InputType::F32 };
    let output_stride = output_stride(plan, index);
    let compile = |shape: Shape| {
        let source = shader::source(plan, stage, &shape, input, output_stride);
        compile(gpu, layout, shape, source)
    };
    let table = shader::layer_table(plan, stage);
    Ok(Launch {
        layers: gpu.filled_buffer("layers", wgpu::BufferUsages::UNIFORM, &table)?,
        output_stride,
        any: compile(Shape::of(plan, stage))?,
        few: Shape::of_few_rows(plan, stage).map(compile).transpose()?,
    })
}

/// Between stages rows are padded to whole quads; scores are not padded.
fn output_stride(plan: &Plan, stage: usize) -> usize {
    let last = stage + 1 == plan.stages().len();
    match plan.layers_of(&plan.stages()[stage]).last() {
        Some(layer) if !last => layer.outputs_padded,
        _ => plan.classes(),
    }
}

fn compile(
    gpu: &Gpu,
    layout: &wgpu::BindGroupLayout,
    shape: Shape,
    source: String,
) -> Result<Compiled, BackendError> {
    let kernel = shape.kernel.name();
    match gpu.scoped(|device| pipeline(device, layout, kernel, source)) {
        Ok(pipeline) => Ok(Compiled { pipeline, shape }),
        Err(BackendError::Device { device, message }) => {
            Err(BackendError::Compile { device, kernel: kernel.to_owned(), message })
        }
        Err(other) => Err(other),
    }
}

fn pipeline(
    device: &wgpu::Device,
    layout: &wgpu::BindGroupLayout,
    kernel: &str,
    source: String,
) -> wgpu::ComputePipeline {
    let label = Some(kernel);
    let source = wgpu::ShaderSource::Wgsl(source.into());
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label, source });
    let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label,
        bind_group_layouts: &[Some(layout)],
        immediate_size: 0,
    });
    device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label,
        layout: Some(&layout),
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions {
            // Every shader writes what it then reads.
            zero_initialize_workgroup_memory: false,
            ..wgpu::PipelineCompilationOptions::default()
        },
        cache: None,
    })
}
