//! Callers that cancel, run out of time, panic, and leak, on devices that fail, hang and come back
//! late; rounds of a few seconds, each with a pipeline of its own. Every answer is checked, every
//! round adds up, every shutdown comes to its end, and memory stays where it was.
//!
//! `FUSEWIRE_SOAK_SECONDS` says for how long; `scripts/soak` takes ten minutes.

#[path = "../common/mod.rs"]
mod common;

mod caller;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use caller::{Caller, Tally};
use common::Random;
use fusewire::backend::fake::{FakeDevice, Fault};
use fusewire::backend::{BackendKind, Device, Executable, cpu};
use fusewire::pipeline::{Health, Pipeline, PipelineConfig, Waiting};
use fusewire::{Activation, Dense, Model, Plan, PlanOptions};

const CALLERS: u64 = 4;
const ROUND: Duration = Duration::from_secs(3);

/// A model whose scores of a row `[x, 1]` are `[x, version]`.
fn model(version: u64) -> Model {
    let weight = vec![1.0, 0.0, 0.0, version as f32];
    let layer = Dense::new(2, 2, weight, None, Activation::Identity).expect("a sound layer");
    Model::from_layers(vec![layer]).expect("a sound chain")
}

fn load(device: &dyn Device, version: u64) -> Arc<dyn Executable> {
    let plan = Plan::new(&model(version), device.limits(), &PlanOptions::default());
    device.load(plan.expect("a small plan")).expect("room for it")
}

#[test]
fn everything_is_answered_for_as_long_as_it_runs() {
    let seconds = std::env::var("FUSEWIRE_SOAK_SECONDS").ok().and_then(|text| text.parse().ok());
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(30));
    let mut sum = Tally::default();
    let mut rss_kib = Vec::new();
    for round in 0.. {
        if Instant::now() >= end {
            break;
        }
        sum.add(&run_round(round, ROUND.min(end - Instant::now())));
        rss_kib.extend(resident_kib());
    }
    println!("{sum:?}");
    println!("resident after each round, KiB: {rss_kib:?}");
    assert!(sum.all_happened(), "a soak in which something never happens: {sum:?}");
    // The first rounds warm allocator and stacks up.
    if let [_, _, early, .., last] = rss_kib[..] {
        assert!(last < early + 32 * 1024, "memory grows: {rss_kib:?}");
    }
}

/// One pipeline, from start to shutdown.
fn run_round(round: u64, time: Duration) -> Tally {
    let mut random = Random(round);
    let config = PipelineConfig {
        capacity: 1 << (4 + random.below(7)),
        bulk_capacity: 64,
        max_rows: 1 + random.below(64),
        max_delay: Duration::from_micros(random.below(2) as u64 * 200),
        workers: 1 + random.below(2),
        batch_timeout: Duration::from_millis(100),
        waiting: [Waiting::default(), Waiting::spinning(Duration::from_micros(20))]
            [random.below(2)],
        ..PipelineConfig::default()
    };
    let processor = cpu::open();
    let pipeline = Pipeline::start(load(&*processor, 1), config).expect("sound options");
    let ends = AtomicBool::new(false);
    let mut tally = Tally::default();
    let mut fakes = Vec::new();
    thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                // What leaks keeps the whole ring: not in every round.
                let seed = round * CALLERS + caller;
                let caller = Caller::new(pipeline.clone(), seed, round % 8 == 1, &ends);
                scope.spawn(move || caller.run())
            })
            .collect();
        fakes = disturb(&pipeline, &mut random, Instant::now() + time);
        ends.store(true, Ordering::Relaxed);
        for caller in callers {
            tally.add(&caller.join().expect("callers survive their own panics"));
        }
    });
    finish(pipeline, &fakes, &mut random, tally)
}

/// Attaches devices that go wrong, and swaps weights, until then. Returns the devices.
fn disturb(pipeline: &Pipeline, random: &mut Random, end: Instant) -> Vec<FakeDevice> {
    let mut version = 1;
    let mut devices = Vec::new();
    while Instant::now() < end {
        let device = FakeDevice::named(BackendKind::Wgpu, "fake", *cpu::open().limits());
        let attached = pipeline.attach(load(&device, version));
        attached.expect("a device that works so far");
        let healthy = random.below(50);
        let faults = (0..healthy).map(|_| Fault::Delay(random.below(40) as u32));
        device.script(faults.collect::<Vec<_>>());
        device.script([[
            Fault::FailAtSubmit,
            Fault::FailAtCompletion,
            Fault::WrongStatus,
            Fault::Lose,
            Fault::Hang,
            Fault::LateAfterHang,
            Fault::Stick,
            Fault::PanicAtSubmit,
        ][random.below(8)]]);
        thread::sleep(Duration::from_millis(50 + random.below(300) as u64));
        // What was stuck or hung goes on, long after its rows were answered elsewhere.
        device.release();
        device.finish_hung();
        if random.below(2) == 0 && pipeline.swap(&model(version + 1)).is_ok() {
            version += 1;
        }
        devices.push(device);
    }
    devices
}

/// Shuts a round's pipeline down and sees that it adds up.
fn finish(
    pipeline: Pipeline,
    fakes: &[FakeDevice],
    random: &mut Random,
    mut tally: Tally,
) -> Tally {
    assert!(!matches!(pipeline.health(), Health::Failed { .. }), "{}", pipeline.health());
    // One more that hangs for ever: in every other round, shutdown comes while it does.
    let last = FakeDevice::named(BackendKind::Wgpu, "last", *cpu::open().limits());
    let hangs = random.below(2) == 0;
    if hangs && pipeline.attach(load(&last, pipeline.version().0)).is_ok() {
        last.script([Fault::Stick]);
        let row = [7.0, 1.0];
        let tickets: Vec<_> = (0..8).filter_map(|_| pipeline.submit(&row).ok()).collect();
        tally.submitted += tickets.len() as u64;
    }
    let metrics_of = pipeline.clone();
    let report = pipeline.shutdown(Duration::from_secs(5));
    last.release();
    fakes.iter().for_each(FakeDevice::release);
    assert!(report.drained, "{report:?} {}", metrics_of.metrics());
    let metrics = metrics_of.metrics();
    assert!(metrics.conserves() && metrics.pending == 0, "{metrics}");
    assert_eq!(metrics.admitted, tally.submitted, "{metrics}");
    tally.retried += metrics.retried_rows;
    tally
}

/// The process's resident memory, where the system tells.
fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
