//! What a comparison found, ready to be written as JSON or CSV.
//!
//! Keys are part of the interface: snake_case, the unit last, added to but never renamed.

use serde::{Deserialize, Serialize};

use super::agreement::Agreement;
use super::energy::Energy;
use super::machine::Machine;
use super::measure::Measurement;
use crate::Error;
use crate::backend::{BackendError, BackendKind, DeviceInfo, Finding};
use crate::model::Model;

/// One comparison of backends on one model.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// What was run.
    pub model: ModelFacts,
    /// What it was run on.
    pub machine: Machine,
    /// How it was measured.
    pub method: Method,
    /// Every device that is there, and every backend that is not.
    pub devices: Vec<DeviceReport>,
    /// One entry per device and batch size.
    pub results: Vec<Cell>,
    /// How much faster devices are than one of them, the processor where it takes part; one entry
    /// per batch size and other device.
    pub ratios: Vec<SpeedRatio>,
    /// From which batch sizes on another device is the faster of two.
    pub crossovers: Vec<Crossover>,
}

/// Which model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ModelFacts {
    /// Its name.
    pub name: String,
    /// Its widths, such as `784-32-10`.
    pub architecture: String,
    /// Weights and biases, counted.
    pub parameters: usize,
    /// Its content hash, 64 hexadecimal digits.
    pub content_hash: String,
}

impl ModelFacts {
    /// The facts of `model`.
    pub fn of(model: &Model) -> ModelFacts {
        ModelFacts {
            name: model.name().to_owned(),
            architecture: model.architecture(),
            parameters: model.parameters(),
            content_hash: model.content_hash().to_string(),
        }
    }
}

/// How figures were taken.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Method {
    /// `closed`: a batch starts when the one before has returned.
    pub load: &'static str,
    /// What the clock covers.
    pub clock: &'static str,
    /// The rows' type.
    pub input: &'static str,
    /// What weights were rounded to.
    pub precision: &'static str,
    /// Generated images whose scores were compared with the oracle's.
    pub rows_checked: usize,
    /// The seed of the images.
    pub seed: u64,
    /// The time one figure took, warm-up left out.
    pub cell_s: f64,
    /// How many rounds that time is divided into; in each, all devices take a turn.
    pub rounds: usize,
}

/// What became of a device or backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// It is there and was, or can be, measured.
    Found,
    /// It is there and was left out, for the reason given.
    LeftOut,
    /// It is not there.
    Missing,
    /// It is there and failed, for the reason given.
    Failed,
}

/// One device that is there, or one backend that is not.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DeviceReport {
    /// The backend.
    pub backend: &'static str,
    /// What became of it.
    pub state: State,
    /// The device's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// SIMD level, or graphics API and driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Whether the device is a processor that renders like a GPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub software: Option<bool>,
    /// For what is missing: what was looked for, and what was found instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub looked_for: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// Why it was left out or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The fused program that ran, as it prints itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// The kernels that ran each stage, and where they are from; as
    /// [`kernels`](crate::backend::Executable::kernels) lists them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kernels: Vec<String>,
    /// Its scores against the oracle's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agreement: Option<Agreement>,
}

impl DeviceReport {
    /// The report of a survey's finding.
    pub fn of(finding: &Finding) -> DeviceReport {
        match finding {
            Finding::Found(info) => DeviceReport::found(info),
            Finding::Missing { backend, looked_for, advice } => DeviceReport {
                looked_for: Some(looked_for.clone()),
                advice: Some(advice.clone()),
                ..DeviceReport::empty(*backend, State::Missing)
            },
        }
    }

    /// The report of a device that is there.
    pub fn found(info: &DeviceInfo) -> DeviceReport {
        DeviceReport {
            name: Some(info.name.clone()),
            detail: Some(info.detail.clone()),
            software: Some(info.software),
            ..DeviceReport::empty(info.backend, State::Found)
        }
    }

    /// The same device in another state, and why.
    pub fn because(mut self, state: State, reason: impl Into<String>) -> DeviceReport {
        self.state = state;
        self.reason = Some(reason.into());
        self
    }

    /// The same device, which could not take the model: left out where it has no kernels for what
    /// is asked and other devices may, failed otherwise.
    pub(super) fn refused(self, error: &Error, is_alone: bool) -> DeviceReport {
        let state = match error {
            Error::Backend(BackendError::NoKernels { .. }) if !is_alone => State::LeftOut,
            _ => State::Failed,
        };
        self.because(state, error.to_string())
    }

    fn empty(backend: BackendKind, state: State) -> DeviceReport {
        DeviceReport {
            backend: backend.name(),
            state,
            name: None,
            detail: None,
            software: None,
            looked_for: None,
            advice: None,
            reason: None,
            plan: None,
            kernels: Vec::new(),
            agreement: None,
        }
    }
}

