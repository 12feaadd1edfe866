//! A device that computes nothing: what a batch takes on it is what handing it over takes.
//!
//! Score `c` of a row is the row's value `c`, a byte or a half as the number it is; 0 where the row
//! has no such value. Batches complete while they are submitted, and nothing is allocated for one.

use std::sync::Arc;
use std::time::Instant;

use super::sealed::Sealed;
use super::{BackendError, BackendKind, Device, DeviceInfo, Executable, ExecutionContext, Rows};
use crate::plan::{Limits, Peak, Plan};

/// The device that computes nothing.
#[derive(Clone, Debug)]
pub struct NullDevice {
    info: DeviceInfo,
    limits: Limits,
}

impl NullDevice {
    /// A device that takes any plan for these limits.
    pub fn new(limits: Limits) -> NullDevice {
        let info = DeviceInfo {
            backend: BackendKind::Cpu,
            name: String::from("null"),
            detail: String::from("computes nothing"),
            software: true,
            pci: None,
        };
        NullDevice { info, limits }
    }
}

impl Sealed for NullDevice {}

impl Device for NullDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn peak(&self, _working_set_bytes: u64) -> Option<Peak> {
        None
    }

    fn computes_in_call(&self) -> bool {
        true
    }

    fn load(&self, plan: Arc<Plan>) -> Result<Arc<dyn Executable>, BackendError> {
        if *plan.limits() != self.limits {
            return Err(BackendError::WrongPlan);
        }
        Ok(Arc::new(NullExecutable { device: self.clone(), plan }))
    }
}

#[derive(Debug)]
struct NullExecutable {
    device: NullDevice,
    plan: Arc<Plan>,
}

impl Sealed for NullExecutable {}

impl Executable for NullExecutable {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn device(&self) -> &dyn Device {
        &self.device
    }

    fn run(&self, rows: Rows<'_>, scores: &mut [f32]) -> Result<(), BackendError> {
        rows.count_for(&self.plan, scores)?;
        copy(&self.plan, rows, scores);
        Ok(())
    }

    fn create_context(&self) -> Result<Box<dyn ExecutionContext>, BackendError> {
        let plan = Arc::clone(&self.plan);
        let mut scores = Vec::new();
        let len = plan.rows_max().saturating_mul(plan.classes());
        if scores.try_reserve_exact(len).is_err() {
            return Err(BackendError::OutOfMemory {
                device: self.device.info.name.clone(),
                message: String::from("no room for a batch of scores"),
            });
        }
        Ok(Box::new(NullContext { plan, scores, filled: None }))
    }
}

#[derive(Debug)]
struct NullContext {
    plan: Arc<Plan>,
    /// Room for the largest batch.
    scores: Vec<f32>,
    /// Scores of the last batch.
    filled: Option<usize>,
}

impl Sealed for NullContext {}

