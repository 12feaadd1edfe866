//! A wgpu device behind calls that neither panic nor hang once it is lost.
//!
//! wgpu reports in four ways: error scopes (of the calling thread), a callback for errors outside
//! of them, a callback for the loss of the device, and panics where it knows no better. All four
//! end in a typed error here. Calls that create something use [`Gpu::scoped`], calls that run
//! something use [`Gpu::guarded`]; an error outside a scope has no remedy and loses the device.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::backend::BackendError;
use crate::backend::process::Process;

/// An open device, its queue, and whether it still lives.
#[derive(Debug)]
pub(super) struct Gpu {
    device: wgpu::Device,
    queue: wgpu::Queue,
    name: String,
    /// Why the device was lost; written once, by whoever sees it first.
    lost: Arc<OnceLock<String>>,
    /// The process that it was opened in.
    process: Process,
}

/// What an error scope caught.
enum Caught {
    OutOfMemory(String),
    Other(String),
}

impl Gpu {
    /// Opens `adapter`, with callbacks in place before anything can fail.
    pub(super) fn open(
        adapter: &wgpu::Adapter,
        descriptor: &wgpu::DeviceDescriptor<'_>,
    ) -> Result<Gpu, BackendError> {
        let name = adapter.get_info().name;
        let opened = catch_unwind(AssertUnwindSafe(|| {
            pollster::block_on(adapter.request_device(descriptor)).map_err(|e| e.to_string())
        }));
        let (device, queue) = opened
            .unwrap_or_else(|panic| Err(words_of(&*panic)))
            .map_err(|message| BackendError::Device { device: name.clone(), message })?;
        let lost = Arc::new(OnceLock::new());
        let by_error = Arc::clone(&lost);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            by_error.get_or_init(|| one_line(&error.to_string()));
        }));
        let by_loss = Arc::clone(&lost);
        device.set_device_lost_callback(move |reason, message| {
            by_loss.get_or_init(|| one_line(&format!("{reason:?}: {message}")));
        });
        Ok(Gpu { device, queue, name, lost, process: Process::this() })
    }

    /// Nanoseconds of a tick of the device's clock, where it was opened with timestamps.
    pub(super) fn tick_ns(&self) -> Option<f32> {
        let has_clock = self.device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        has_clock.then(|| self.queue.get_timestamp_period())
    }

    /// The device's name, for errors.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether this is a child of the process that opened the device. What it has of the device's
    /// is to be left as it is: it belongs to a driver whose threads are not there.
    pub(super) fn is_anothers(&self) -> bool {
        !self.process.is_this()
    }

    /// Whether the device is lost, or another process's.
    pub(super) fn check(&self) -> Result<(), BackendError> {
        if self.is_anothers() {
            return Err(BackendError::Forked { device: self.name.clone() });
        }
        if self.lost.get().is_some() { Err(self.lose(String::new())) } else { Ok(()) }
    }

    /// Gives the device up for this reason, unless it was lost for another before.
    pub(super) fn lose(&self, reason: String) -> BackendError {
        let message = self.lost.get_or_init(|| reason).clone();
        BackendError::Lost { device: self.name.clone(), message }
    }

    /// Runs a call on a live device; a panic inside it loses the device.
    pub(super) fn guarded<T>(
        &self,
        call: impl FnOnce(&wgpu::Device, &wgpu::Queue) -> T,
    ) -> Result<T, BackendError> {
        self.check()?;
        match catch_unwind(AssertUnwindSafe(|| call(&self.device, &self.queue))) {
            Ok(done) => self.check().map(|()| done),
            Err(panic) => Err(self.lose(words_of(&*panic))),
        }
    }

    /// Runs a call that creates something; what it is refused for is the error.
    pub(super) fn scoped<T>(
        &self,
        create: impl FnOnce(&wgpu::Device) -> T,
    ) -> Result<T, BackendError> {
        let (made, caught) = self.guarded(|device, _| caught(device, create))?;
        match caught {
            None => Ok(made),
            Some(Caught::Other(message)) => {
                Err(BackendError::Device { device: self.name.clone(), message })
            }
            Some(Caught::OutOfMemory(message)) => {
                Err(BackendError::OutOfMemory { device: self.name.clone(), message })
            }
        }
    }

    /// Fires the callbacks of what has completed; with a timeout, first waits for `submission`.
    /// Whether the submission has completed is for its callbacks to say.
    pub(super) fn poll(
        &self,
        submission: &wgpu::SubmissionIndex,
        timeout: Option<Duration>,
    ) -> Result<(), BackendError> {
        let poll = match timeout {
            None => wgpu::PollType::Poll,
            Some(_) => wgpu::PollType::Wait { submission_index: Some(submission.clone()), timeout },
        };
        match self.guarded(|device, _| device.poll(poll))? {
            Ok(_) | Err(wgpu::PollError::Timeout) => Ok(()),
            Err(error) => Err(self.lose(error.to_string())),
        }
    }

    /// A buffer with this content.
    pub(super) fn filled_buffer(
        &self,
        label: &str,
        usage: wgpu::BufferUsages,
        content: &[u8],
    ) -> Result<wgpu::Buffer, BackendError> {
        let (buffer, filled) = self.scoped(|device| {
            let buffer = device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: content.len() as u64,
                usage,
                mapped_at_creation: true,
            });
            let filled = buffer.get_mapped_range_mut(..).map(|mut to| to.copy_from_slice(content));
            buffer.unmap();
            (buffer, filled.is_ok())
        })?;
        // A lost device refuses nothing and maps nothing.
        if filled { Ok(buffer) } else { Err(self.lose(format!("{label}: not mapped"))) }
    }

    #[cfg(test)]
    pub(super) fn destroy(&self) {
        self.device.destroy();
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        if self.is_anothers() {
            leave((self.device.clone(), self.queue.clone()));
        }
    }
}

/// Leaves handles of wgpu's as they are: while one is not dropped, what it stands for stays.
pub(super) fn leave<T>(handles: T) {
    std::mem::forget(handles);
}

/// What `create` made, and the first error its scopes caught.
fn caught<T>(
    device: &wgpu::Device,
    create: impl FnOnce(&wgpu::Device) -> T,
) -> (T, Option<Caught>) {
    let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
    let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let made = create(device);
    let other = [pollster::block_on(validation.pop()), pollster::block_on(internal.pop())];
    let memory = pollster::block_on(memory.pop());
    let memory = memory.map(|error| Caught::OutOfMemory(one_line(&error.to_string())));
    let other = other.into_iter().flatten().next();
    (made, memory.or(other.map(|error| Caught::Other(one_line(&error.to_string())))))
}

/// A message of several lines in one.
fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What a panic said.
fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let words = panic.downcast_ref::<String>().map(String::as_str);
    one_line(words.or(panic.downcast_ref::<&str>().copied()).unwrap_or("the driver failed"))
}
