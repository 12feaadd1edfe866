//! What backends other than the processor have no kernels for.

use super::{BackendError, DeviceInfo};
use crate::plan::{Plan, Precision};

/// Refuses a plan of a precision that the processor alone has kernels for.
pub(super) fn check_precision(plan: &Plan, info: &DeviceInfo) -> Result<(), BackendError> {
    match plan.precision() {
        precision @ Precision::Int8 => {
            Err(BackendError::NoKernels { device: info.name.clone(), precision })
        }
        _ => Ok(()),
    }
}
