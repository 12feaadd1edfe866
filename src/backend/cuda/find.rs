//! Which devices there are, which is wanted, and what to say where none will do.

#![allow(unsafe_code)]

use std::env;
use std::ffi::{CStr, c_char};

use super::artefact;
use super::driver::{Code, Driver, NoDriver};
use super::verdict::SUCCESS;
use crate::backend::{BackendError, BackendKind, DeviceInfo, Finding, OpenOptions};

/// Which devices the driver shows to a process.
const VISIBLE: &str = "CUDA_VISIBLE_DEVICES";
const OTHER_BACKEND: &str = "--backend wgpu may run on the same card through Vulkan";

/// `CU_DEVICE_ATTRIBUTE_..`.
const MULTIPROCESSORS: u32 = 16;
const CAPABILITY: [u32; 2] = [75, 76];
const SHARED_PER_BLOCK_OPTIN: u32 = 97;
/// `CUDA_ERROR_NO_DEVICE`: a driver without a card.
const NO_DEVICE: Code = 100;
/// The domain, the bus, and the device.
const PCI: [u32; 3] = [50, 33, 34];

/// A device as the driver describes it.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Its number among those the driver shows.
    pub(super) ordinal: usize,
    /// The driver's own number for it.
    pub(super) device: i32,
    pub(super) name: String,
    pub(super) capability: (i32, i32),
    pub(super) multiprocessors: usize,
    /// Bytes of shared memory that a block may ask for.
    pub(super) shared_max: usize,
    /// Bytes of its memory.
    pub(super) memory: usize,
    /// Where it is on the bus, where the driver tells.
    pub(super) pci: Option<String>,
    /// The CUDA version of the driver, as in 12040 for 12.4.
    driver_version: i32,
}

/// Why there is no device: what was looked for, and advice.
#[derive(Clone, Debug)]
pub(super) struct Missing {
    looked_for: String,
    advice: String,
}

impl Missing {
    pub(super) fn new(looked_for: String, advice: impl Into<String>) -> Missing {
        Missing { looked_for, advice: advice.into() }
    }

    pub(super) fn error(self) -> BackendError {
        let Missing { looked_for, advice } = self;
        BackendError::Unavailable { backend: BackendKind::Cuda, looked_for, advice }
    }

    pub(super) fn finding(self) -> Finding {
        let Missing { looked_for, advice } = self;
        Finding::Missing { backend: BackendKind::Cuda, looked_for, advice }
    }
}

/// The driver, and every device it shows.
pub(super) fn all() -> Result<(Driver, Vec<Found>), Missing> {
    let driver = Driver::find().map_err(|absent| match absent {
        NoDriver::Library => Missing::new(
            String::from("the driver library libcuda.so.1 was not found"),
            "install the NVIDIA driver; no CUDA toolkit is needed",
        ),
        NoDriver::Function(name) => Missing::new(
            format!("the driver library has no function {name}"),
            "update the NVIDIA driver to one for CUDA 12 or newer",
        ),
    })?;
    let refused = |call: &str, code| {
        let words = driver.words(code);
        if code != NO_DEVICE {
            tracing::warn!(call, words, "the CUDA driver is there, and fails");
        }
        Missing::new(format!("the driver shows no device: {call}: {words}{}", hidden()), advice())
    };
    // SAFETY: it may be called at any time and any number of times.
    let code = unsafe { (driver.init)(0) };
    if code != SUCCESS {
        return Err(refused("cuInit", code));
    }
    let mut count = 0;
    // SAFETY: the driver is initialised; it writes the number.
    let code = unsafe { (driver.device_count)(&mut count) };
    if code != SUCCESS {
        return Err(refused("cuDeviceGetCount", code));
    }
    let devices = (0..count).map(|ordinal| describe(&driver, ordinal));
    let devices = devices.collect::<Result<Vec<_>, _>>();
    let devices = devices.map_err(|(call, code)| refused(call, code))?;
    match devices.is_empty() {
        true => Err(Missing::new(format!("the driver shows no device{}", hidden()), advice())),
        false => Ok((driver, devices)),
    }
}

/// The variable that hides devices, where it is set.
fn hidden() -> String {
    env::var(VISIBLE).map_or_else(|_| String::new(), |value| format!(" ({VISIBLE}={value})"))
}

fn advice() -> String {
    match env::var_os(VISIBLE) {
        Some(_) => format!("unset {VISIBLE}, or name a device in it that nvidia-smi lists"),
        None => String::from("see that nvidia-smi lists the card, and update the NVIDIA driver"),
    }
}

