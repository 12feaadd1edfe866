//! What is looked for, and what is found.

use super::{BackendKind, DeviceInfo};

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