/// How keys and tables name a device: by its backend, with a number from the second device of a
/// backend on. `before` are the backends of those that came before it.
pub(super) fn key_of<'a>(backend: &str, before: impl Iterator<Item = &'a str>) -> String {
    match before.filter(|other| *other == backend).count() {
        0 => backend.to_owned(),
        others => format!("{backend}-{}", others + 1),
    }
}

/// One device at one batch size.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Cell {
    /// How ratios, crossovers and records name the device: its backend, with a number from the
    /// second device of a backend on.
    pub key: String,
    /// The backend.
    pub backend: &'static str,
    /// The device's name.
    pub device: String,
    /// Whether the device is a processor that renders like a GPU.
    pub software: bool,
    /// Rows in a batch.
    pub batch: usize,
    /// The times of all rounds.
    #[serde(flatten)]
    pub measurement: Measurement,
    /// How many rounds there were: fewer than intended where batches take long.
    pub rounds: usize,
    /// Where it lies below what the device can do at most, where that is measured.
    pub roofline: Option<RoofPoint>,
    /// What the rounds took, where it can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub energy: Option<Energy>,
    /// The largest distance of a score from the oracle's; null where one of the two is NaN.
    pub max_abs_error: f64,
    /// Whether the scores are within the precision's tolerance of the oracle's.
    pub agrees: bool,
}

/// What a batch came to beside the ceilings of its device: a point of a roofline.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RoofPoint {
    /// Operations for each byte that has to be moved.
    pub flops_per_byte: f64,
    /// Operations over the median time.
    pub flops_per_s: f64,
    /// Bytes that have to be moved over the median time.
    pub bytes_per_s: f64,
    /// The shortest time that the ceilings allow, as a share of the median time.
    pub roof_share: f64,
    /// The ceiling of operations, where something measures it.
    pub peak_flops_per_s: Option<f64>,
    /// The ceiling of the memory that a batch of this size lies in.
    pub peak_bytes_per_s: f64,
}

/// How fast a device is beside another at one batch size.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SpeedRatio {
    /// Rows in a batch.
    pub batch: usize,
    /// The device, by its key.
    pub of: String,
    /// The device it stands beside, by its key.
    pub to: String,
    /// The other's median time over its own, of the rounds' medians: above 1 it is faster.
    pub ratio: f64,
    /// Where that lies with 95 % confidence, low and high; null with too few rounds to say.
    pub interval: Option<(f64, f64)>,
}

/// Where the order of two devices changes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Crossover {
    /// The batch size, interpolated between two that were measured, on logarithmic axes.
    pub rows: f64,
    /// The device that is faster from there on, by its key.
    pub faster: String,
    /// The one that was faster before.
    pub slower: String,
    /// The batch sizes measured on both sides.
    pub between: (usize, usize),
    /// Whether the rounds tell with 95 % confidence who is faster on each of the two sides.
    pub clear: bool,
}

impl Report {
    /// Whether every device that took part worked and agrees with the oracle.
    pub fn is_sound(&self) -> bool {
        self.devices.iter().all(|device| device.state != State::Failed)
            && self.results.iter().all(|cell| cell.agrees)
    }

    /// The batch sizes measured, ascending.
    pub fn batches(&self) -> Vec<usize> {
        let mut batches: Vec<usize> = self.results.iter().map(|cell| cell.batch).collect();
        batches.sort_unstable();
        batches.dedup();
        batches
    }

    /// The cell with the shortest median time at a batch size, of those that agree with the oracle.
    pub fn fastest(&self, batch: usize) -> Option<&Cell> {
        let cells = self.results.iter().filter(|cell| cell.batch == batch && cell.agrees);
        cells.min_by(|a, b| a.measurement.p50_us.total_cmp(&b.measurement.p50_us))
    }
}

pub(super) fn csv_field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_commas_stay_one_field() {
        assert_eq!(csv_field("llvmpipe"), "llvmpipe");
        assert_eq!(csv_field("llvmpipe (LLVM 15, 256 bits)"), "\"llvmpipe (LLVM 15, 256 bits)\"");
        assert_eq!(csv_field("a \"b\""), "\"a \"\"b\"\"\"");
    }

    #[test]
    fn a_missing_backend_says_what_to_do_and_nothing_else() {
        let finding = Finding::Missing {
            backend: BackendKind::Cuda,
            looked_for: String::from("x"),
            advice: String::from("y"),
        };
        let json = serde_json::to_string(&DeviceReport::of(&finding)).unwrap();
        let expected = r#"{"backend":"cuda","state":"missing","looked_for":"x","advice":"y"}"#;
        assert_eq!(json, expected);
    }
}
