//! Blocks that belong to a driver.

use std::any::Any;
use std::ptr::NonNull;
use std::sync::Arc;

use super::{ALIGN, HostMemory, Origin};

impl HostMemory {
    /// A block of zeros that is there as long as `owner` is, who gives it back to its driver.
    /// `None` where it does not begin on a page.
    pub(in crate::backend) fn owned(
        start: NonNull<u8>,
        bytes: usize,
        owner: Arc<dyn Any + Send + Sync>,
    ) -> Option<HostMemory> {
        let on_page = start.addr().get().is_multiple_of(ALIGN);
        on_page.then_some(HostMemory {
            start,
            len: bytes,
            origin: Origin::Driver { _owner: owner },
        })
    }
}
