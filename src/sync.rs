//! The primitives that lock-free code is built from, under one roof.
//!
//! `src/pipeline/` takes them from here, by a relative path, and from nowhere else: the tests
//! compile the same files against loom's and shuttle's primitives of the same names. They also
//! compile them against each of [`planted`]'s bugs, and see that the checker finds it.

pub(crate) use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};
pub(crate) use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
pub(crate) use std::thread::{self, Thread};
use std::time::Instant;

/// The present instant. A test that decides which thread goes on decides on the time, too.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Memory that the protocol around it, not the borrow checker, gives one writer at a time. Access
/// goes through closures, so that a model checker can watch each of them.
#[derive(Debug, Default)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(crate) fn new(value: T) -> UnsafeCell<T> {
        UnsafeCell(std::cell::UnsafeCell::new(value))
    }

    /// Hands out a pointer to read through.
    pub(crate) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
        read(self.0.get())
    }

    /// Hands out a pointer to write through.
    pub(crate) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
        write(self.0.get())
    }
}

/// Locks, whatever became of the thread that held the lock before: what the pipeline keeps under a
/// lock is whole between any two statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Decisions that a model checker has to find wrong when a test builds them the other way.
pub(crate) mod planted {
    use super::Ordering;

    /// How a producer says how far claims have gone.
    pub(crate) const CLAIM: Ordering = Ordering::Release;
    /// How a producer publishes the request it wrote.
    pub(crate) const PUBLISH: Ordering = Ordering::Release;
    /// How an answerer publishes the answers it wrote, and sees that the ticket is gone.
    pub(crate) const ANSWER: Ordering = Ordering::AcqRel;
    /// Whether a row stays taken while a revoked attempt may still read it.
    pub(crate) const HOLDS_WHILE_READ: bool = true;
    /// Whether a batch is published only by the attempt that still owns it.
    pub(crate) const CHECKS_ATTEMPT: bool = true;
    /// Whether a producer looks for a sleeping worker after it published.
    pub(crate) const WAKES: bool = true;
    /// Whether a caller says that it looks for room before it finds none and marks the lane full.
    pub(crate) const SAYS_IT_LOOKS: bool = true;
    /// Whether a caller that was woken for room and leaves without gives its turn to the next.
    pub(crate) const PASSES_TURNS: bool = true;
    /// Whether rows that callers were woken for are kept from others.
    pub(crate) const KEEPS_ROWS: bool = true;
}
