//! Devices with the model on them.

use std::sync::Arc;

use super::super::compare::Candidate;
use super::super::error::BenchError;
use super::super::report::{DeviceReport, key_of};
use super::super::stream::Workload;
use crate::Error;
use crate::backend::Executable;
use crate::model::Model;
use crate::plan::{Plan, PlanOptions};

/// A device with the model on it.
pub(in crate::bench) struct Subject {
    /// How tables and keys name it: the backend, with a number where several share one.
    pub(in crate::bench) name: String,
    pub(super) executable: Arc<dyn Executable>,
}

impl Subject {
    fn backend(&self) -> &'static str {
        self.executable.device().info().backend.name()
    }
}

/// Loads the model on every device, and has all rows scored there once.
pub(super) fn prepare(
    model: &Model,
    candidates: &[Candidate],
    plan: &PlanOptions,
    workload: &Workload,
) -> Result<(Vec<Subject>, Vec<DeviceReport>), BenchError> {
    let (mut subjects, mut devices) = (Vec::<Subject>::new(), Vec::new());
    let is_alone = candidates.iter().filter(|candidate| candidate.takes_part()).count() == 1;
    for candidate in candidates {
        let mut report = candidate.report().clone();
        if let Some(device) = candidate.opened() {
            let loaded = Plan::new(model, device.limits(), plan)
                .map_err(Error::from)
                .and_then(|plan| device.load(plan).map_err(Error::from));
            match loaded.map_err(BenchError::from).and_then(|executable| {
                workload.check(&*executable)?;
                Ok(executable)
            }) {
                Ok(executable) => {
                    let name = key_of(report.backend, subjects.iter().map(Subject::backend));
                    subjects.push(Subject { name, executable });
                }
                Err(BenchError::Failed(error)) => report = report.refused(&error, is_alone),
                Err(wrong) => return Err(wrong),
            }
        }
        devices.push(report);
    }
    if subjects.is_empty() {
        let said = devices.iter().find_map(|device| device.reason.clone());
        let reason = said.unwrap_or_else(|| String::from("there is no device"));
        return Err(BenchError::NoDevice { reason });
    }
    Ok((subjects, devices))
}
