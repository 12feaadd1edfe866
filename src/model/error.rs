//! What can be wrong with a model or its file.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use super::Format;

/// Why a model could not be read or built. One line: what, where, expected and got, what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The file system said no.
    #[error("{}: {message}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The kind of the failure.
        kind: io::ErrorKind,
        /// The system's own words.
        message: String,
    },
    /// The content is of no format this version reads.
    #[error(
        "{}: {found}; known are ONNX, safetensors, NumPy, PyTorch, TensorFlow, Keras and model.toml",
        path.display()
    )]
    UnknownFormat {
        /// The file or directory.
        path: PathBuf,
        /// What was found instead.
        found: String,
    },
    /// The file is damaged, or lies about itself.
    #[error("{format}: {at}: expected {expected}, got {got}")]
    Malformed {
        /// The format the file was read as.
        format: Format,
        /// The tensor, node or header it went wrong at.
        at: String,
        /// What should have stood there.
        expected: String,
        /// What stood there.
        got: String,
    },
    /// The file is sound, but holds something that is no part of a dense chain.
    #[error("node '{node}' ({op}): {reason}")]
    Unsupported {
        /// The node's or layer's name.
        node: String,
        /// The operator.
        op: String,
        /// Why it cannot be run, and what would help.
        reason: String,
    },
    /// The file is sound, but does not say something that has to be said.
    #[error("{format}: the file does not say {what}; {how}")]
    Undeclared {
        /// The format the file was read as.
        format: Format,
        /// What is missing.
        what: String,
        /// How to say it.
        how: String,
    },
    /// A size is past its limit.
    #[error("{what}: at most {limit}, got {got}")]
    TooLarge {
        /// What is too large.
        what: String,
        /// The limit.
        limit: u64,
        /// The size asked for.
        got: u64,
    },
    /// Layers, transform or labels that do not fit together.
    #[error("{what}: expected {expected}, got {got}")]
    Invalid {
        /// What does not fit.
        what: String,
        /// What would have fitted.
        expected: String,
        /// What was given.
        got: String,
    },
}

impl ModelError {
    pub(crate) fn io(path: &Path, error: &io::Error) -> ModelError {
        ModelError::Io { path: path.to_owned(), kind: error.kind(), message: error.to_string() }
    }

    pub(crate) fn malformed(
        format: Format,
        at: impl Display,
        expected: impl Display,
        got: impl Display,
    ) -> ModelError {
        ModelError::Malformed {
            format,
            at: at.to_string(),
            expected: expected.to_string(),
            got: got.to_string(),
        }
    }

    pub(crate) fn unsupported(
        node: impl Display,
        op: impl Display,
        reason: impl Display,
    ) -> ModelError {
        ModelError::Unsupported {
            node: node.to_string(),
            op: op.to_string(),
            reason: reason.to_string(),
        }
    }

    pub(crate) fn undeclared(format: Format, what: impl Display, how: impl Display) -> ModelError {
        ModelError::Undeclared { format, what: what.to_string(), how: how.to_string() }
    }

    /// The same error of a file of another format.
    pub(crate) fn in_format(self, of: Format) -> ModelError {
        match self {
            ModelError::Malformed { at, expected, got, .. } => {
                ModelError::Malformed { format: of, at, expected, got }
            }
            other => other,
        }
    }

    pub(crate) fn too_large(what: impl Display, limit: usize, got: usize) -> ModelError {
        ModelError::TooLarge { what: what.to_string(), limit: limit as u64, got: got as u64 }
    }

    pub(crate) fn invalid(
        what: impl Display,
        expected: impl Display,
        got: impl Display,
    ) -> ModelError {
        ModelError::Invalid {
            what: what.to_string(),
            expected: expected.to_string(),
            got: got.to_string(),
        }
    }
}