impl ExecutionContext for NullContext {
    fn submit_pieces(&mut self, pieces: &[Rows<'_>]) -> Result<(), BackendError> {
        let values = Rows::count_batch(pieces, &self.plan)? * self.plan.classes();
        if self.scores.len() < values {
            // There is room for the largest batch.
            self.scores.resize(values, 0.0);
        }
        let mut filled = 0;
        for piece in pieces {
            let end = filled + piece.values() / self.plan.inputs() * self.plan.classes();
            copy(&self.plan, *piece, &mut self.scores[filled..end]);
            filled = end;
        }
        self.filled = Some(filled);
        Ok(())
    }

    fn is_complete(&mut self) -> Result<bool, BackendError> {
        self.filled.map(|_| true).ok_or(BackendError::Idle)
    }

    fn wait(&mut self, _deadline: Instant) -> Result<(), BackendError> {
        self.is_complete().map(|_| ())
    }

    fn scores(&self) -> &[f32] {
        &self.scores[..self.filled.unwrap_or(0)]
    }
}

/// Copies the first values of each row to its scores, and fills up with zeros.
fn copy(plan: &Plan, rows: Rows<'_>, scores: &mut [f32]) {
    let (inputs, classes) = (plan.inputs(), plan.classes());
    let copied = inputs.min(classes);
    for (row, scores) in scores.chunks_exact_mut(classes).enumerate() {
        let (head, rest) = scores.split_at_mut(copied);
        match rows.slice(row..row + 1, inputs) {
            Rows::F32(values) => head.copy_from_slice(&values[..copied]),
            Rows::U8(bytes) => widen(bytes, head),
            Rows::F16(values) => widen(values, head),
            Rows::Bf16(values) => widen(values, head),
        }
        rest.fill(0.0);
    }
}

/// As many values as there are scores for.
fn widen<T: Copy + Into<f32>>(values: &[T], scores: &mut [f32]) {
    scores.iter_mut().zip(values).for_each(|(score, value)| *score = (*value).into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Activation, Dense, Model};
    use crate::plan::{InputType, PlanOptions};

    fn loaded(inputs: usize, classes: usize, input: InputType) -> Arc<dyn Executable> {
        let weight = vec![1.0; inputs * classes];
        let layer = Dense::new(inputs, classes, weight, None, Activation::Relu).unwrap();
        let model = Model::from_layers(vec![layer]).unwrap();
        let device = NullDevice::new(*super::super::cpu::open().limits());
        let options = PlanOptions { input, rows_max: 3, ..PlanOptions::default() };
        device.load(Plan::new(&model, device.limits(), &options).unwrap()).unwrap()
    }

    #[test]
    fn scores_are_the_first_values_of_each_row() {
        let narrow = loaded(3, 2, InputType::F32);
        let mut context = narrow.create_context().unwrap();
        assert_eq!((context.is_complete(), context.scores()), (Err(BackendError::Idle), &[][..]));
        let rows = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        context.submit_pieces(&[Rows::F32(&rows[3..]), Rows::F32(&rows)]).unwrap();
        assert_eq!(context.wait(Instant::now()), Ok(()));
        assert_eq!(context.scores(), [4.0, 5.0, 1.0, 2.0, 4.0, 5.0]);
        let mut scores = [0.0; 4];
        narrow.run(Rows::F32(&rows), &mut scores).unwrap();
        assert_eq!(scores, [1.0, 2.0, 4.0, 5.0]);
    }

    #[test]
    fn what_a_row_lacks_is_zero_also_after_a_larger_batch() {
        let wide = loaded(1, 2, InputType::U8);
        let mut context = wide.create_context().unwrap();
        context.submit(Rows::U8(&[7, 8, 255])).unwrap();
        assert_eq!(context.scores(), [7.0, 0.0, 8.0, 0.0, 255.0, 0.0]);
        let mut scores = [f32::NAN; 4];
        wide.run(Rows::U8(&[1, 2]), &mut scores).unwrap();
        assert_eq!(scores, [1.0, 0.0, 2.0, 0.0]);
        context.submit(Rows::U8(&[9])).unwrap();
        assert_eq!(context.scores(), [9.0, 0.0]);
    }

    #[test]
    fn halves_are_scores_too() {
        use half::{bf16, f16};
        let mut scores = [0.0; 2];
        let halves = [0.5, -3.0].map(f16::from_f32);
        loaded(2, 2, InputType::F16).run(Rows::F16(&halves), &mut scores).unwrap();
        assert_eq!(scores, [0.5, -3.0]);
        let halves = [1e30, -0.25].map(bf16::from_f32);
        loaded(2, 2, InputType::Bf16).run(Rows::Bf16(&halves), &mut scores).unwrap();
        assert_eq!(scores, [halves[0].to_f32(), -0.25]);
    }

    #[test]
    fn the_seam_is_checked_as_on_any_device() {
        let executable = loaded(2, 2, InputType::F32);
        let mut context = executable.create_context().unwrap();
        let too_many = context.submit(Rows::F32(&[0.0; 8]));
        assert_eq!(too_many, Err(BackendError::BatchSize { rows_max: 3, rows: 4 }));
        assert!(executable.run(Rows::U8(&[0; 2]), &mut [0.0; 2]).is_err());
        let other = NullDevice::new(Limits { panel: 1, ..*executable.plan().limits() });
        let refused = other.load(executable.plan().clone().into());
        assert_eq!(refused.unwrap_err(), BackendError::WrongPlan);
    }
}
