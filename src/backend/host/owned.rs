//! Blocks that belong to a driver.

use std::alloc::Layout;
use std::any::Any;
use std::ptr::NonNull;
use std::sync::Arc;

use super::{ALIGN, HostMemory};

impl HostMemory {
    /// A block of zeros that is there as long as `owner` is, who gives it back to its driver.
    /// `None` where it does not begin on a page.
    pub(in crate::backend) fn owned(
        start: NonNull<u8>,
        bytes: usize,
        owner: Arc<dyn Any + Send + Sync>,
    ) -> Option<HostMemory> {
        let layout = Layout::from_size_align(bytes, ALIGN).ok()?;
        let on_page = start.addr().get().is_multiple_of(ALIGN);
        on_page.then_some(HostMemory { start, layout, owner: Some(owner) })
    }
}
