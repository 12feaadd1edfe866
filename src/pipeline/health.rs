//! How well a pipeline's backends are.

use std::fmt;

use serde::Serialize;

use super::super::backend::BackendKind;

/// How one backend of a pipeline is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BackendHealth {
    /// It is being opened or measured and takes no batches yet.
    #[default]
    Joining,
    /// It takes batches.
    Ready,
    /// It was lost, or did not answer in time, and takes no more batches.
    Lost,
}

impl BackendHealth {
    /// The state's name in reports.
    pub fn name(self) -> &'static str {
        match self {
            BackendHealth::Joining => "joining",
            BackendHealth::Ready => "ready",
            BackendHealth::Lost => "lost",
        }
    }
}

/// How a pipeline is; prints itself in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// Every backend works.
    Ready,
    /// Some backends were lost; the others answer.
    Degraded {
        /// The lost ones, in the order of their loss.
        lost: Vec<LostBackend>,
    },
    /// Every backend was lost; nothing is answered any more.
    Failed {
        /// The lost ones, in the order of their loss.
        lost: Vec<LostBackend>,
    },
}

/// A backend that takes no more batches.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LostBackend {
    /// The family.
    pub backend: BackendKind,
    /// The device's name.
    pub device: String,
    /// Why it was given up.
    pub reason: String,
}

impl LostBackend {
    /// A backend that was given up for `reason`.
    pub(crate) fn new(backend: BackendKind, device: &str, reason: impl fmt::Display) -> Self {
        LostBackend { backend, device: device.to_owned(), reason: reason.to_string() }
    }
}

impl fmt::Display for LostBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.backend.name(), self.device)?;
        // A driver's words may have several lines.
        let words: Vec<&str> = self.reason.split_whitespace().collect();
        write!(f, ": {}", words.join(" "))
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (state, lost) = match self {
            Health::Ready => return f.write_str("ready"),
            Health::Degraded { lost } => ("degraded", lost),
            Health::Failed { lost } => ("failed", lost),
        };
        let lost: Vec<String> = lost.iter().map(LostBackend::to_string).collect();
        write!(f, "{state}, lost {}", lost.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_one_line() {
        assert_eq!(Health::Ready.to_string(), "ready");
        let gpu =
            LostBackend::new(BackendKind::Wgpu, "Some GPU", "device lost:\n  by the driver\n");
        let cpu = LostBackend::new(BackendKind::Cpu, "Some CPU", "no answer in 2 s");
        assert_eq!(
            Health::Degraded { lost: vec![gpu.clone()] }.to_string(),
            "degraded, lost wgpu (Some GPU): device lost: by the driver"
        );
        assert_eq!(
            Health::Failed { lost: vec![gpu, cpu] }.to_string(),
            "failed, lost wgpu (Some GPU): device lost: by the driver; \
             cpu (Some CPU): no answer in 2 s"
        );
    }

    #[test]
    fn a_state_has_one_name_in_text_and_json() {
        for health in [BackendHealth::Joining, BackendHealth::Ready, BackendHealth::Lost] {
            let json = serde_json::to_string(&health).unwrap();
            assert_eq!(json, format!("\"{}\"", health.name()));
        }
    }
}
