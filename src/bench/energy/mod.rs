//! How much energy a device takes, where its maker or the system counts it.
//!
//! A [`Meter`] reads a total that only grows; whoever measures takes the difference over a stretch
//! of work, [`Meter::time_min`] or longer, because counters move in steps. Everything
//! that the counter covers counts: other programs on the same processor or card, too, and what it
//! takes when it is idle.
//!
//! Processors are read through Linux' powercap, whole packages: cores, caches and the memory
//! controller. NVIDIA cards are read through their management library (NVML), found by where they
//! are on the bus: the whole card with its memory.

#[cfg(not(feature = "cuda"))]
mod absent;
#[cfg(feature = "cuda")]
mod card;
mod packages;

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

#[cfg(not(feature = "cuda"))]
use self::absent::{Card, LIBRARIES};
#[cfg(feature = "cuda")]
use self::card::{Card, LIBRARIES};
use self::packages::Packages;
use crate::backend::{BackendKind, DeviceInfo};

/// Where Linux tells of the energy that processors take.
const POWERCAP: &str = "/sys/class/powercap";

/// Why energy cannot be read, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NoEnergy {
    reason: String,
}

impl NoEnergy {
    fn new(reason: impl Into<String>) -> NoEnergy {
        NoEnergy { reason: reason.into() }
    }
}

/// What a counter told of a stretch of work, with all else that it covers, idle or not.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Energy {
    /// `packages`: all of the machine's processors; `card`: one card.
    pub covers: &'static str,
    /// Joules over the rows that were answered.
    pub row_j: f64,
    /// Joules over the time.
    pub power_w: f64,
}

/// Counts the energy that a device takes.
#[derive(Debug)]
pub struct Meter(Counter);

#[derive(Debug)]
enum Counter {
    Packages(Packages),
    Card(Box<Card>),
}

impl Meter {
    /// The meter of what computes for a device: its card, or for a processor, also one that renders
    /// like a GPU, the packages of this machine.
    ///
    /// # Errors
    ///
    /// [`NoEnergy`]: nothing counts it, or this user may not read it.
    pub fn open(device: &DeviceInfo) -> Result<Meter, NoEnergy> {
        if device.backend == BackendKind::Cpu || device.software {
            return Meter::of_packages(Path::new(POWERCAP));
        }
        Meter::of_card(device)
    }

    /// The meter of all processor packages that a powercap folder tells of, which is
    /// `/sys/class/powercap` but in tests.
    ///
    /// # Errors
    ///
    /// [`NoEnergy`]: there is none, or one of them cannot be read.
    pub fn of_packages(powercap: &Path) -> Result<Meter, NoEnergy> {
        Ok(Meter(Counter::Packages(Packages::open(powercap)?)))
    }

    fn of_card(device: &DeviceInfo) -> Result<Meter, NoEnergy> {
        let Some(pci) = &device.pci else {
            let reason = format!("{}: the driver does not say where it is on the bus", device.name);
            return Err(NoEnergy::new(reason));
        };
        Ok(Meter(Counter::Card(Box::new(Card::open(LIBRARIES, pci)?))))
    }

    /// Joules since some moment before the meter was opened, or since it was; never fewer than
    /// before. To be read every minute at least: a processor's counter that wrapped around twice
    /// between two looks cannot be told from one that did once.
    ///
    /// # Errors
    ///
    /// [`NoEnergy`]: what could be read once no longer can.
    pub fn joules(&mut self) -> Result<f64, NoEnergy> {
        match &mut self.0 {
            Counter::Packages(packages) => packages.joules(),
            Counter::Card(card) => card.joules(),
        }
    }

    /// How often the counter moves: processors' every millisecond, cards' every 20 to 100.
    pub fn resolution(&self) -> Duration {
        match &self.0 {
            Counter::Packages(_) => Duration::from_millis(1),
            Counter::Card(_) => Duration::from_millis(100),
        }
    }

    /// How long a stretch of work has to be for its energy to be told within a tenth.
    pub fn time_min(&self) -> Duration {
        self.resolution() * 10
    }

    /// Whether a stretch of work is as long as that.
    pub fn can_tell(&self, time: Duration) -> bool {
        time >= self.time_min()
    }

    /// What the counter told, if it moved by so many joules while so many rows were answered; none
    /// where that took too little time for it to tell.
    pub fn energy(&self, joules: f64, rows: u64, time: Duration) -> Option<Energy> {
        let (row_j, power_w) = (joules / rows as f64, joules / time.as_secs_f64());
        self.can_tell(time).then(|| Energy { covers: self.covers(), row_j, power_w })
    }

    /// Why nothing is told of stretches of work of this length; none where something is.
    pub(super) fn why_not(&self, time: Duration) -> Option<String> {
        let (moves, least) = (self.resolution().as_millis(), self.time_min().as_secs_f64());
        let counter = self.covers();
        let reason = format!(
            "the counter ({counter}) moves every {moves} ms, and tells of figures that take \
             {least} s and longer"
        );
        (!self.can_tell(time)).then_some(reason)
    }

    /// What it counts: `packages` or `card`.
    pub fn covers(&self) -> &'static str {
        match &self.0 {
            Counter::Packages(_) => "packages",
            Counter::Card(_) => "card",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(backend: BackendKind, software: bool, pci: Option<&str>) -> DeviceInfo {
        let (name, detail) = (String::from("a device"), String::new());
        DeviceInfo { backend, name, detail, software, pci: pci.map(str::to_owned) }
    }

    /// Whether there is a counter here or not: a reason in one line, or a total that only grows.
    #[test]
    fn every_device_has_a_meter_or_a_reason() {
        for (backend, software) in
            [(BackendKind::Cpu, false), (BackendKind::Wgpu, true), (BackendKind::Cuda, false)]
        {
            match Meter::open(&device(backend, software, Some("0000:ff:1f.0"))) {
                Ok(mut meter) => {
                    let first = meter.joules().unwrap();
                    assert!(meter.joules().unwrap() >= first && backend != BackendKind::Cuda);
                }
                Err(reason) => {
                    let line = reason.to_string();
                    assert!(!line.is_empty() && !line.contains('\n'), "{line}");
                }
            }
        }
        let lost = Meter::open(&device(BackendKind::Cuda, false, None)).unwrap_err().to_string();
        assert!(lost.starts_with("a device: "), "{lost}");
    }
}
