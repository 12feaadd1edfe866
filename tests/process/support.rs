//! Pipelines, and the system's calls that Rust has no words for.

#![allow(unsafe_code)]

use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use fusewire::backend::fake::FakeDevice;
use fusewire::backend::{Device, Executable, cpu};
use fusewire::{Activation, BackendKind, Dense, Model, Plan, PlanOptions};

/// Longer than anything takes that does not hang for ever.
pub const LONG: Duration = Duration::from_secs(60);

/// A model whose scores are its row's values.
pub fn identity(width: usize) -> Model {
    let at = |index| if index / width == index % width { 1.0 } else { 0.0 };
    let weight = (0..width * width).map(at).collect();
    let layer = Dense::new(width, width, weight, None, Activation::Identity).expect("sound");
    Model::from_layers(vec![layer]).expect("sound")
}

/// A model of three scores that are all 0.
pub fn wide(width: usize) -> Model {
    let weight = vec![0.0; width * 3];
    let layer = Dense::new(width, 3, weight, None, Activation::Identity).expect("sound");
    Model::from_layers(vec![layer]).expect("sound")
}

pub fn load(device: &dyn Device, model: &Model, rows_max: usize) -> Arc<dyn Executable> {
    let options = PlanOptions { rows_max, ..PlanOptions::default() };
    let plan = Plan::new(model, device.limits(), &options).expect("a plan");
    device.load(plan).expect("memory is there")
}

/// The identity on the processor.
pub fn processor() -> Arc<dyn Executable> {
    load(&*cpu::open(), &identity(4), 256)
}

/// A device that passes for a GPU.
pub fn fake() -> FakeDevice {
    FakeDevice::named(BackendKind::Wgpu, "fake", *cpu::open().limits())
}

/// Runs `body` in a child of this process, and waits until it has ended, by itself or, where it
/// hangs, by force. Returns whether it succeeded.
pub fn in_child(body: impl FnOnce()) -> bool {
    // SAFETY: the child runs `body` and ends, without the parent's end.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "no fork");
    if child == 0 {
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(i32::from(done.is_err())) };
    }
    let deadline = Instant::now() + LONG;
    let mut status = 0;
    // SAFETY: it writes the status of a child of this process.
    while unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) } == 0 {
        if Instant::now() > deadline {
            eprintln!("the child hangs");
            signal(child, libc::SIGKILL);
        }
        thread::sleep(Duration::from_millis(1));
    }
    status == 0
}

/// Sends a signal to a process.
pub fn signal(process: i32, signal: i32) {
    // SAFETY: a signal to a child of this process.
    assert_eq!(unsafe { libc::kill(process, signal) }, 0);
}

/// Lets the process have so many bytes of memory more than it has.
pub fn limit_memory(more: u64) {
    let pages: u64 = statm()[0];
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: it writes the limit.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_AS, &mut limit) }, 0);
    limit.rlim_cur = pages * 4096 + more;
    // SAFETY: it reads the limit.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
}

/// Bytes of memory that the process has touched; `None` where the system does not tell.
pub fn touched() -> Option<u64> {
    fs::metadata("/proc/self/statm").ok().map(|_| statm()[1] * 4096)
}

/// Whether this is the only thread of the process, once those that were joined are gone.
pub fn is_alone() -> bool {
    let deadline = Instant::now() + LONG / 6;
    let threads = || fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    while threads() > 1 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(1));
    }
    threads() == 1
}

/// Pages of memory that the process has, and has touched.
fn statm() -> [u64; 2] {
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let mut pages = text.split_whitespace().map(|it| it.parse().expect("a number"));
    [pages.next().unwrap_or(0), pages.next().unwrap_or(0)]
}
