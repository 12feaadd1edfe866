//! The compiled kernels that travel with the crate, and which of them a device takes.

use std::io::{Cursor, Read};

use zip::ZipArchive;

/// Every kernel for one architecture: an archive of modules, one for each kernel, so that a driver
/// compiles those that run and no others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Artefact {
    /// The architecture's name.
    pub(super) name: &'static str,
    /// What its modules are: `ptx`, which a driver compiles, or `cubin`, machine code.
    kind: &'static str,
    archive: &'static [u8],
}

const SM_90: Artefact = Artefact {
    name: "sm_90",
    kind: "cubin",
    archive: include_bytes!("../../../kernels/generated/sm_90.zip"),
};
const COMPUTE_80: Artefact = Artefact {
    name: "compute_80",
    kind: "ptx",
    archive: include_bytes!("../../../kernels/generated/compute_80.zip"),
};
const COMPUTE_75: Artefact = Artefact {
    name: "compute_75",
    kind: "ptx",
    archive: include_bytes!("../../../kernels/generated/compute_75.zip"),
};

/// The oldest devices that any kernel is made for, for people.
pub(super) const OLDEST: &str = "7.5";

/// What a device of this compute capability takes, the best first: what comes later is for drivers
/// that refuse what comes first.
pub(super) fn fitting(capability: (i32, i32)) -> Vec<Artefact> {
    match capability {
        // Machine code is for the devices of one generation, PTX for all later ones too.
        (9, _) => vec![SM_90, COMPUTE_80],
        (8.., _) => vec![COMPUTE_80],
        (7, 5..) => vec![COMPUTE_75],
        _ => Vec::new(),
    }
}

impl Artefact {
    /// The module of a kernel, as a driver loads it; `None` where the architecture has no such
    /// kernel.
    pub(super) fn module(&self, kernel: &str) -> Option<Vec<u8>> {
        let mut archive = ZipArchive::new(Cursor::new(self.archive)).ok()?;
        let mut entry = archive.by_name(&format!("{kernel}.{}", self.kind)).ok()?;
        let mut image = Vec::new();
        entry.read_to_end(&mut image).ok()?;
        Some(image)
    }
}

impl std::fmt::Debug for Artefact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Artefact").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_takes_the_newest_it_can() {
        let names = |capability| {
            fitting(capability).iter().map(|artefact| artefact.name).collect::<Vec<_>>()
        };
        assert_eq!(names((9, 0)), ["sm_90", "compute_80"]);
        for newer in [(8, 0), (8, 9), (10, 0), (12, 1)] {
            assert_eq!(names(newer), ["compute_80"], "{newer:?}");
        }
        assert_eq!(names((7, 5)), ["compute_75"]);
        for older in [(7, 0), (6, 1), (3, 5)] {
            assert!(names(older).is_empty(), "{older:?}");
        }
    }

    #[test]
    fn modules_are_what_a_driver_takes() {
        let module = |artefact: Artefact, kernel| artefact.module(kernel).unwrap();
        assert!(module(SM_90, "fused_mlp_u8_f16_4").starts_with(b"\x7fELF"));
        for artefact in [COMPUTE_80, COMPUTE_75] {
            let text = String::from_utf8(module(artefact, "few_rows_f32_f32_1")).unwrap();
            assert!(text.contains(".visible .entry few_rows_f32_f32_1"));
            let target = artefact.name.replace("compute", "sm");
            assert!(text.contains(&format!(".target {target}")), "{}", &text[..400]);
            // Of the first driver for CUDA 12: every later one takes it.
            assert!(text.contains(".version 8.0"), "{}", &text[..400]);
        }
        assert!(COMPUTE_75.module("dense_f32_f32").is_none());
    }
}
