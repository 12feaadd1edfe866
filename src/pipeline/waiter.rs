//! Whom to wake: a thread that is parked, or a task of whatever executor.
//!
//! A task's waker is foreign code: waking it, or dropping it, may panic. That happens on a worker,
//! the watchdog or another caller's thread, which has more to do than this one wake-up, so a panic
//! ends here. Where panics abort the process, nothing can be done about it.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use super::super::sync::Thread;

/// A thread or a task that waits.
#[derive(Debug)]
pub(crate) enum Waiter {
    /// A thread, parked or about to be.
    Thread(Thread),
    /// A future's task.
    Task(Waker),
}

impl Waiter {
    /// Wakes the thread or task; harmless where it waits no more. Never panics.
    pub(crate) fn wake(mut self) {
        match &mut self {
            Waiter::Thread(thread) => thread.unpark(),
            Waiter::Task(waker) => contained(taken(waker), Waker::wake),
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if let Waiter::Task(waker) = self {
            contained(taken(waker), drop);
        }
    }
}

/// The waker; one that does nothing takes its place.
fn taken(waker: &mut Waker) -> Waker {
    mem::replace(waker, Waker::noop().clone())
}

/// Makes one call of a waker's. A panic in it ends here.
fn contained(waker: Waker, call: fn(Waker)) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| call(waker))) {
        discard(panic);
    }
}

/// Drops what a panic carried. That may panic as well, and what the second one carries is leaked.
pub(crate) fn discard(panic: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        mem::forget(second);
    }
}
