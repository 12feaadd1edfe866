//! Which adapters there are, which is best, and what to say where none will do.

use std::cmp::Reverse;
use std::env;

use crate::backend::{BackendError, BackendKind, DeviceInfo, OpenOptions};

const ADVICE: &str = "install the graphics driver of the card (Vulkan, Metal or DX12), or \
                      mesa-vulkan-drivers for a software adapter";

/// The adapters of this machine, the best first.
pub(super) fn all() -> Vec<wgpu::Adapter> {
    find(|_| true).0
}

/// The adapter the options and `WGPU_ADAPTER_NAME` ask for.
///
/// A software adapter is taken only where it is allowed or asked for by name.
pub(super) fn choose(options: &OpenOptions) -> Result<wgpu::Adapter, BackendError> {
    if let Some(number) = options.device {
        return by_number(number);
    }
    let wanted = options.adapter.clone().or_else(|| env::var("WGPU_ADAPTER_NAME").ok());
    let (fitting, others) = find(|adapter| match &wanted {
        Some(name) => matches(&adapter.get_info().name, name),
        None => options.software || !is_software(adapter),
    });
    fitting.into_iter().next().ok_or_else(|| unavailable(wanted.as_deref(), &others))
}

/// The adapter of this number among [`all`].
fn by_number(number: usize) -> Result<wgpu::Adapter, BackendError> {
    let adapters = all();
    let count = adapters.len();
    adapters.into_iter().nth(number).ok_or_else(|| BackendError::Unavailable {
        backend: BackendKind::Wgpu,
        looked_for: format!("device {number} was asked for, and there are {count}"),
        advice: String::from("see the devices command for their order, which counts from 0"),
    })
}

/// The adapters that fit and those that do not, the best first.
///
/// GL is asked only where no newer interface shows an adapter that fits, because it shows the same
/// devices again and takes long to start. `WGPU_BACKEND` overrides.
fn find(fits: impl Fn(&wgpu::Adapter) -> bool) -> (Vec<wgpu::Adapter>, Vec<wgpu::Adapter>) {
    let rounds = match wgpu::Backends::from_env() {
        Some(backends) => vec![backends],
        None => vec![wgpu::Backends::PRIMARY, wgpu::Backends::GL],
    };
    let (mut fitting, mut others) = (Vec::new(), Vec::new());
    for backends in rounds {
        let (fit, other): (Vec<_>, Vec<_>) = adapters_of(backends).into_iter().partition(&fits);
        fitting.extend(fit);
        others.extend(other);
        if !fitting.is_empty() {
            break;
        }
    }
    (fitting, others)
}

/// What there is to say where [`all`] is empty.
pub(super) fn none_found() -> (String, String) {
    (format!("no adapter found through {}", asked()), String::from(ADVICE))
}

/// What an adapter is, for people.
pub(super) fn describe(adapter: &wgpu::Adapter) -> DeviceInfo {
    let info = adapter.get_info();
    let software = is_software(adapter);
    let driver = format!("{} {}", info.driver, info.driver_info);
    let mut detail = String::from(backend_name(info.backend));
    for part in [driver.trim(), if software { "software" } else { "" }] {
        if !part.is_empty() {
            detail.push_str(", ");
            detail.push_str(part);
        }
    }
    let pci = Some(info.device_pci_bus_id).filter(|id| !id.is_empty());
    DeviceInfo { backend: BackendKind::Wgpu, name: info.name, detail, software, pci }
}

fn adapters_of(backends: wgpu::Backends) -> Vec<wgpu::Adapter> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends,
        // Validation of the driver below wgpu is for developers of wgpu; the environment can ask.
        flags: wgpu::InstanceFlags::empty().with_env(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let mut adapters = pollster::block_on(instance.enumerate_adapters(backends));
    adapters.retain(can_compute);
    adapters.sort_by_key(|adapter| Reverse(rank(&adapter.get_info())));
    adapters
}

fn is_software(adapter: &wgpu::Adapter) -> bool {
    adapter.get_info().device_type == wgpu::DeviceType::Cpu
}

fn can_compute(adapter: &wgpu::Adapter) -> bool {
    let downlevel = adapter.get_downlevel_capabilities();
    downlevel.flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS)
}

/// The better the adapter, the higher: kind of device before kind of interface.
fn rank(info: &wgpu::AdapterInfo) -> (u8, bool) {
    let kind = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => 4,
        wgpu::DeviceType::IntegratedGpu => 3,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 1,
        wgpu::DeviceType::Cpu => 0,
    };
    (kind, info.backend != wgpu::Backend::Gl)
}

fn matches(name: &str, wanted: &str) -> bool {
    name.to_lowercase().contains(&wanted.to_lowercase())
}

fn unavailable(wanted: Option<&str>, passed: &[wgpu::Adapter]) -> BackendError {
    let names: Vec<String> = passed.iter().map(|adapter| adapter.get_info().name).collect();
    let names = names.join(", ");
    let (looked_for, advice) = match wanted {
        _ if passed.is_empty() => none_found(),
        Some(wanted) => (
            format!("no adapter named like '{wanted}' among {names}"),
            String::from("ask for one of these, or for none by name"),
        ),
        None => (
            format!("only a software adapter is there ({names})"),
            format!("allow it with --software or OpenOptions::software; or {ADVICE}"),
        ),
    };
    BackendError::Unavailable { backend: BackendKind::Wgpu, looked_for, advice }
}

/// The interfaces that were asked.
fn asked() -> String {
    let compiled = wgpu::Instance::enabled_backend_features();
    let backends = wgpu::Backends::from_env().unwrap_or(wgpu::Backends::all()) & compiled;
    let names = [
        (wgpu::Backends::VULKAN, wgpu::Backend::Vulkan),
        (wgpu::Backends::METAL, wgpu::Backend::Metal),
        (wgpu::Backends::DX12, wgpu::Backend::Dx12),
        (wgpu::Backends::GL, wgpu::Backend::Gl),
    ];
    let asked = names.into_iter().filter(|(flag, _)| backends.contains(*flag));
    let asked: Vec<&str> = asked.map(|(_, backend)| backend_name(backend)).collect();
    if asked.is_empty() {
        String::from("any interface of this build (see WGPU_BACKEND)")
    } else {
        asked.join(", ")
    }
}

fn backend_name(backend: wgpu::Backend) -> &'static str {
    match backend {
        wgpu::Backend::Vulkan => "Vulkan",
        wgpu::Backend::Metal => "Metal",
        wgpu::Backend::Dx12 => "DX12",
        wgpu::Backend::Gl => "GL",
        wgpu::Backend::BrowserWebGpu => "WebGPU",
        wgpu::Backend::Noop => "noop",
    }
}
