//! Calls into a device that nobody can vouch for, made on a thread of their own: a driver that
//! hangs or panics costs its caller no more than a typed error.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::super::backend::BackendError;
use super::super::sync::mpsc::channel;
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
    if let Err(error) = builder.spawn(body) {
        return Err(PipelineError::Thread { message: error.to_string() });
    }
    let outcome = receive.recv_timeout(limit);
    let late = |_| BackendError::Timeout { device: device.to_owned() };
    Ok(outcome.map_err(late).and_then(|outcome| outcome)?)
}
