//! What the operating system tells of the machine, where it does: files of Linux's.

use std::fs;

/// Time of all processors together, in the system's ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticks {
    all: u64,
    /// Wanted by this machine, and given to others by its host.
    stolen: u64,
}

impl Ticks {
    /// Of the time between two looks, what was stolen.
    pub(super) fn stolen_between(first: Option<Ticks>, last: Option<Ticks>) -> Option<f64> {
        let (first, last) = (first?, last?);
        let all = last.all.checked_sub(first.all).filter(|all| *all > 0)?;
        Some(last.stolen.saturating_sub(first.stolen) as f64 / all as f64)
    }

    /// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal.
    fn of(line: &str) -> Option<Ticks> {
        let numbers = line.strip_prefix("cpu ")?.split_whitespace();
        let ticks: Vec<u64> = numbers.take(8).filter_map(|number| number.parse().ok()).collect();
        Some(Ticks { all: ticks.iter().sum(), stolen: *ticks.get(7)? })
    }
}

pub(super) fn ticks() -> Option<Ticks> {
    Ticks::of(fs::read_to_string("/proc/stat").ok()?.lines().next()?)
}

/// The first processor's clock.
pub(super) fn clock_mhz() -> Option<f64> {
    mhz(&fs::read_to_string("/proc/cpuinfo").ok()?)
}

fn mhz(cpuinfo: &str) -> Option<f64> {
    let line = cpuinfo.lines().find(|line| line.starts_with("cpu MHz"))?;
    line.split(':').nth(1)?.trim().parse().ok()
}

pub(super) fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// The operating system and, where it tells, its version.
pub(super) fn os() -> String {
    let version = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{} {}", std::env::consts::OS, version.trim()).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stolen_time_is_a_share_of_all_time() {
        let ticks = |line| Ticks::of(line);
        let first = ticks("cpu  10 0 10 70 0 0 0 10 5 5");
        let last = ticks("cpu  20 0 20 130 0 0 0 30 9 9");
        assert_eq!(Ticks::stolen_between(first, last), Some(0.2));
        assert_eq!(Ticks::stolen_between(first, first), None);
        assert_eq!((ticks("cpu0 1 2"), ticks("cpu  1 2")), (None, None));
    }

    #[test]
    fn a_clock_is_read_where_there_is_one() {
        assert_eq!(mhz("processor: 0\ncpu MHz\t\t: 2596.120\n"), Some(2596.12));
        assert_eq!(mhz("processor: 0\n"), None);
    }
}
