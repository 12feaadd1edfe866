//! NVIDIA cards, through their management library.

use std::ffi::OsStr;

use nvml_wrapper::Nvml;

use super::NoEnergy;

/// The library's names, as the driver installs it and as toolkits link to it.
#[cfg(not(windows))]
pub(super) const LIBRARIES: &[&str] = &["libnvidia-ml.so.1", "libnvidia-ml.so"];
#[cfg(windows)]
pub(super) const LIBRARIES: &[&str] = &["nvml.dll"];
const MJ_PER_J: f64 = 1e3;

/// A card that counts its energy.
#[derive(Debug)]
pub(super) struct Card {
    library: Nvml,
    pci: String,
    last_mj: u64,
}

impl Card {
    /// The card at this place on the bus, through the first of these libraries that is there.
    pub(super) fn open(libraries: &[&str], pci: &str) -> Result<Card, NoEnergy> {
        let opened = libraries.iter().map(|library| {
            let opened = Nvml::builder().lib_path(OsStr::new(library)).init();
            opened.map_err(|error| NoEnergy::new(one_line(&format!("{library}: {error}"))))
        });
        let opened = opened.reduce(Result::or);
        let library = opened.unwrap_or_else(|| Err(NoEnergy::new("no library to look for")))?;
        let mut card = Card { library, pci: pci.to_owned(), last_mj: 0 };
        card.joules()?;
        Ok(card)
    }

    pub(super) fn joules(&mut self) -> Result<f64, NoEnergy> {
        let card = self.library.device_by_pci_bus_id(self.pci.as_str());
        let total = card.and_then(|card| card.total_energy_consumption());
        let total = total.map_err(|error| {
            NoEnergy::new(one_line(&format!("the energy of the card at {}: {error}", self.pci)))
        })?;
        // A driver that was loaded anew counts from 0.
        self.last_mj = self.last_mj.max(total);
        Ok(self.last_mj as f64 / MJ_PER_J)
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_not_there_is_a_reason() {
        let missing = Card::open(&["no-such-library.so", "nor-this-one.so"], "0000:1b:00.0");
        let line = missing.unwrap_err().to_string();
        assert!(line.contains("no-such-library.so") || line.contains("nor-this"), "{line}");
        assert!(!line.contains('\n') && Card::open(&[], "").is_err());
    }

    /// A library with one card, which takes a joule and a half between two looks.
    #[cfg(target_os = "linux")]
    const STAND_IN: &str = r#"
        #include <string.h>
        static unsigned long long total = 100000;
        extern "C" {
        int nvmlInit_v2() { return 0; }
        int nvmlShutdown() { return 0; }
        const char* nvmlErrorString(int) { return "an error"; }
        int nvmlDeviceGetHandleByPciBusId_v2(const char* id, void** device) {
            *device = &total;
            return strcmp(id, "0010:1b:00.0") == 0 ? 0 : 6;
        }
        int nvmlDeviceGetTotalEnergyConsumption(void* device, unsigned long long* millijoules) {
            if (device != &total) return 2;
            *millijoules = total;
            total += 1500;
            return total > 110000 ? 15 : 0;
        }
        }
    "#;

    #[cfg(target_os = "linux")]
    #[test]
    fn millijoules_of_the_card_at_this_place_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let [source, library] = ["nvml.cpp", "libnvml.so"].map(|name| folder.path().join(name));
        std::fs::write(&source, STAND_IN).unwrap();
        let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let mut build = cc::Build::new();
        build.cpp(true).target(&target).host(&target).opt_level(0).cargo_metadata(false);
        let Ok(compiler) = build.out_dir(folder.path()).try_get_compiler() else {
            assert!(std::env::var_os("CI").is_none(), "there is no C++ compiler");
            return;
        };
        let mut command = compiler.to_command();
        command.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source);
        let Ok(output) = command.output() else {
            assert!(std::env::var_os("CI").is_none(), "there is no C++ compiler");
            return;
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let library = library.to_str().unwrap();
        let other = Card::open(&[library], "0000:00:00.0").unwrap_err().to_string();
        assert!(other.contains("the card at 0000:00:00.0: "), "{other}");
        let mut card = Card::open(&["no-such-library.so", library], "0010:1b:00.0").unwrap();
        let looks = [card.joules().unwrap(), card.joules().unwrap()];
        assert_eq!(looks, [101.5, 103.0]);
        let lost = (0..10).find_map(|_| card.joules().err()).unwrap().to_string();
        assert!(lost.starts_with("the energy of the card at 0010:1b:00.0: "), "{lost}");
    }
}
