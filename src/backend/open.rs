//! Finding and opening devices; never a silent fallback.

use std::sync::Arc;

use super::{BackendError, BackendKind, Device, DeviceInfo, Finding, OpenOptions, cpu, cuda, wgpu};

/// The variable that names an adapter where options name none.
const ADAPTER_NAME: &str = "WGPU_ADAPTER_NAME";

/// A device that was opened.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) device: Arc<dyn Device>,
    /// Why those that were tried before it could not be opened.
    pub(crate) passed_over: Vec<BackendError>,
}

/// A GPU that can be opened.
#[derive(Debug)]
pub(crate) struct Gpu {
    /// What opens it.
    pub(crate) options: OpenOptions,
    /// What a survey says of it, where it was not asked for by name or number.
    pub(crate) info: Option<DeviceInfo>,
}

/// Opens the device a backend would use first; see [`open_with`] for a choice.
///
/// # Errors
/// [`BackendError::Unavailable`] says what was looked for and how to get it.
pub fn open(backend: BackendKind) -> Result<Arc<dyn Device>, BackendError> {
    open_with(&OpenOptions { backend, ..OpenOptions::default() })
}

/// Opens a device.
///
/// # Errors
/// [`BackendError::Unavailable`] says what was looked for and how to get it.
pub fn open_with(options: &OpenOptions) -> Result<Arc<dyn Device>, BackendError> {
    match options.backend {
        // No other backend has a kernel that stays.
        BackendKind::Auto if options.persistent => cuda::open(options),
        backend @ (BackendKind::Wgpu | BackendKind::Cpu) if options.persistent => {
            Err(BackendError::Unavailable {
                backend,
                looked_for: String::from("a kernel that stays on the device was asked for"),
                advice: String::from("only --backend cuda has one"),
            })
        }
        BackendKind::Auto => open_auto(options).map(|opening| opening.device),
        BackendKind::Cuda => cuda::open(options),
        BackendKind::Wgpu => wgpu::open(options),
        BackendKind::Cpu => open_cpu(options),
    }
}

/// Opens a device like [`open_with`], and says what was passed over.
///
/// # Errors
/// As [`open_with`].
pub(crate) fn open_noting(options: &OpenOptions) -> Result<Opening, BackendError> {
    if options.backend == BackendKind::Auto && !options.persistent {
        return open_auto(options);
    }
    open_with(options).map(|device| Opening { device, passed_over: Vec::new() })
}

/// The GPUs that options of [`BackendKind::Auto`] allow, the fastest way to a card first: all there
/// are, or the one of each family that is named.
pub(crate) fn gpus(options: &OpenOptions) -> Vec<Gpu> {
    let is_named = options.adapter.is_some() || options.device.is_some();
    let of = |backend| OpenOptions { backend, ..options.clone() };
    let mut gpus = match is_named {
        true => vec![Gpu { options: of(BackendKind::Cuda), info: None }],
        false => found(cuda::survey(), &of(BackendKind::Cuda)),
    };
    match is_named || std::env::var_os(ADAPTER_NAME).is_some() {
        true => gpus.push(Gpu { options: of(BackendKind::Wgpu), info: None }),
        false => gpus.extend(found(wgpu::survey(), &of(BackendKind::Wgpu))),
    }
    gpus
}

/// The devices of a family's survey that options allow; of the others it says why not.
fn found(findings: Vec<Finding>, options: &OpenOptions) -> Vec<Gpu> {
    let backend = options.backend.name();
    let gpu = |(number, finding)| match finding {
        Finding::Found(info) if info.software && !options.software => {
            tracing::info!(backend, adapter = info.name, "a software adapter is left out");
            None
        }
        Finding::Found(info) => {
            let options = OpenOptions { device: Some(number), ..options.clone() };
            Some(Gpu { options, info: Some(info) })
        }
        Finding::Missing { looked_for, .. } => {
            tracing::info!(backend, looked_for, "no GPU of this family");
            None
        }
    };
    findings.into_iter().enumerate().filter_map(gpu).collect()
}

