//! A plan with its weights expanded and its working memory pooled: what an executable and its
//! contexts share.

#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::sync::Arc;

use super::int8::{Int8Layer, Int8Program};
use super::kernels::Kernels;
use super::layer::Layer;
use super::memory::{LINE, Pool};
use super::mode::KernelMode;
use super::program::Program;
use crate::backend::{BackendError, Rows};
use crate::plan::{Plan, Precision};

/// Values of working memory that a call takes from its stack: enough for some rows of a small
/// network, so that the smallest batches do not even visit the pool.
const STACK_MAX: usize = 4096;

#[repr(align(64))]
struct StackBlock([MaybeUninit<f32>; STACK_MAX]);

const _: () = assert!(align_of::<StackBlock>() == LINE * size_of::<f32>());

/// A loaded plan.
#[derive(Debug)]
pub(super) struct Loaded {
    plan: Arc<Plan>,
    device: String,
    steps: Steps,
    pool: Pool,
}

/// What a plan's rows go through.
#[derive(Debug)]
enum Steps {
    Floats(Program),
    Int8(Int8Program),
}

impl Steps {
    /// `None` where memory runs out. Not inlined: see [`KernelMode`].
    #[inline(never)]
    fn new(plan: &Plan, kernels: Kernels) -> Option<Steps> {
        if plan.precision() == Precision::Int8 {
            let layers = plan.layers().iter().map(|layer| Int8Layer::new(plan, layer, &kernels));
            return Some(Steps::Int8(Int8Program::new(
                plan,
                layers.collect::<Option<_>>()?,
                kernels,
            )));
        }
        let layers = plan.layers().iter().map(|layer| Layer::new(plan, layer, &kernels));
        Some(Steps::Floats(Program::new(plan, layers.collect::<Option<_>>()?, kernels)))
    }

    /// The most rows of one [`run`](Steps::run) with working memory that is not to grow.
    fn block_rows(&self) -> usize {
        match self {
            Steps::Floats(program) => program.block_rows(),
            Steps::Int8(program) => program.block_rows(),
        }
    }

    /// Values of working memory that so many rows take.
    fn memory(&self, rows: usize) -> usize {
        match self {
            Steps::Floats(program) => program.memory(rows),
            Steps::Int8(program) => program.memory(rows),
        }
    }

    /// Runs `count` rows of the planned type and width, at least one, into as many rows of scores.
    /// Not inlined: see [`KernelMode`].
    ///
    /// # Safety
    /// `memory` has room for [`memory(count)`](Steps::memory) values, and nobody else uses it.
    #[inline(never)]
    unsafe fn run(&self, rows: Rows<'_>, count: usize, scores: &mut [f32], memory: *mut f32) {
        // SAFETY: the caller's promise, passed on.
        unsafe {
            match self {
                Steps::Floats(program) => program.run(rows, count, scores, memory),
                Steps::Int8(program) => program.run(rows, count, scores, memory),
            }
        }
    }
}

impl Loaded {
    /// Expands the plan's weights and lays its working memory out.
    pub(super) fn new(
        plan: Arc<Plan>,
        kernels: Kernels,
        device: &str,
    ) -> Result<Loaded, BackendError> {
        let mode = KernelMode::enter();
        let steps = Steps::new(&plan, kernels);
        drop(mode);
        let steps = steps.ok_or_else(|| out_of_memory(device, "the expanded weights"))?;
        let pool = Pool::new(steps.memory(steps.block_rows()));
        let device = device.to_owned();
        Ok(Loaded { plan, device, steps, pool })
    }

    /// The plan.
    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Runs any number of rows; see [`Executable::run`](crate::backend::Executable::run).
    pub(super) fn run(&self, rows: Rows<'_>, scores: &mut [f32]) -> Result<(), BackendError> {
        match rows.count_for(&self.plan, scores)? {
            0 => Ok(()),
            count => self.run_counted(rows, count, scores),
        }
    }

    /// The error of an allocation that failed.
    pub(super) fn out_of_memory(&self, what: &str) -> BackendError {
        out_of_memory(&self.device, what)
    }

    /// Runs rows that were counted, block by block.
    fn run_counted(
        &self,
        rows: Rows<'_>,
        count: usize,
        scores: &mut [f32],
    ) -> Result<(), BackendError> {
        let (inputs, classes) = (self.plan.inputs(), self.plan.classes());
        debug_assert_eq!((rows.values(), scores.len()), (count * inputs, count * classes));
        let _mode = KernelMode::enter();
        if self.steps.memory(count) <= STACK_MAX {
            let mut block = StackBlock([MaybeUninit::uninit(); STACK_MAX]);
            // SAFETY: the block holds what the program asks for so many rows; lengths as above.
            unsafe { self.steps.run(rows, count, scores, block.0.as_mut_ptr().cast()) };
            return Ok(());
        }
        let Some(mut block) = self.pool.take() else {
            return Err(self.out_of_memory("working memory"));
        };
        let memory = block.values_mut().as_mut_ptr();
        let step = self.steps.block_rows();
        for start in (0..count).step_by(step) {
            let end = count.min(start + step);
            let rows = rows.slice(start..end, inputs);
            let scores = &mut scores[start * classes..end * classes];
            // SAFETY: pooled blocks hold what the program asks for `block_rows` rows.
            unsafe { self.steps.run(rows, end - start, scores, memory) };
        }
        self.pool.give_back(block);
        Ok(())
    }
}

fn out_of_memory(device: &str, what: &str) -> BackendError {
    BackendError::OutOfMemory {
        device: device.to_owned(),
        message: format!("no room for {what}; plan a smaller model"),
    }
}
