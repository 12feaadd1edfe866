//! A made-up counter of energy.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Does something while the counter in a powercap folder moves by 1 J every millisecond, which is
/// 1 kW, more or less.
pub(in crate::bench) fn moving<T>(run: impl FnOnce(&Path) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    let zone = folder.path().join("intel-rapl:0");
    fs::create_dir(&zone).unwrap();
    for (file, text) in [("name", "package-0"), ("max_energy_range_uj", "1000000000000")] {
        fs::write(zone.join(file), text).unwrap();
    }
    let fresh = folder.path().join("fresh");
    let counts = |joules: u64| {
        fs::write(&fresh, (joules * 1_000_000).to_string()).unwrap();
        fs::rename(&fresh, zone.join("energy_uj")).unwrap();
    };
    counts(0);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut joules = 0;
            while !over.load(Ordering::Relaxed) {
                joules += 1;
                counts(joules);
                thread::sleep(Duration::from_millis(1));
            }
        });
        let _end = End(&over);
        run(folder.path())
    })
}

/// Ends the counting, also where what it is for panics.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
