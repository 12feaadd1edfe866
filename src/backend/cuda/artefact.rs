//! The compiled kernels that travel with the crate, and which of them a device takes.

/// A module as the driver loads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Artefact {
    /// The file's name.
    pub(super) name: &'static str,
    pub(super) image: &'static [u8],
}

const SM_90: Artefact = Artefact {
    name: "sm_90.cubin",
    image: include_bytes!("../../../kernels/generated/sm_90.cubin"),
};
const COMPUTE_80: Artefact = Artefact {
    name: "compute_80.ptx",
    image: include_bytes!("../../../kernels/generated/compute_80.ptx"),
};
const COMPUTE_75: Artefact = Artefact {
    name: "compute_75.ptx",
    image: include_bytes!("../../../kernels/generated/compute_75.ptx"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_takes_the_newest_it_can() {
        let names = |capability| {
            fitting(capability).iter().map(|artefact| artefact.name).collect::<Vec<_>>()
        };
        assert_eq!(names((9, 0)), ["sm_90.cubin", "compute_80.ptx"]);
        for newer in [(8, 0), (8, 9), (10, 0), (12, 1)] {
            assert_eq!(names(newer), ["compute_80.ptx"], "{newer:?}");
        }
        assert_eq!(names((7, 5)), ["compute_75.ptx"]);
        for older in [(7, 0), (6, 1), (3, 5)] {
            assert!(names(older).is_empty(), "{older:?}");
        }
    }
}
