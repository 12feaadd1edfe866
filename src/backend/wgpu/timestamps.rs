//! How long the device computed, by its own clock.

use std::time::Duration;

/// Bytes of the two readings.
pub(super) const TICKS_BYTES: usize = 16;

/// Two readings of the device's clock, one before a batch's launches and one after.
#[derive(Clone, Debug)]
pub(super) struct Timestamps {
    readings: wgpu::QuerySet,
    /// The readings in memory, for them to be copied to where the host can map them.
    ticks: wgpu::Buffer,
}

impl Timestamps {
    /// Room for the readings of one batch; the device must have been opened with timestamps.
    pub(super) fn new(device: &wgpu::Device) -> Timestamps {
        let label = Some("timestamps");
        let ty = wgpu::QueryType::Timestamp;
        Timestamps {
            readings: device.create_query_set(&wgpu::QuerySetDescriptor { label, ty, count: 2 }),
            ticks: device.create_buffer(&wgpu::BufferDescriptor {
                label,
                size: TICKS_BYTES as u64,
                usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            }),
        }
    }

    /// Makes a pass read the clock at its start and at its end.
    pub(super) fn writes(&self) -> wgpu::ComputePassTimestampWrites<'_> {
        wgpu::ComputePassTimestampWrites {
            query_set: &self.readings,
            beginning_of_pass_write_index: Some(0),
            end_of_pass_write_index: Some(1),
        }
    }

    /// Copies the readings to the start of `to`.
    pub(super) fn copy(&self, encoder: &mut wgpu::CommandEncoder, to: &wgpu::Buffer) {
        encoder.resolve_query_set(&self.readings, 0..2, &self.ticks, 0);
        encoder.copy_buffer_to_buffer(&self.ticks, 0, to, 0, TICKS_BYTES as u64);
    }
}

/// The time between two readings in memory, at so many nanoseconds a tick; a clock that was reset
/// between them gives none.
pub(super) fn between(readings: &[u8], tick_ns: f32) -> Option<Duration> {
    let ([begin, end], _) = readings.as_chunks::<8>() else { return None };
    let ticks = u64::from_le_bytes(*end).checked_sub(u64::from_le_bytes(*begin))?;
    Duration::try_from_secs_f64(ticks as f64 * f64::from(tick_ns) * 1e-9).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_time() {
        let readings = |begin: u64, end: u64| [begin.to_le_bytes(), end.to_le_bytes()].concat();
        assert_eq!(between(&readings(10, 1010), 2.0), Some(Duration::from_micros(2)));
        assert_eq!(between(&readings(1010, 10), 2.0), None);
        assert_eq!(between(&[0; 8], 2.0), None);
    }
}
