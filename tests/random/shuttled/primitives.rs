//! Shuttle's primitives under the names of `src/sync.rs`.
//!
//! The time is shuttle's, too: it passes by being looked at, so that every execution of a schedule
//! sees the same, and a wait that may end by itself ends as soon as its thread goes on.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

pub(crate) use shuttle::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};
pub(crate) use shuttle::sync::{Mutex, MutexGuard, mpsc};
pub(crate) use std::sync::{Arc, PoisonError, Weak};

pub(crate) use crate::plain::UnsafeCell;
pub(crate) use thread::Thread;

/// How much time passes with each look at the clock.
const LOOK: Duration = Duration::from_micros(1);

/// Any instant will do; it is told apart from none.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

shuttle::lazy_static! {
    /// Looks at the clock in this execution. Between a look and its count no other thread runs.
    static ref LOOKS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
}

pub(crate) fn now() -> Instant {
    *START + LOOK * LOOKS.fetch_add(1, Ordering::Relaxed)
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) mod thread {
    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    pub(crate) use shuttle::thread::{Thread, current, park, yield_now};

    pub(crate) fn sleep(_time: Duration) {
        yield_now();
    }

    /// May leave a wake-up for the next one to park, who then wakes for no reason.
    pub(crate) fn park_timeout(_limit: Duration) {
        yield_now();
    }

    /// As shuttle's, which cannot tell whether a thread is finished.
    #[derive(Debug)]
    pub struct JoinHandle<T> {
        thread: shuttle::thread::JoinHandle<T>,
        is_finished: Arc<AtomicBool>,
    }

    impl<T> JoinHandle<T> {
        pub(crate) fn is_finished(&self) -> bool {
            self.is_finished.load(Ordering::Relaxed)
        }

        pub(crate) fn thread(&self) -> &Thread {
            self.thread.thread()
        }

        pub(crate) fn join(self) -> shuttle::thread::Result<T> {
            self.thread.join()
        }
    }

    #[derive(Debug)]
    pub(crate) struct Builder(shuttle::thread::Builder);

    impl Builder {
        pub(crate) fn new() -> Builder {
            Builder(shuttle::thread::Builder::new())
        }

        pub(crate) fn name(self, name: String) -> Builder {
            Builder(self.0.name(name))
        }

        pub(crate) fn spawn<T: Send + 'static>(
            self,
            body: impl FnOnce() -> T + Send + 'static,
        ) -> io::Result<JoinHandle<T>> {
            let is_finished = Arc::new(AtomicBool::new(false));
            let finishes = Arc::clone(&is_finished);
            let thread = self.0.spawn(move || {
                let result = body();
                finishes.store(true, Ordering::Relaxed);
                result
            });
            Ok(JoinHandle { thread: thread?, is_finished })
        }
    }
}
