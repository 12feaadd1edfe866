//! Whether the process is still the one that something was made in.
//!
//! A child of `fork` has the memory of its parent and none of its threads, and what its parent's
//! drivers hold is not its own. On Linux a page that the kernel zeroes in a child tells, for the
//! price of reading a byte. Elsewhere, and where there is no such page, the number of the process
//! does, for that of a system call. A system without `fork` has no such children.

#![allow(unsafe_code)]

#[cfg(target_os = "linux")]
use page::Page;

/// The process that something was made in.
#[derive(Debug)]
pub(crate) struct Process {
    #[cfg(target_os = "linux")]
    page: Option<Page>,
    #[cfg(unix)]
    number: u32,
}

impl Process {
    /// The process that runs now.
    pub(crate) fn this() -> Process {
        Process {
            #[cfg(target_os = "linux")]
            page: Page::new(),
            #[cfg(unix)]
            number: std::process::id(),
        }
    }

    /// Whether that is the process that runs now, and not a child of it.
    #[inline]
    pub(crate) fn is_this(&self) -> bool {
        #[cfg(target_os = "linux")]
        if let Some(page) = &self.page {
            return page.is_kept();
        }
        self.has_number()
    }

    #[cfg(unix)]
    fn has_number(&self) -> bool {
        std::process::id() == self.number
    }

    #[cfg(not(unix))]
    fn has_number(&self) -> bool {
        true
    }
}

#[cfg(target_os = "linux")]
mod page {
    use std::ptr::{NonNull, null_mut};
    use std::sync::atomic::{AtomicU8, Ordering};

    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

    /// Bytes asked for; the kernel rounds them up to a page.
    const BYTES: usize = 4096;

    /// A page that is all zeros in a child of the process, and is not in the process itself.
    #[derive(Debug)]
    pub(super) struct Page(NonNull<AtomicU8>);

    // SAFETY: the page is owned, and tied to no thread.
    unsafe impl Send for Page {}

    // SAFETY: it is only read, through an atomic.
    unsafe impl Sync for Page {}

    impl Page {
        /// `None` where the kernel has no such pages, or no memory.
        pub(super) fn new() -> Option<Page> {
            let access = ProtFlags::READ | ProtFlags::WRITE;
            // SAFETY: a new mapping, at whatever place is free.
            let start = unsafe { mmap_anonymous(null_mut(), BYTES, access, MapFlags::PRIVATE) };
            let page = Page(NonNull::new(start.ok()?.cast())?);
            // SAFETY: the page is this mapping, and nothing is in it yet.
            unsafe { madvise(page.0.as_ptr().cast(), BYTES, Advice::LinuxWipeOnFork) }.ok()?;
            page.first().store(1, Ordering::Relaxed);
            Some(page)
        }

        /// Whether it was not wiped.
        #[inline]
        pub(super) fn is_kept(&self) -> bool {
            self.first().load(Ordering::Relaxed) != 0
        }

        #[inline]
        fn first(&self) -> &AtomicU8 {
            // SAFETY: the mapping is there until `self` is dropped, readable and writable, and
            // used through this atomic alone.
            unsafe { self.0.as_ref() }
        }
    }

    impl Drop for Page {
        fn drop(&mut self) {
            // SAFETY: mapped in `new`, and nobody has a reference into it any more.
            let _ = unsafe { munmap(self.0.as_ptr().cast(), BYTES) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_itself() {
        let process = Process::this();
        assert!(process.is_this() && process.has_number());
    }
}
