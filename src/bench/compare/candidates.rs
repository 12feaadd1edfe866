//! Which devices take part, and why the others do not.

use std::sync::Arc;

use super::super::report::{DeviceReport, State};
use crate::Error;
use crate::backend::{self, BackendKind, Device, Finding, OpenOptions};

/// One device to compare, or the reason why one cannot take part.
#[derive(Clone, Debug)]
pub struct Candidate {
    report: DeviceReport,
    device: Option<Arc<dyn Device>>,
}

impl Candidate {
    /// A device that takes part.
    pub fn device(device: Arc<dyn Device>) -> Candidate {
        Candidate { report: DeviceReport::found(device.info()), device: Some(device) }
    }

    /// What is known of it before it has run.
    pub fn report(&self) -> &DeviceReport {
        &self.report
    }

    /// Whether it has a device that was opened.
    pub fn takes_part(&self) -> bool {
        self.device.is_some()
    }

    /// The device, where it takes part.
    pub(in crate::bench) fn opened(&self) -> Option<&Arc<dyn Device>> {
        self.device.as_ref()
    }

    fn of(finding: &Finding, wanted: &OpenOptions) -> Candidate {
        let report = DeviceReport::of(finding);
        let Finding::Found(info) = finding else {
            return Candidate { report, device: None };
        };
        if info.software && !wanted.software {
            let reason = "a software adapter, fit for tests and not for speed; --software runs it";
            return Candidate { report: report.because(State::LeftOut, reason), device: None };
        }
        let this = OpenOptions {
            backend: info.backend,
            adapter: Some(info.name.clone()),
            software: wanted.software,
            timestamps: wanted.timestamps,
            // The others have nothing like it.
            persistent: wanted.persistent && info.backend == BackendKind::Cuda,
            ..OpenOptions::default()
        };
        match backend::open_with(&this) {
            Ok(device) => Candidate { report, device: Some(device) },
            Err(error) => {
                Candidate { report: report.because(State::Failed, error.to_string()), device: None }
            }
        }
    }
}

/// Opens every device `wanted` allows, once per name, and says of the others why they are out.
///
/// # Errors
/// [`Error::Backend`] where one backend or adapter was asked for and it is not there.
pub fn candidates(wanted: &OpenOptions) -> Result<Vec<Candidate>, Error> {
    if wanted.backend != BackendKind::Auto || wanted.adapter.is_some() || wanted.device.is_some() {
        return Ok(vec![Candidate::device(backend::open_with(wanted)?)]);
    }
    let mut candidates: Vec<Candidate> = Vec::new();
    for finding in backend::survey() {
        let report = DeviceReport::of(&finding);
        let same = |seen: &Candidate| {
            (seen.report.backend, &seen.report.name) == (report.backend, &report.name)
        };
        // One card seen through two graphics APIs opens as the same adapter both times.
        if report.state == State::Missing || !candidates.iter().any(same) {
            candidates.push(Candidate::of(&finding, wanted));
        }
    }
    Ok(candidates)
}
