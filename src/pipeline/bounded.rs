//! Calls into a device that nobody can vouch for, made on a thread of their own: a driver that
//! hangs or panics costs its caller no more than a typed error.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::super::backend::BackendError;
use super::super::backend::stopwatch::wait_for;
use super::super::sync::mpsc::{RecvTimeoutError, channel};
use super::super::sync::now;
use super::super::sync::thread;
use super::error::PipelineError;

/// Does `work` with a device, for so long at most. A thread that does not come back is left behind.
pub(crate) fn within<T: Send + 'static>(
    limit: Duration,
    device: &str,
    work: impl FnOnce() -> Result<T, BackendError> + Send + 'static,
) -> Result<T, PipelineError> {
    let (send, receive) = channel();
    let name = device.to_owned();
    let body = move || {
        let outcome = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
            let message = super::threads::message_of(panic);
            Err(BackendError::Device { device: name, message })
        });
        // Nobody receives what comes too late.
        let _ = send.send(outcome);
    };
    let builder = thread::Builder::new().name(String::from("fusewire-load"));
    let thread = builder.spawn(body);
    let thread = thread.map_err(|error| PipelineError::Thread { message: error.to_string() })?;
    let mut outcome = None;
    let received = wait_for(limit, now, |until| {
        match receive.recv_timeout(until.saturating_duration_since(now())) {
            Ok(received) => outcome = Some(received),
            Err(RecvTimeoutError::Timeout) => return Ok(false),
            // It sends before it ends.
            Err(RecvTimeoutError::Disconnected) => {}
        }
        Ok::<bool, BackendError>(true)
    });
    if received == Ok(true) {
        // A driver may have hooks at the end of a thread: they are over once this returns.
        let _ = thread.join();
    }
    let late = || BackendError::Timeout { device: device.to_owned() };
    Ok(outcome.unwrap_or_else(|| Err(late()))?)
}
