//! The processor's packages, through Linux' powercap.
//!
//! Every zone is a folder with a counter in microjoules, `energy_uj`, which begins at 0 again once
//! it has passed `max_energy_range_uj`. Zones of packages are `intel-rapl:0`, `intel-rapl:1`, on
//! AMD's processors too; `intel-rapl:0:0` is a part of one, `intel-rapl-mmio:0` the same again, and
//! one that is named `psys` is the whole machine.

use std::fs;
use std::path::{Path, PathBuf};

use super::NoEnergy;

const CONTROLS: [&str; 2] = ["intel-rapl", "amd-rapl"];
const COUNTER: &str = "energy_uj";
const RANGE: &str = "max_energy_range_uj";
const UJ_PER_J: f64 = 1e6;

/// All packages of a machine.
#[derive(Debug)]
pub(super) struct Packages(Vec<Package>);

#[derive(Debug)]
struct Package {
    counter: PathBuf,
    /// The counter's highest value.
    range_uj: u64,
    last_uj: u64,
    /// What was counted since the meter was opened.
    total_uj: u64,
}

impl Packages {
    pub(super) fn open(powercap: &Path) -> Result<Packages, NoEnergy> {
        let none = || {
            let at = powercap.display();
            NoEnergy::new(format!("{at}: no processor package tells how much energy it takes"))
        };
        let zones = fs::read_dir(powercap).map_err(|_| none())?;
        let zones = zones.filter_map(|zone| Some(zone.ok()?.path()));
        let mut zones: Vec<PathBuf> = zones.filter(|zone| is_package(zone)).collect();
        zones.sort();
        let packages = zones.iter().map(|zone| Package::open(zone));
        let packages = packages.collect::<Result<Vec<_>, _>>()?;
        if packages.is_empty() { Err(none()) } else { Ok(Packages(packages)) }
    }

    pub(super) fn joules(&mut self) -> Result<f64, NoEnergy> {
        self.0.iter_mut().try_for_each(Package::look)?;
        Ok(self.0.iter().map(|package| package.total_uj as f64 / UJ_PER_J).sum())
    }
}

/// Whether a zone is a package as a whole.
fn is_package(zone: &Path) -> bool {
    let name = zone.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_top = name.split_once(':').is_some_and(|(control, number)| {
        CONTROLS.contains(&control) && number.parse::<u32>().is_ok()
    });
    let what = || fs::read_to_string(zone.join("name")).unwrap_or_default();
    is_top && what().starts_with("package")
}

impl Package {
    fn open(zone: &Path) -> Result<Package, NoEnergy> {
        let counter = zone.join(COUNTER);
        let (range_uj, last_uj) = (read(&zone.join(RANGE))?, read(&counter)?);
        Ok(Package { counter, range_uj, last_uj, total_uj: 0 })
    }

    /// Counts what was taken since the last look.
    fn look(&mut self) -> Result<(), NoEnergy> {
        let now_uj = read(&self.counter)?;
        let taken = now_uj.checked_sub(self.last_uj).or_else(|| {
            let before = self.range_uj.checked_sub(self.last_uj)?;
            before.checked_add(now_uj)
        });
        let Some(taken) = taken else {
            let (counter, range) = (self.counter.display(), self.range_uj);
            let (last, now) = (self.last_uj, now_uj);
            let reason = format!("{counter}: fell from {last} to {now}, and its range is {range}");
            return Err(NoEnergy::new(reason));
        };
        self.last_uj = now_uj;
        self.total_uj = self.total_uj.saturating_add(taken);
        Ok(())
    }
}

