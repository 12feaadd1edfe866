//! What can be wrong with the files of a record.

use std::io;
use std::path::PathBuf;

use super::FORMAT;

/// Why a record was not written, read or compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// A file or folder could not be written or read.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{path} is no record: {reason}", path = path.display())]
    NoRecord {
        /// Which one.
        path: PathBuf,
        /// What is missing or wrong.
        reason: String,
    },
    /// The file is one of another version's.
    #[error(
        "{path} is a record of format {found}; this version reads {FORMAT}",
        path = path.display()
    )]
    OtherFormat {
        /// Which one.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The file is too large for a record.
    #[error("{path} is larger than {max_mib} MiB, as no record is", path = path.display())]
    TooLarge {
        /// Which one.
        path: PathBuf,
        /// How large a record may be.
        max_mib: u64,
    },
    /// The two are of different experiments.
    #[error("records of different experiments, {first} and {second}, have nothing to compare")]
    OtherExperiment {
        /// The first one's experiment.
        first: String,
        /// The second one's.
        second: String,
    },
}
