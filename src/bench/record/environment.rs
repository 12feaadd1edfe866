//! What a record was taken on.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::super::machine::Machine;
use super::super::report::{DeviceReport, State};
use super::system::{self, Ticks};

/// Up to here, a host that takes its processors away is not worth a word.
const STOLEN_SHARE_MAX: f64 = 0.01;
/// The same for threads that want a core at the start.
const LOAD_PER_CORE_MAX: f64 = 0.5;

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

    /// What may have spoilt the figures, a sentence each.
    pub fn disturbances(&self) -> Vec<String> {
        let mut found = Vec::new();
        if let Some(share) = self.stolen_share.filter(|share| *share > STOLEN_SHARE_MAX) {
            let percent = share * 100.0;
            found.push(format!(
                "The machine's host took its processors away for {percent:.1} % of the time."
            ));
        }
        let (cores, busy) = (self.cores, self.load_average.unwrap_or(0.0));
        if busy > LOAD_PER_CORE_MAX * cores as f64 {
            found.push(format!(
                "The machine was busy: at the start, {busy:.1} threads wanted its {cores} cores."
            ));
        }
        if self.debug_build {
            let release = "figures worth quoting come from --release";
            found.push(format!("This is a debug build: {release}."));
        }
        found
    }

    /// What differs between the machines and builds of two records, the commit and the time left
    /// out; a clause each.
    pub fn differences(&self, other: &Environment) -> Vec<String> {
        let pairs = [
            ("processor", self.cpu.clone(), other.cpu.clone()),
            ("SIMD level", self.simd.clone(), other.simd.clone()),
            ("cores", self.cores.to_string(), other.cores.to_string()),
            ("system", self.os.clone(), other.os.clone()),
            ("architecture", self.arch.clone(), other.arch.clone()),
            ("build", self.build().to_owned(), other.build().to_owned()),
            ("devices", self.names_of_devices(), other.names_of_devices()),
        ];
        let differ = pairs.into_iter().filter(|(_, first, second)| first != second);
        differ.map(|(name, first, second)| format!("{name}: {first} and {second}")).collect()
    }

    /// How it was built.
    pub(super) fn build(&self) -> &'static str {
        if self.debug_build { "debug" } else { "release" }
    }

    fn names_of_devices(&self) -> String {
        let present = self.devices.iter().filter(|device| device.took_part);
        let names = present.map(|device| format!("{} ({})", device.backend, device.name));
        names.collect::<Vec<_>>().join(", ")
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

#[cfg(test)]
mod tests {
    use super::super::example;

    #[test]
    fn a_quiet_machine_needs_no_warning_and_a_busy_one_does() {
        let mut environment = example::record().environment;
        environment.cores = 2;
        (environment.stolen_share, environment.load_average) = (Some(0.01), Some(1.0));
        assert_eq!(environment.disturbances(), Vec::<String>::new());
        (environment.stolen_share, environment.load_average) = (None, None);
        assert_eq!(environment.disturbances(), Vec::<String>::new());
        (environment.stolen_share, environment.load_average) = (Some(0.034), Some(1.2));
        environment.debug_build = true;
        let said = environment.disturbances().join(" ");
        for word in ["for 3.4 % of", "1.2 threads wanted its 2 cores", "debug build"] {
            assert!(said.contains(word), "{said}");
        }
    }

    #[test]
    fn another_commit_is_the_same_machine_and_another_processor_is_not() {
        let first = example::record().environment;
        let mut second = first.clone();
        (second.commit, second.took_s, second.started_unix_s) = (None, 1.0, 2);
        assert_eq!(first.differences(&second), Vec::<String>::new());
        second.cpu = String::from("another");
        second.devices.clear();
        let said = first.differences(&second);
        assert!(said.len() == 2 && said[0].ends_with(" and another"), "{said:?}");
    }
}