fn read(file: &Path) -> Result<u64, NoEnergy> {
    let at = file.display();
    let text = fs::read_to_string(file).map_err(|error| {
        let advice = match error.kind() {
            std::io::ErrorKind::PermissionDenied => "; only root may read it, or who root lets",
            _ => "",
        };
        NoEnergy::new(format!("{at}: {error}{advice}"))
    })?;
    text.trim().parse().map_err(|_| NoEnergy::new(format!("{at}: holds no number of microjoules")))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::super::Meter;
    use super::*;

    /// A made-up powercap.
    struct Machine(TempDir);

    impl Machine {
        fn new() -> Machine {
            Machine(tempfile::tempdir().unwrap())
        }

        fn zone(&self, zone: &str, name: &str, energy_uj: &str) -> &Machine {
            let folder = self.0.path().join(zone);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("name"), format!("{name}\n")).unwrap();
            fs::write(folder.join(COUNTER), format!("{energy_uj}\n")).unwrap();
            fs::write(folder.join(RANGE), "1000000000\n").unwrap();
            self
        }

        fn counts(&self, zone: &str, energy_uj: &str) {
            fs::write(self.0.path().join(zone).join(COUNTER), energy_uj).unwrap();
        }

        fn open(&self) -> Result<Meter, NoEnergy> {
            Meter::of_packages(self.0.path())
        }

        fn refused(&self) -> String {
            let line = self.open().unwrap_err().to_string();
            assert!(!line.contains('\n'), "{line}");
            line
        }
    }

    #[test]
    fn packages_count_once_and_nothing_else_does() {
        let machine = Machine::new();
        machine.zone("intel-rapl:0", "package-0", "5000000");
        machine.zone("intel-rapl:1", "package-1", "900000000");
        let others = [
            ("intel-rapl:0:0", "core"),
            ("intel-rapl:0:1", "package-0"),
            ("intel-rapl:2", "psys"),
            ("intel-rapl-mmio:0", "package-0"),
            ("intel-rapl", "package-0"),
            ("dtpm:0", "package-0"),
        ];
        for (zone, name) in others {
            machine.zone(zone, name, "0");
        }
        let mut meter = machine.open().unwrap();
        assert_eq!((meter.joules().unwrap(), meter.covers()), (0.0, "packages"));
        others.iter().for_each(|(zone, _)| machine.counts(zone, "777000000"));
        assert_eq!(meter.joules().unwrap(), 0.0);
        machine.counts("intel-rapl:0", "6500000");
        machine.counts("intel-rapl:1", "902000000");
        assert_eq!((meter.joules().unwrap(), meter.joules().unwrap()), (3.5, 3.5));
    }

    #[test]
    fn a_counter_that_wraps_around_goes_on() {
        let machine = Machine::new();
        machine.zone("intel-rapl:0", "package-0", "999000000");
        let mut meter = machine.open().unwrap();
        machine.counts("intel-rapl:0", "2000000");
        assert_eq!(meter.joules().unwrap(), 3.0);
        machine.counts("intel-rapl:0", "1000000");
        assert_eq!(meter.joules().unwrap(), 3.0 + 999.0);
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        assert!(Machine::new().refused().contains("no processor package"));
        let missing = Meter::of_packages(Path::new("no such folder")).unwrap_err().to_string();
        assert!(missing.starts_with("no such folder: "), "{missing}");
        let machine = Machine::new();
        machine.zone("intel-rapl:0", "core", "1");
        assert!(machine.refused().contains("no processor package"));
        for garbage in ["", "-1", "1.5", "x", "99999999999999999999999"] {
            machine.zone("intel-rapl:0", "package-0", garbage);
            assert!(machine.refused().contains("no number of microjoules"), "{garbage}");
        }
        // One package of two would be half of the truth.
        machine.zone("intel-rapl:0", "package-0", "1").zone("intel-rapl:1", "package-1", "1");
        fs::remove_file(machine.0.path().join("intel-rapl:1").join(COUNTER)).unwrap();
        assert!(machine.refused().contains("intel-rapl:1"));
    }

    #[test]
    fn a_counter_that_is_lost_or_leaves_its_range_is_no_total() {
        let machine = Machine::new();
        machine.zone("intel-rapl:0", "package-0", "3000000000");
        let mut meter = machine.open().unwrap();
        machine.counts("intel-rapl:0", "1");
        let line = meter.joules().unwrap_err().to_string();
        assert!(line.contains("its range is 1000000000"), "{line}");
        machine.counts("intel-rapl:0", "gone");
        assert!(meter.joules().is_err());
    }
}
