//! Whom to wake: a thread that is parked, or a task of whatever executor.

use std::task::Waker;

use super::super::sync::Thread;

/// Somebody who waits.
#[derive(Debug)]
pub(crate) enum Waiter {
    /// A thread, parked or about to be.
    Thread(Thread),
    /// A future's task.
    Task(Waker),
}

impl Waiter {
    /// Wakes whoever waits; harmless where nobody does any more.
    pub(crate) fn wake(self) {
        match self {
            Waiter::Thread(thread) => thread.unpark(),
            Waiter::Task(waker) => waker.wake(),
        }
    }
}
