//! The stream that a context's work goes through, and the events that say how far it has come.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::driver::Handle;
use super::gpu::{Gpu, Live};
use crate::backend::BackendError;
use crate::backend::stopwatch::wait_for;

/// How long what nobody waits for any more may take to end, and the sleep between two looks at it.
const LAST_LIMIT: Duration = Duration::from_secs(2);
const NAP: Duration = Duration::from_micros(20);

/// A stream with its events. Left behind where the device is lost.
#[derive(Debug)]
pub(super) struct Queue {
    gpu: Arc<Gpu>,
    stream: Handle,
    /// Recorded behind a batch.
    done: Handle,
    /// Recorded before and behind its launches, where they are timed.
    clock: Option<[Handle; 2]>,
}

impl Queue {
    /// A stream, with a clock or without.
    pub(super) fn new(gpu: &Arc<Gpu>, timed: bool) -> Result<Queue, BackendError> {
        let live = gpu.enter()?;
        let stream = live.create_stream()?;
        // What was made so far is given back where the rest cannot be made.
        let mut queue = Queue { gpu: Arc::clone(gpu), stream, done: 0, clock: None };
        queue.done = live.create_event(false)?;
        if timed {
            let start = live.create_event(true)?;
            queue.clock = Some([start, 0]);
            queue.clock = Some([start, live.create_event(true)?]);
        }
        Ok(queue)
    }

    /// The stream.
    pub(super) fn stream(&self) -> Handle {
        self.stream
    }

    /// Whether launches are timed.
    pub(super) fn is_timed(&self) -> bool {
        self.clock.is_some()
    }

    /// Launches follow.
    pub(super) fn launches_begin(&self, live: Live<'_>) -> Result<(), BackendError> {
        self.clock.map_or(Ok(()), |[start, _]| live.record(start, self.stream))
    }

    /// There are no more launches.
    pub(super) fn launches_end(&self, live: Live<'_>) -> Result<(), BackendError> {
        self.clock.map_or(Ok(()), |[_, end]| live.record(end, self.stream))
    }

    /// There is no more to do.
    pub(super) fn batch_ends(&self, live: Live<'_>) -> Result<(), BackendError> {
        live.record(self.done, self.stream)
    }

    /// Whether all is done that was queued before [`batch_ends`](Queue::batch_ends).
    pub(super) fn is_done(&self, live: Live<'_>) -> Result<bool, BackendError> {
        live.has_happened(self.done)
    }

    /// Waits until all that is done; where that does not come true, the device is given up, and
    /// what it may still read or write has to be left behind.
    pub(super) fn settle(&self) {
        let ended = wait_for(LAST_LIMIT, Instant::now, |until| {
            while !self.gpu.enter().and_then(|live| self.is_done(live))? {
                if Instant::now() >= until {
                    return Ok(false);
                }
                thread::sleep(NAP);
            }
            Ok(true)
        });
        let late = || BackendError::Timeout { device: self.gpu.name().into() };
        if let Err(error) = ended.and_then(|ended| if ended { Ok(()) } else { Err(late()) }) {
            self.gpu.lose(error.to_string());
        }
    }

    /// How long the launches took, once they are done.
    pub(super) fn compute_time(&self, live: Live<'_>) -> Result<Option<Duration>, BackendError> {
        let elapsed = |[start, end]: [Handle; 2]| live.elapsed_ms(start, end);
        let elapsed_ms = self.clock.map(elapsed).transpose()?;
        Ok(elapsed_ms.and_then(|ms| Duration::try_from_secs_f32(ms / 1e3).ok()))
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let Ok(live) = self.gpu.enter() else { return };
        let events = self.clock.into_iter().flatten().chain([self.done]);
        for event in events.filter(|event| *event != 0) {
            // There is nobody to tell; a fatal answer has lost the device.
            let _ = live.destroy_event(event);
        }
        let _ = live.destroy_stream(self.stream);
    }
}
