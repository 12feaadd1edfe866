//! The scenarios. They are compiled once for each tree.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use fusewire_shuttled::backend::fake::{FakeDevice, Fault, Timing};
use fusewire_shuttled::backend::{BackendKind, Device, Executable};
use fusewire_shuttled::model::{Activation, Dense, Model};
use fusewire_shuttled::plan::{Limits, Plan, PlanOptions};
use shuttle::sync::mpsc::{Receiver, channel};
use shuttle::thread::{self, JoinHandle};

use super::caller::{Asked, Caller, Shared, chance};
use super::pipeline::{Metrics, Pipeline, PipelineConfig, Waiting};
use crate::explore::Seen;

const LIMITS: Limits = Limits {
    resident_bytes: usize::MAX,
    on_chip_bytes: 4096,
    panel: 4,
    tile_rows_min: 1,
    tile_rows_max: 8,
    align_bytes: 64,
    buffer_bytes_max: 1 << 20,
};

/// Longer than any execution.
const LONG: Duration = Duration::from_secs(3600);

/// Callers, workers, the watchdog, and a swap in their midst. Everything is answered with scores,
/// and then every row of the ring can be had.
pub(crate) fn serves(seen: &Seen) {
    let service = Service::start(seen);
    let callers = service.callers();
    service.swap();
    service.finish(callers);
}

/// Callers who take every row as soon as it is free, of so few that the dispatcher comes to one
/// again before it is.
pub(crate) fn laps(seen: &Seen) {
    let service = Service::start_with(seen, |config| {
        config.capacity = 1 << chance(0, 1);
        config.bulk_capacity = 0;
        config.max_rows = 4;
    });
    let callers = service.callers_who(Caller::hurry);
    service.finish(callers);
}

/// As [`serves`], with two devices, of which one fails with batches in flight on both its workers.
pub(crate) fn survives(seen: &Seen) {
    let service = Service::start_with(seen, |config| config.workers = 2);
    let other = device(BackendKind::Wgpu, "other");
    service.pipeline.attach(load(&other)).unwrap();
    let fault = [Fault::FailAtSubmit, Fault::FailAtCompletion, Fault::Lose][chance(0, 2)];
    let before = chance(0, 3);
    let delays = (0..before).map(|_| Fault::Delay(chance(0, 3) as u32));
    service.device.script(delays.chain([fault]));
    let callers = service.callers();
    service.finish(callers);
}

/// The pipeline is shut down while callers are at it: nobody waits for ever, and every row is
/// answered once, one way or the other.
pub(crate) fn ends(seen: &Seen) {
    let service = Service::start(seen);
    let callers = service.callers();
    let pipeline = service.pipeline.clone();
    for _ in 0..chance(0, 40) {
        thread::yield_now();
    }
    let in_time = chance(0, 1) == 0;
    let report = service.pipeline.shutdown(if in_time { Duration::MAX } else { Duration::ZERO });
    callers.wait(&service.shared);
    let metrics = service.shared.check(&pipeline);
    assert!(report.drained || !in_time);
    assert!(metrics.failed == 0 && metrics.expired == 0, "{metrics}");
    seen.note("turned away", metrics.shut_down);
    assert!(report.turned_away <= metrics.shut_down, "{report:?}");
    seen.note("completed", metrics.completed);
}

struct Service {
    pipeline: Pipeline,
    device: FakeDevice,
    shared: Arc<Shared>,
    seen: Seen,
}

impl Service {
    fn start(seen: &Seen) -> Service {
        Service::start_with(seen, |_| {})
    }

    /// A service of which some options are not left to chance.
    fn start_with(seen: &Seen, choose: fn(&mut PipelineConfig)) -> Service {
        let mut config = PipelineConfig {
            capacity: 1 << chance(1, 3),
            bulk_capacity: chance(0, 2),
            max_rows: chance(1, 4),
            depth: chance(1, 2),
            workers: chance(1, 2),
            max_delay: Duration::from_micros(20) * chance(0, 1) as u32,
            waiting: Waiting { spin: Duration::ZERO, yields: chance(0, 1) as u32 },
            batch_timeout: LONG,
            load_timeout: LONG,
            attempts: 3,
            ..PipelineConfig::default()
        };
        choose(&mut config);
        let device = device(BackendKind::Cpu, "device");
        let pipeline = Pipeline::start(load(&device), config.clone()).unwrap();
        device.script((0..chance(0, 6)).map(|_| Fault::Delay(chance(0, 3) as u32)));
        let shared = Arc::new(Shared::new(config, seen.clone()));
        Service { pipeline, device, shared, seen: seen.clone() }
    }

    fn callers(&self) -> Callers {
        self.callers_who(Caller::run)
    }

    fn callers_who(&self, act: fn(&mut Caller)) -> Callers {
        let (others, asked) = channel();
        let caller = |number| {
            let (pipeline, others) = (self.pipeline.clone(), others.clone());
            let mut caller = Caller::new(number, pipeline, &self.shared, others);
            thread::spawn(move || act(&mut caller))
        };
        Callers { threads: (0..chance(2, 3)).map(caller).collect(), asked }
    }

    fn swap(&self) {
        assert_eq!(self.pipeline.swap(&model(2)), Ok(2));
        self.shared.swapped();
    }

    /// Lets everything come to an end, and sees that nothing is missing.
    fn finish(self, callers: Callers) {
        callers.wait(&self.shared);
        self.shared.take_every_row(&self.pipeline);
        let pipeline = self.pipeline.clone();
        let report = self.pipeline.shutdown(Duration::MAX);
        assert!(report.drained && report.turned_away == 0, "{report:?}");
        let metrics = self.shared.check(&pipeline);
        let Metrics { failed, expired, shut_down, .. } = metrics;
        assert_eq!((failed, expired, shut_down), (0, 0, 0), "{metrics}");
        self.seen.note("completed", metrics.completed);
        self.seen.note("rejected", metrics.rejected);
        if metrics.backends.len() > 1 {
            self.seen.note("retried", metrics.retried_rows);
        }
    }
}

/// Callers at work, and what they leave to others.
struct Callers {
    threads: Vec<JoinHandle<()>>,
    asked: Receiver<Asked>,
}

impl Callers {
    fn wait(self, shared: &Shared) {
        shared.wait_for_all(self.asked);
        self.threads.into_iter().for_each(|caller| caller.join().unwrap());
    }
}

/// A model whose scores of a row `[x, 1]` are `[x, version]`.
fn model(version: u64) -> Model {
    let weight = vec![1.0, 0.0, 0.0, version as f32];
    let layer = Dense::new(2, 2, weight, None, Activation::Identity).unwrap();
    Model::from_layers(vec![layer]).unwrap()
}

/// A device that never sleeps.
fn device(kind: BackendKind, name: &str) -> FakeDevice {
    FakeDevice::named(kind, name, LIMITS).timed(Arc::new(AtomicU64::new(0)), Timing::default())
}

fn load(device: &FakeDevice) -> Arc<dyn Executable> {
    let plan = Plan::new(&model(1), device.limits(), &PlanOptions::default()).unwrap();
    device.load(plan).unwrap()
}
