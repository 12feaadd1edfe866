//! What all contexts of one loaded plan share: pipelines and parameters.

use std::sync::Arc;

use super::gpu::{Gpu, leave};
use super::kernel::{FEW_ROWS_MAX, Shape};
use super::shader;
use crate::backend::BackendError;
use crate::plan::{InputType, Plan};

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

impl Program {
    /// Uploads a plan's parameters and compiles its stages.
    pub(super) fn new(gpu: Arc<Gpu>, plan: Arc<Plan>) -> Result<Program, BackendError> {
        let usage = wgpu::BufferUsages::STORAGE;
        let parameters = gpu.filled_buffer("parameters", usage, plan.parameters())?;
        let layout = gpu.scoped(bind_group_layout)?;
        let launches = (0..plan.stages().len()).map(|stage| launch(&gpu, &plan, &layout, stage));
        let launches = launches.collect::<Result<Vec<_>, _>>()?;
        Ok(Program { gpu, plan, layout, parameters, launches })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.gpu.is_anothers() {
            leave((self.layout.clone(), self.parameters.clone(), self.launches.clone()));
        }
    }
}

/// One stage, compiled.
#[derive(Clone, Debug)]
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
#[derive(Clone, Debug)]
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
