//! How much memory the process has.

use serde::Serialize;

/// The process's resident memory before and after many requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Memory {
    /// Requests between the two looks.
    pub requests: u64,
    /// Bytes before them, after as many rounds of warm-up as any figure gets.
    pub before_bytes: u64,
    /// Bytes after them.
    pub after_bytes: u64,
}

/// Bytes of the process that are in memory; `None` where the system does not tell: only Linux does.
pub(super) fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    bytes_in(&status)
}

fn bytes_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_read_as_linux_writes_it() {
        let status = "VmPeak:\t  9999 kB\nVmRSS:\t    1234 kB\nRssAnon:\t 12 kB\n";
        assert_eq!(bytes_in(status), Some(1234 * 1024));
        assert_eq!(bytes_in("VmPeak:\t  9999 kB\n"), None);
        assert_eq!(bytes_in("VmRSS:\t many kB\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_grows_when_it_fills_memory() {
        let before = resident_bytes().unwrap();
        let filled = std::hint::black_box(vec![1_u8; 64 << 20]);
        let after = resident_bytes().unwrap();
        assert!(after >= before + (32 << 20), "{before} to {after}");
        drop(filled);
    }
}