/// Whether two devices are one card, seen through two interfaces. An interface that does not say
/// where a card is on the bus leaves its name to tell by.
pub(crate) fn is_same_card(one: &DeviceInfo, other: &DeviceInfo) -> bool {
    if (one.backend, other.backend) == (BackendKind::Cuda, BackendKind::Cuda) {
        return false;
    }
    match (&one.pci, &other.pci) {
        (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
        _ => one.name == other.name,
    }
}

/// Everything that could be opened here, and for what could not, what was looked for.
pub fn survey() -> Vec<Finding> {
    let mut findings = cuda::survey();
    findings.extend(wgpu::survey());
    findings.push(Finding::Found(cpu::open().info().clone()));
    findings
}

fn open_auto(options: &OpenOptions) -> Result<Opening, BackendError> {
    // Leave to open a software adapter is no wish for one: the processor itself is faster.
    let one_wanted = options.adapter.is_some() || options.device.is_some();
    let software = options.software && one_wanted;
    let mut passed_over = Vec::new();
    for backend in [BackendKind::Cuda, BackendKind::Wgpu] {
        match open_with(&OpenOptions { backend, software, ..options.clone() }) {
            Ok(device) => return Ok(Opening { device, passed_over }),
            Err(error) => {
                report_passed_over(backend, &error);
                passed_over.push(error);
            }
        }
    }
    match passed_over.pop() {
        // Who names an adapter wants that one: the processor would be a silent fallback.
        Some(error) if one_wanted => Err(error),
        last => {
            passed_over.extend(last);
            Ok(Opening { device: cpu::open(), passed_over })
        }
    }
}

/// Says that a GPU was not taken: what is there and fails deserves more notice than what is absent.
fn report_passed_over(backend: BackendKind, error: &BackendError) {
    let backend = backend.name();
    match error {
        BackendError::Unavailable { .. } => tracing::debug!(backend, %error, "passed over"),
        _ => tracing::warn!(backend, %error, "passed over: the device is there, and failed"),
    }
}

/// The processor is one device, and its number is 0.
fn open_cpu(options: &OpenOptions) -> Result<Arc<dyn Device>, BackendError> {
    match options.device {
        None | Some(0) => Ok(cpu::open()),
        Some(number) => Err(BackendError::Unavailable {
            backend: BackendKind::Cpu,
            looked_for: format!("device {number} was asked for, and the processor is device 0"),
            advice: String::from("leave the number out"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tracing::Metadata;
    use tracing::span::{Attributes, Id, Record};

    use super::*;

    fn card(backend: BackendKind, name: &str, pci: Option<&str>) -> DeviceInfo {
        let (name, pci) = (name.to_owned(), pci.map(str::to_owned));
        DeviceInfo { backend, name, detail: String::new(), software: false, pci }
    }

    #[test]
    fn a_card_is_known_through_every_interface() {
        let cuda = |name, pci| card(BackendKind::Cuda, name, pci);
        let wgpu = |name, pci| card(BackendKind::Wgpu, name, pci);
        let (here, there) = (Some("0000:1A:00.0"), Some("0000:1b:00.0"));
        assert!(is_same_card(&cuda("H200", Some("0000:1a:00.0")), &wgpu("H200 (Vulkan)", here)));
        assert!(!is_same_card(&cuda("H200", there), &wgpu("H200", here)));
        assert!(is_same_card(&cuda("H200", there), &wgpu("H200", None)));
        assert!(!is_same_card(&wgpu("Arc", None), &wgpu("Iris", None)));
        // CUDA shows every device once.
        assert!(!is_same_card(&cuda("H200", None), &cuda("H200", None)));
    }

    #[test]
    fn auto_says_what_it_passed_over() {
        let options = OpenOptions::default();
        let opening = open_noting(&options).unwrap();
        let passed: Vec<_> = [BackendKind::Cuda, BackendKind::Wgpu]
            .into_iter()
            .take_while(|backend| *backend != opening.device.info().backend)
            .collect();
        assert_eq!(opening.passed_over.len(), passed.len(), "{opening:?}");
        let named = OpenOptions { backend: BackendKind::Cpu, ..options };
        assert!(open_noting(&named).unwrap().passed_over.is_empty());
    }

    /// The levels of what is reported.
    #[derive(Debug, Default)]
    struct Levels(Mutex<Vec<tracing::Level>>);

    impl tracing::Subscriber for Levels {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &tracing::Event<'_>) {
            self.0.lock().unwrap().push(*event.metadata().level());
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn what_fails_is_reported_louder_than_what_is_absent() {
        let text = String::from("it");
        let absent = BackendError::Unavailable {
            backend: BackendKind::Cuda,
            looked_for: text.clone(),
            advice: text.clone(),
        };
        let fails = BackendError::Device { device: text.clone(), message: text };
        let levels = Arc::new(Levels::default());
        tracing::subscriber::with_default(Arc::clone(&levels), || {
            report_passed_over(BackendKind::Cuda, &absent);
            report_passed_over(BackendKind::Cuda, &fails);
        });
        assert_eq!(*levels.0.lock().unwrap(), [tracing::Level::DEBUG, tracing::Level::WARN]);
    }

    #[test]
    fn software_adapters_and_what_is_missing_are_no_gpus() {
        let software = DeviceInfo { software: true, ..card(BackendKind::Wgpu, "llvmpipe", None) };
        let missing = Finding::Missing {
            backend: BackendKind::Wgpu,
            looked_for: String::from("an adapter"),
            advice: String::from("install one"),
        };
        let real = card(BackendKind::Wgpu, "a card", None);
        let all = vec![Finding::Found(software), missing, Finding::Found(real)];
        let numbers = |software| {
            let options = OpenOptions { software, ..OpenOptions::default() };
            let gpus = found(all.clone(), &options);
            gpus.iter().map(|gpu| gpu.options.device).collect::<Vec<_>>()
        };
        assert_eq!(numbers(false), [Some(2)]);
        assert_eq!(numbers(true), [Some(0), Some(2)]);
    }
}
