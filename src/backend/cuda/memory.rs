//! Memory of the device, and memory of the host that the device sees.
//!
//! Each gives itself back when it is dropped, unless the device is lost: then it is left behind,
//! because a device that hangs may still read or write it, and a call to free it may hang too.

#![allow(unsafe_code)]

use std::ops::Range;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::driver::Address;
use super::gpu::Gpu;
use crate::backend::{BackendError, HostMemory};

/// A block of the device's memory.
#[derive(Debug)]
pub(super) struct DeviceMemory {
    gpu: Arc<Gpu>,
    start: Address,
}

impl DeviceMemory {
    /// So many bytes of undefined content, at least one.
    pub(super) fn new(gpu: &Arc<Gpu>, bytes: usize) -> Result<DeviceMemory, BackendError> {
        let start = gpu.enter()?.alloc(bytes.max(1))?;
        Ok(DeviceMemory { gpu: Arc::clone(gpu), start })
    }

    /// A block of this content.
    pub(super) fn filled(gpu: &Arc<Gpu>, content: &[u8]) -> Result<DeviceMemory, BackendError> {
        let memory = DeviceMemory::new(gpu, content.len())?;
        // SAFETY: the block holds so many bytes.
        unsafe { gpu.enter()?.upload(memory.start, content)? };
        Ok(memory)
    }

    /// Where it begins, on a boundary of 256 bytes.
    pub(super) fn start(&self) -> Address {
        self.start
    }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        if let Ok(live) = self.gpu.enter() {
            // There is nobody to tell; a fatal answer has lost the device.
            let _ = live.free(self.start);
        }
    }
}

/// A block of the host's memory that is pinned, and that the device sees. Zeros at first.
#[derive(Debug)]
pub(super) struct Pinned {
    gpu: Arc<Gpu>,
    start: NonNull<u8>,
    device: Address,
    bytes: usize,
}

impl Pinned {
    /// So many bytes, at least one.
    pub(super) fn new(gpu: &Arc<Gpu>, bytes: usize) -> Result<Pinned, BackendError> {
        let bytes = bytes.max(1);
        let (start, device) = gpu.enter()?.alloc_host(bytes)?;
        // SAFETY: so many bytes were allocated there, and nobody else knows them yet.
        unsafe { start.write_bytes(0, bytes) };
        Ok(Pinned { gpu: Arc::clone(gpu), start, device, bytes })
    }

    /// The first byte, as the host sees it. Who reads and writes what is the owner's to order.
    pub(super) fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// The first byte, as the device sees it.
    pub(super) fn device(&self) -> Address {
        self.device
    }

    /// The number of bytes.
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    /// Where `bytes` lie in it, if they do.
    pub(super) fn offset_of(&self, bytes: &[u8]) -> Option<usize> {
        let offset = bytes.as_ptr().addr().checked_sub(self.start.as_ptr().addr())?;
        let end = offset.checked_add(bytes.len())?;
        (end <= self.bytes).then_some(offset)
    }
}

// SAFETY: the block is owned and tied to no thread; whoever uses its address keeps to one writer.
unsafe impl Send for Pinned {}

// SAFETY: a shared block gives away its address and length only, which never change.
unsafe impl Sync for Pinned {}

impl Drop for Pinned {
    fn drop(&mut self) {
        if let Ok(live) = self.gpu.enter() {
            // There is nobody to tell; a fatal answer has lost the device.
            let _ = live.free_host(self.start);
        }
    }
}

/// The blocks that rows wait in, outside of any context: each lives until its owner and every
/// batch that reads it are done with it.
#[derive(Debug, Default)]
pub(super) struct HostBlocks {
    known: Mutex<Vec<(Range<usize>, Weak<Pinned>)>>,
}

impl HostBlocks {
    /// A block for rows.
    pub(super) fn alloc(&self, gpu: &Arc<Gpu>, bytes: usize) -> Result<HostMemory, BackendError> {
        let block = Arc::new(Pinned::new(gpu, bytes)?);
        let first = block.start().addr();
        let memory = HostMemory::owned(block.start, bytes, Arc::clone(&block) as Arc<_>);
        let memory = memory.ok_or_else(|| gpu.lose(String::from("pinned memory off a page")))?;
        let mut known = self.lock();
        known.retain(|(_, block)| block.strong_count() > 0);
        known.push((first..first + block.len(), Arc::downgrade(&block)));
        Ok(memory)
    }

    /// The block that `bytes` lie in, if they lie in one.
    pub(super) fn holding(&self, bytes: &[u8]) -> Option<Arc<Pinned>> {
        let first = bytes.as_ptr().addr();
        let known = self.lock();
        let mut here = known.iter().filter(|(span, _)| span.contains(&first));
        let block = here.find_map(|(_, block)| block.upgrade())?;
        block.offset_of(bytes).map(|_| block)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Range<usize>, Weak<Pinned>)>> {
        // The list is whole between any two statements.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
