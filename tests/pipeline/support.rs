//! Models whose scores are known, devices, and waiting.

use std::future::Future;
use std::pin::pin;
use std::process::Command;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use fusewire::backend::fake::FakeDevice;
use fusewire::backend::null::NullDevice;
use fusewire::backend::{Device, Executable, cpu};
use fusewire::pipeline::{Metrics, Waiting};
use fusewire::{
    Activation, BackendKind, Dense, InputType, Limits, Model, Pipeline, PipelineConfig, Plan,
    PlanOptions, Reply,
};

/// Values and scores of a row.
pub const WIDTH: usize = 4;
/// Longer than anything takes that does not hang for ever.
pub const LONG: Duration = Duration::from_secs(60);
/// How long a hung device is waited for.
pub const PATIENCE: Duration = Duration::from_millis(200);

pub fn limits() -> Limits {
    *cpu::open().limits()
}

/// The scores of a row are its values times `factor`; of bytes, the numbers they are.
pub fn scaled(factor: f32) -> Model {
    let at = |index| if index / WIDTH == index % WIDTH { factor } else { 0.0 };
    let weight = (0..WIDTH * WIDTH).map(at).collect();
    let layer = Dense::new(WIDTH, WIDTH, weight, None, Activation::Identity).expect("sound");
    let model = Model::from_layers(vec![layer]).expect("sound");
    model.with_u8_scale(1.0).expect("sound")
}

pub fn load_as(device: &dyn Device, model: &Model, options: PlanOptions) -> Arc<dyn Executable> {
    let plan = Plan::new(model, device.limits(), &options).expect("a plan");
    device.load(plan).expect("memory is there")
}

/// The scores of a row are its values.
pub fn load(device: &dyn Device) -> Arc<dyn Executable> {
    load_as(device, &scaled(1.0), PlanOptions::default())
}

pub fn load_bytes(device: &dyn Device) -> Arc<dyn Executable> {
    load_of(device, InputType::U8)
}

/// The scores of a row are its values, of any type.
pub fn load_of(device: &dyn Device, input: InputType) -> Arc<dyn Executable> {
    load_as(device, &scaled(1.0), PlanOptions { input, ..PlanOptions::default() })
}

/// A fake that passes for a GPU: one worker.
pub fn fake(name: &str) -> FakeDevice {
    FakeDevice::named(BackendKind::Wgpu, name, limits())
}

pub fn null() -> NullDevice {
    NullDevice::new(limits())
}

/// A small ring, and no device given up by mistake on a slow machine.
pub fn small() -> PipelineConfig {
    let (capacity, max_rows) = (64, 8);
    PipelineConfig { capacity, max_rows, batch_timeout: LONG, ..PipelineConfig::default() }
}

/// A small ring that gives a hung device up soon.
pub fn impatient() -> PipelineConfig {
    PipelineConfig { batch_timeout: PATIENCE, load_timeout: 5 * PATIENCE, ..small() }
}

/// One batch in flight at a time, so that one that hangs holds everything up.
pub fn narrow() -> PipelineConfig {
    PipelineConfig { depth: 1, ..small() }
}

pub fn start(device: &dyn Device, config: PipelineConfig) -> Pipeline {
    Pipeline::start(load(device), config).expect("the device is sound")
}

/// One device of each kind that computes the identity, and how threads wait on it.
pub fn kinds() -> Vec<(Arc<dyn Device>, Waiting)> {
    vec![
        (Arc::new(null()), Waiting::PARKING),
        (Arc::new(fake("fake")), Waiting::spinning(Duration::from_micros(20))),
        (cpu::open(), Waiting { spin: Duration::ZERO, yields: 3 }),
    ]
}

/// The row of this number; numbers up to 2^22 are exact.
pub fn row(id: usize) -> [f32; WIDTH] {
    let id = id as f32;
    [id, -id, id * 2.0, 0.5]
}

pub fn rows(ids: impl IntoIterator<Item = usize>) -> Vec<f32> {
    ids.into_iter().flat_map(row).collect()
}

/// The row of this number in bytes; numbers up to 2^16.
pub fn bytes(id: usize) -> [u8; WIDTH] {
    [id as u8, (id >> 8) as u8, !id as u8, 7]
}

/// Checks that a reply is that to rows of these numbers.
#[track_caller]
pub fn check(reply: &Reply, ids: impl IntoIterator<Item = usize>) {
    let got: Vec<&[f32]> = reply.rows().map(|row| row.scores()).collect();
    let expected: Vec<_> = ids.into_iter().map(row).collect();
    assert_eq!(got, expected);
}

/// Waits until something holds.
#[track_caller]
pub fn until(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < deadline, "it never comes true");
        thread::sleep(Duration::from_micros(200));
    }
}

/// Waits until every row is answered, and checks that none was lost or counted twice.
#[track_caller]
pub fn settled(pipeline: &Pipeline) -> Metrics {
    until(|| pipeline.metrics().pending == 0);
    until(|| pipeline.metrics().conserves());
    pipeline.metrics()
}

/// Checks that all of an empty ring may be taken, and no row more.
#[track_caller]
pub fn is_whole(pipeline: &Pipeline, capacity: usize) {
    until(|| match pipeline.submit_many(&rows(0..capacity)) {
        Ok(ticket) => {
            assert!(pipeline.submit(&row(0)).is_err(), "a row too many");
            check(&ticket.wait().expect("it is run"), 0..capacity);
            true
        }
        Err(_) => false,
    });
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread, without any executor.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Whether this process runs one test alone. Where it does not, runs the test of this name in a
/// process of its own, which measures nothing but it, and checks how that went.
pub fn is_alone(test: &str) -> bool {
    const ALONE: &str = "FUSEWIRE_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let program = std::env::current_exe().expect("this program's file");
    let arguments = ["--exact", test, "--test-threads=1", "--nocapture"];
    let output = Command::new(program).args(arguments).env(ALONE, "1").output();
    let output = output.expect("this program can be run");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}\n{output:?}");
    false
}
