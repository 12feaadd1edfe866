//! Loom's primitives under the names of `src/sync.rs`.
//!
//! Loom 0.7 takes two accesses for independent where it should not: a write to an atomic is
//! reordered with the last access to it alone, so that no reading of other threads before the
//! writer's own is ever tried after the write. Here every access is marked on a second object,
//! whose accesses all depend on each other.

use std::sync::Arc;

use loom::sync::Notify;
use loom::sync::atomic;

pub(crate) use loom::cell::UnsafeCell;
pub(crate) use loom::sync::atomic::Ordering;
pub(crate) use loom::sync::{Mutex, MutexGuard};
pub(crate) use loom::thread;

/// A mark for every access to one atomic. Between an access and its mark no other thread runs.
#[derive(Debug)]
struct Accesses(Notify);

impl Accesses {
    /// Other threads may come before the load, which may see any value it is allowed to.
    fn read<T>(&self, load: impl FnOnce() -> T) -> T {
        let value = load();
        loom::stop_exploring();
        self.0.notify();
        loom::explore();
        value
    }

    /// Other threads may come before the mark.
    fn write<T>(&self, write: impl FnOnce() -> T) -> T {
        self.0.notify();
        loom::stop_exploring();
        let value = write();
        loom::explore();
        value
    }
}

macro_rules! atomic {
    ($name:ident, $type:ty) => {
        #[derive(Debug)]
        pub(crate) struct $name {
            value: atomic::$name,
            accesses: Accesses,
        }

        impl $name {
            pub(crate) fn new(value: $type) -> $name {
                $name { value: atomic::$name::new(value), accesses: Accesses(Notify::new()) }
            }

            pub(crate) fn load(&self, order: Ordering) -> $type {
                self.accesses.read(|| self.value.load(order))
            }

            pub(crate) fn store(&self, value: $type, order: Ordering) {
                self.accesses.write(|| self.value.store(value, order))
            }

            pub(crate) fn fetch_add(&self, value: $type, order: Ordering) -> $type {
                self.accesses.write(|| self.value.fetch_add(value, order))
            }

            pub(crate) fn fetch_sub(&self, value: $type, order: Ordering) -> $type {
                self.accesses.write(|| self.value.fetch_sub(value, order))
            }

            pub(crate) fn fetch_and(&self, value: $type, order: Ordering) -> $type {
                self.accesses.write(|| self.value.fetch_and(value, order))
            }

            pub(crate) fn fetch_or(&self, value: $type, order: Ordering) -> $type {
                self.accesses.write(|| self.value.fetch_or(value, order))
            }

            pub(crate) fn compare_exchange(
                &self,
                current: $type,
                new: $type,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$type, $type> {
                self.accesses.write(|| self.value.compare_exchange(current, new, success, failure))
            }

            pub(crate) fn compare_exchange_weak(
                &self,
                current: $type,
                new: $type,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$type, $type> {
                self.compare_exchange(current, new, success, failure)
            }
        }
    };
}

atomic!(AtomicU32, u32);
atomic!(AtomicU64, u64);

loom::lazy_static! {
    /// A mark for every fence: loom takes them for no accesses at all.
    static ref FENCES: Notify = Notify::new();
}

/// To be called first in every model: what is made here is then there for all its threads.
pub(crate) fn prepare() {
    let _: &Notify = &FENCES;
}

pub(crate) fn fence(order: Ordering) {
    FENCES.notify();
    atomic::fence(order);
}

/// A thread that can be woken. Loom's own forgets a wake-up that comes while the thread waits for a
/// mutex, which std's does not.
#[derive(Clone, Debug)]
pub(crate) struct Thread(Arc<Notify>);

impl Thread {
    pub(crate) fn new() -> Thread {
        Thread(Arc::new(Notify::new()))
    }

    pub(crate) fn unpark(&self) {
        self.0.notify();
    }

    /// To be called by the thread that this stands for; may return for no reason, once.
    pub(crate) fn park(&self) {
        self.0.wait();
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A model ends with the first panic.
    mutex.lock().unwrap()
}