/// What the driver says of a device; the error is the call that failed, and its answer.
fn describe(driver: &Driver, ordinal: i32) -> Result<Found, (&'static str, Code)> {
    let answered = |name, code| if code == SUCCESS { Ok(()) } else { Err((name, code)) };
    let mut device = 0;
    // SAFETY: this and all below write no more than they are given room for.
    answered("cuDeviceGet", unsafe { (driver.device_get)(&mut device, ordinal) })?;
    let mut name: [c_char; 256] = [0; 256];
    // SAFETY: as above.
    let code = unsafe { (driver.device_name)(name.as_mut_ptr(), 255, device) };
    answered("cuDeviceGetName", code)?;
    let mut memory = 0;
    // SAFETY: as above.
    answered("cuDeviceTotalMem", unsafe { (driver.device_memory)(&mut memory, device) })?;
    let attribute = |attribute| {
        let mut value = 0;
        // SAFETY: as above.
        let code = unsafe { (driver.device_attribute)(&mut value, attribute, device) };
        answered("cuDeviceGetAttribute", code).map(|()| value)
    };
    let positive = |value: i32| usize::try_from(value).unwrap_or(0);
    let mut driver_version = 0;
    // SAFETY: as above.
    answered("cuDriverGetVersion", unsafe { (driver.driver_version)(&mut driver_version) })?;
    // SAFETY: there is a zero behind the 255 characters at the latest.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) };
    // Nothing that a device is opened for hangs on it.
    let pci = || {
        let [domain, bus, device] = PCI.map(|part| attribute(part).ok());
        Some(format!("{:04x}:{:02x}:{:02x}.0", domain?, bus?, device?))
    };
    Ok(Found {
        ordinal: positive(ordinal),
        device,
        name: name.to_string_lossy().into_owned(),
        capability: (attribute(CAPABILITY[0])?, attribute(CAPABILITY[1])?),
        multiprocessors: positive(attribute(MULTIPROCESSORS)?),
        shared_max: positive(attribute(SHARED_PER_BLOCK_OPTIN)?),
        memory,
        pci: pci(),
        driver_version,
    })
}

/// The device the options ask for: by number, else by name, else the first that kernels are for.
pub(super) fn choose(options: &OpenOptions, devices: &[Found]) -> Result<Found, Missing> {
    let names: Vec<&str> = devices.iter().map(|found| found.name.as_str()).collect();
    let listed = || format!("there are {}{}", names.join(", "), hidden());
    let found = match (options.device, &options.adapter) {
        (Some(number), _) => devices.get(number).ok_or_else(|| {
            let looked_for = format!("device {number} was asked for, and {}", listed());
            Missing::new(looked_for, "devices count from 0, as the devices command lists them")
        })?,
        (None, Some(name)) => {
            let wanted = name.to_lowercase();
            let mut named = devices.iter().filter(|it| it.name.to_lowercase().contains(&wanted));
            named.next().ok_or_else(|| {
                let looked_for = format!("no device has {name:?} in its name; {}", listed());
                Missing::new(looked_for, "give a part of one of these names")
            })?
        }
        // There is a first one, whose reason is as good as any.
        (None, None) => devices.iter().find(|found| found.is_supported()).unwrap_or(&devices[0]),
    };
    if found.is_supported() { Ok(found.clone()) } else { Err(found.unsupported()) }
}

impl Found {
    /// Whether there are kernels for it.
    pub(super) fn is_supported(&self) -> bool {
        !artefact::fitting(self.capability).is_empty()
    }

    /// Why it cannot be opened where there are none.
    pub(super) fn unsupported(&self) -> Missing {
        let ((major, minor), oldest) = (self.capability, artefact::OLDEST);
        let looked_for = format!(
            "device {} is {}, compute capability {major}.{minor}, and kernels need {oldest}",
            self.ordinal, self.name
        );
        Missing::new(looked_for, OTHER_BACKEND)
    }

    /// Why it cannot be opened where the driver takes none of the kernels.
    pub(super) fn refused(&self, artefact: &str, why: &BackendError) -> Missing {
        let version = self.version();
        let looked_for = format!("{why}; loading {artefact} with a driver for CUDA {version}");
        Missing::new(looked_for, format!("update the NVIDIA driver; {OTHER_BACKEND}"))
    }

    /// What the device is, for people.
    pub(super) fn info(&self) -> DeviceInfo {
        let (major, minor) = self.capability;
        let gibibytes = self.memory as f64 / f64::from(1 << 30);
        DeviceInfo {
            backend: BackendKind::Cuda,
            name: self.name.clone(),
            detail: format!(
                "device {}, compute capability {major}.{minor}, {gibibytes:.1} GiB, driver for \
                 CUDA {}",
                self.ordinal,
                self.version()
            ),
            software: false,
            pci: self.pci.clone(),
        }
    }

    fn version(&self) -> String {
        format!("{}.{}", self.driver_version / 1000, self.driver_version % 1000 / 10)
    }
}
