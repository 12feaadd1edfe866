//! The device's ceilings, measured: how fast its memory is, and the way to it.
//!
//! The memory's is that of copies within it, read and written bytes counted, of blocks that no
//! cache holds: a batch that stays in one may come out above it. Operations are left out, because
//! nothing here measures how many of them the tensor cores do.

#![allow(unsafe_code)]

use std::time::{Duration, Instant};

use super::gpu::{Gpu, Live};
use super::memory::{DeviceMemory, Pinned};
use super::opened::Opened;
use super::queue::Queue;
use crate::backend::BackendError;
use crate::plan::{Link, Peak};

/// A block is so small a part of the device's memory that there is room for two, and no larger or
/// smaller than this.
const PART: usize = 64;
const BLOCK_BYTES: [usize; 2] = [1 << 20, 512 << 20];
/// What is copied from the host and back, at most.
const LINK_BYTES: usize = 64 << 20;
/// The best of so many copies counts: what disturbs a copy only makes it longer.
const COPIES: usize = 5;
/// How long a copy may take on a device that lives.
const LIMIT: Duration = Duration::from_secs(2);

/// Measures copies within the device's memory, to it and from it. Takes some 100 ms.
pub(super) fn measure(opened: &Opened) -> Result<Peak, BackendError> {
    let gpu = &opened.gpu;
    let queue = Queue::new(gpu, true)?;
    let bytes = (opened.found.memory / PART).clamp(BLOCK_BYTES[0], BLOCK_BYTES[1]);
    let [first, second] = [DeviceMemory::new(gpu, bytes)?, DeviceMemory::new(gpu, bytes)?];
    let host_bytes = bytes.min(LINK_BYTES);
    let host = Pinned::new(gpu, host_bytes)?;
    let (here, there, stream) = (host.start(), first.start(), queue.stream());
    let timing = Timing { gpu, queue: &queue };
    // SAFETY: each block holds as much as is copied; all are this function's own, and what is given
    // back is waited for by the driver, or left behind with a device that is lost.
    let to = timing.best(|live| unsafe { live.copy_in(there, here, host_bytes, stream) })?;
    // SAFETY: as above.
    let from = timing.best(|live| unsafe { live.copy_out(here, there, host_bytes, stream) })?;
    let other = second.start();
    // SAFETY: as above.
    let within = timing.best(|live| unsafe { live.copy_within(other, there, bytes, stream) })?;
    Ok(Peak {
        flops_per_s: None,
        bytes_per_s: 2.0 * bytes as f64 / within,
        link: Some(Link {
            in_bytes_per_s: host_bytes as f64 / to,
            out_bytes_per_s: host_bytes as f64 / from,
        }),
    })
}

/// Copies of one queue, timed by the device.
struct Timing<'a> {
    gpu: &'a Gpu,
    queue: &'a Queue,
}

impl Timing<'_> {
    /// The seconds of the shortest of some copies.
    fn best(
        &self,
        copy: impl Fn(Live<'_>) -> Result<(), BackendError>,
    ) -> Result<f64, BackendError> {
        let mut best = f64::INFINITY;
        for _ in 0..COPIES {
            best = best.min(self.once(&copy)?.as_secs_f64());
        }
        Ok(best)
    }

    fn once(
        &self,
        copy: impl Fn(Live<'_>) -> Result<(), BackendError>,
    ) -> Result<Duration, BackendError> {
        let (gpu, queue) = (self.gpu, self.queue);
        let live = gpu.enter()?;
        queue.launches_begin(live)?;
        copy(live)?;
        queue.launches_end(live)?;
        queue.batch_ends(live)?;
        let deadline = Instant::now() + LIMIT;
        while !queue.is_done(live)? {
            if Instant::now() >= deadline {
                // Its memory cannot be taken back.
                return Err(gpu.lose(String::from("a copy does not end")));
            }
            std::hint::spin_loop();
        }
        let time = queue.compute_time(live)?.filter(|time| !time.is_zero());
        time.ok_or_else(|| BackendError::Device {
            device: gpu.name().to_owned(),
            message: String::from("a copy took no time by the device's clock"),
        })
    }
}
