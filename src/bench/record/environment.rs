//! What a record was taken on.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::super::machine::Machine;
use super::super::report::{DeviceReport, State};
use super::system::{self, Ticks};

/// The machine, the build, the devices, and how quiet it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// The processor's name.
    pub cpu: String,
    /// The SIMD level its kernels use.
    pub simd: String,
    /// Cores this process may use.
    pub cores: usize,
    /// The processor's clock as the system tells it, at the start and at the end; none where it
    /// does not.
    pub clock_mhz: Vec<f64>,
    /// The operating system and its version.
    pub os: String,
    /// The processor's architecture.
    pub arch: String,
    /// The version of this crate.
    pub version: String,
    /// The commit it was built from, where that is known.
    pub commit: Option<String>,
    /// Whether the build checks itself and is slow for it.
    pub debug_build: bool,
    /// Every device that was looked for.
    pub devices: Vec<DeviceFacts>,
    /// Seconds since 1970, when it began.
    pub started_unix_s: u64,
    /// How long it took.
    pub took_s: f64,
    /// The share of the time that the machine's host took its processors away, where it tells.
    pub stolen_share: Option<f64>,
    /// How many threads wanted to run at the start, over the last minute.
    pub load_average: Option<f64>,
}

/// A device, or a backend that has none here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceFacts {
    /// The backend's name.
    pub backend: String,
    /// The device's name, or why there is none.
    pub name: String,
    /// Its driver and what else the backend says of it.
    pub detail: String,
    /// Whether it took part.
    pub took_part: bool,
    /// Whether it failed, for the reason that stands for its name.
    pub failed: bool,
}

impl Environment {
    /// Begins to watch the machine.
    pub fn watch() -> Watch {
        Watch {
            begun: Instant::now(),
            since_1970: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            clock_mhz: system::clock_mhz(),
            ticks: system::ticks(),
            load_average: system::load_average(),
        }
    }
}

/// An environment while its record is taken.
#[derive(Clone, Debug)]
pub struct Watch {
    begun: Instant,
    since_1970: Duration,
    clock_mhz: Option<f64>,
    ticks: Option<Ticks>,
    load_average: Option<f64>,
}

impl Watch {
    /// What the record was taken on, and on which devices.
    pub fn finish(self, devices: &[DeviceReport]) -> Environment {
        let machine = Machine::here();
        Environment {
            cpu: machine.cpu,
            simd: machine.simd,
            cores: machine.cores,
            clock_mhz: self.clock_mhz.into_iter().chain(system::clock_mhz()).collect(),
            os: system::os(),
            arch: machine.arch.to_owned(),
            version: machine.version.to_owned(),
            commit: machine.commit.map(str::to_owned),
            debug_build: machine.debug_build,
            devices: devices.iter().map(DeviceFacts::of).collect(),
            started_unix_s: self.since_1970.as_secs(),
            took_s: self.begun.elapsed().as_secs_f64(),
            stolen_share: Ticks::stolen_between(self.ticks, system::ticks()),
            load_average: self.load_average,
        }
    }
}

impl DeviceFacts {
    fn of(device: &DeviceReport) -> DeviceFacts {
        let said = [&device.reason, &device.name, &device.looked_for];
        DeviceFacts {
            backend: device.backend.to_owned(),
            name: said.into_iter().flatten().next().cloned().unwrap_or_default(),
            detail: device.detail.clone().unwrap_or_default(),
            took_part: device.state == State::Found,
            failed: device.state == State::Failed,
        }
    }
}
