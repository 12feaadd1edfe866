//! Memory on the host that rows wait in until a device takes them.

#![allow(unsafe_code)]

#[cfg(feature = "cuda")]
mod owned;

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::any::Any;
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

/// Where a block begins: on a page, so that a driver can pin it and no two blocks share a line.
const ALIGN: usize = 4096;

/// A block of bytes, zero at first, that threads share by address. It begins on a page, and is
/// handed back when it is dropped.
///
/// It hands out a pointer and nothing else: who writes where, and who may read it when, is up to
/// those who dereference it.
pub struct HostMemory {
    /// On a page.
    start: NonNull<u8>,
    len: usize,
    origin: Origin,
}

/// Where the bytes are from.
enum Origin {
    /// There is not a single byte.
    Nowhere,
    /// The allocator, which gave a block of this layout that begins there.
    Allocator(NonNull<u8>, Layout),
    /// A driver, whom the owner gives them back to once the block is dropped.
    #[cfg_attr(not(feature = "cuda"), allow(dead_code))]
    Driver { _owner: Arc<dyn Any + Send + Sync> },
}

impl HostMemory {
    /// A block of so many zeros, also 0; `None` where memory runs out.
    ///
    /// The system brings in a large block's pages as they are written first. That takes an ordinary
    /// alignment: allocators write the zeros of a block that is to begin on a page, so a larger one
    /// is asked for, and a page is found in it.
    pub fn new(bytes: usize) -> Option<HostMemory> {
        if bytes == 0 {
            // Never read, written or handed back: only its alignment is looked at.
            let start = NonNull::new(std::ptr::without_provenance_mut(ALIGN))?;
            return Some(HostMemory { start, len: 0, origin: Origin::Nowhere });
        }
        let layout = Layout::from_size_align(bytes.checked_add(ALIGN)?, size_of::<u64>()).ok()?;
        // SAFETY: the layout is of one byte or more.
        let block = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        let offset = block.addr().get().next_multiple_of(ALIGN) - block.addr().get();
        // SAFETY: less than a page, which is how much larger than `bytes` the block is.
        let start = unsafe { block.add(offset) };
        Some(HostMemory { start, len: bytes, origin: Origin::Allocator(block, layout) })
    }

    /// The first byte, on a boundary of 4096. Valid for [`len`](HostMemory::len) bytes as long as
    /// the block lives; bytes that one thread writes must not be touched by another meanwhile.
    pub fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// The bytes, to read: nobody else may use the address while they are borrowed.
    pub(crate) fn bytes(&mut self) -> &[u8] {
        // SAFETY: the block holds so many bytes, zeros or what was written since; the borrow is the
        // only one, and whoever has the address keeps clear of its owner.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// The number of bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is not a single byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for HostMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostMemory").field("start", &self.start).field("len", &self.len()).finish()
    }
}

// SAFETY: the block is owned and tied to no thread: any thread may hand it back.
unsafe impl Send for HostMemory {}

// SAFETY: a shared block gives away its address and length only, which never change; whoever
// dereferences the address keeps to one writer and to no readers meanwhile.
unsafe impl Sync for HostMemory {}

impl Drop for HostMemory {
    fn drop(&mut self) {
        if let Origin::Allocator(block, layout) = self.origin {
            // SAFETY: allocated in `new` with this layout, and not handed back before.
            unsafe { dealloc(block.as_ptr(), layout) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn a_block_is_zeros_on_a_page() {
        for bytes in [1, 4095, 4096, 4097, 1 << 20] {
            let block = HostMemory::new(bytes).unwrap();
            assert_eq!((block.len(), block.is_empty()), (bytes, false));
            assert_eq!(block.as_ptr().addr() % ALIGN, 0);
            // SAFETY: the block holds so many bytes, and nobody writes to them.
            let content = unsafe { std::slice::from_raw_parts(block.as_ptr(), bytes) };
            assert!(content.iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn threads_write_parts_of_their_own() {
        let block = HostMemory::new(4 * 1000).unwrap();
        std::thread::scope(|scope| {
            for part in 0..4_u8 {
                let block = &block;
                // SAFETY: each thread writes a quarter that no other touches.
                scope.spawn(move || unsafe {
                    block.as_ptr().add(usize::from(part) * 1000).write_bytes(part + 1, 1000);
                });
            }
        });
        // SAFETY: the block holds so many bytes, and the writers are gone.
        let content = unsafe { std::slice::from_raw_parts(block.as_ptr(), 4000) };
        assert!((0..4000).all(|at| usize::from(content[at]) == at / 1000 + 1));
    }

    #[test]
    fn no_bytes_are_a_block_and_too_many_are_none() {
        let empty = HostMemory::new(0).unwrap();
        assert_eq!((empty.len(), empty.as_ptr().addr() % ALIGN), (0, 0));
        for bytes in [usize::MAX, isize::MAX as usize, isize::MAX as usize / 2] {
            // Unseen, an allocation is left out by the compiler, and then it cannot fail.
            assert!(black_box(HostMemory::new(bytes)).is_none(), "{bytes}");
        }
    }
}
