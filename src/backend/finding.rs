//! What is looked for, and what is found.

use super::{BackendKind, DeviceInfo};
use crate::plan::Precision;

/// Which device to open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenOptions {
    /// The backend.
    pub backend: BackendKind,
    /// Part of the wanted adapter's name, upper or lower case; the first that matches is opened.
    pub adapter: Option<String>,
    /// The wanted device's number in its family, from 0, in the order of
    /// [`survey`](super::survey); CUDA counts those that `CUDA_VISIBLE_DEVICES` leaves.
    pub device: Option<usize>,
    /// Whether a software adapter may be opened.
    pub software: bool,
    /// Whether batches are timed by the device's own clock, where it has one; see
    /// [`compute_time`](super::ExecutionContext::compute_time). Costs a little time itself.
    pub timestamps: bool,
    /// Whether batches of up to 16 rows are run by a kernel that stays on the device and waits for
    /// them in the host's memory, which saves the launch of each. CUDA alone has it, for models of
    /// one stage; other models are launched as ever, and so are batches that are timed.
    ///
    /// It costs a multiprocessor for each context in use, up to four that larger batches do
    /// without, and reads of a few bytes over the bus all the time. It leaves the device after
    /// 100 ms without a batch, once a second, and when memory is taken or a model loaded; the next
    /// batch has it launched again.
    pub persistent: bool,
}

impl OpenOptions {
    /// The same options for plans of a precision: [`Auto`](BackendKind::Auto) is the best device
    /// that has kernels for it, and [`Precision::Int8`] has some on the processor alone. Who names
    /// a device gets that one, and a refusal where it has none.
    pub fn for_precision(&self, precision: Precision) -> OpenOptions {
        let any = self.backend == BackendKind::Auto
            && !self.persistent
            && self.adapter.is_none()
            && self.device.is_none();
        let backend = match precision {
            Precision::Int8 if any => BackendKind::Cpu,
            _ => self.backend,
        };
        OpenOptions { backend, ..self.clone() }
    }
}

/// One line of a survey: a device that is there, or a backend that is not.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Finding {
    /// A device that can be opened.
    Found(DeviceInfo),
    /// A backend without a device on this machine.
    Missing {
        /// The backend.
        backend: BackendKind,
        /// What was looked for, and what was found instead.
        looked_for: String,
        /// How to get one.
        advice: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `Auto` means the processor where it alone has kernels, unless somebody named a device.
    #[test]
    fn a_precision_chooses_among_devices_that_nobody_named() {
        let auto = OpenOptions::default();
        for precision in Precision::ALL {
            let chosen = auto.for_precision(precision).backend;
            let alone = precision == Precision::Int8;
            assert_eq!(chosen, if alone { BackendKind::Cpu } else { BackendKind::Auto });
            let named = [
                OpenOptions { backend: BackendKind::Wgpu, ..auto.clone() },
                OpenOptions { adapter: Some(String::from("llvmpipe")), ..auto.clone() },
                OpenOptions { device: Some(0), ..auto.clone() },
                OpenOptions { persistent: true, ..auto.clone() },
            ];
            for options in named {
                assert_eq!(options.for_precision(precision), options, "{precision:?}");
            }
        }
        let options = OpenOptions { software: true, timestamps: true, ..auto };
        let chosen = options.for_precision(Precision::Int8);
        assert_eq!(chosen, OpenOptions { backend: BackendKind::Cpu, ..options });
    }
}
