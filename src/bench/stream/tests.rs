//! Jobs on devices that pause, lie and fail.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::super::error::BenchError;
use super::super::images::OwnedRows;
use super::super::load::{Arrivals, Schedule};
use super::super::tests::liar::{Liar, Lie, model};
use super::*;
use crate::backend::fake::{FakeDevice, Fault};
use crate::backend::{Device, Executable, cpu};
use crate::pipeline::Waiting;
use crate::plan::{InputType, Plan, PlanOptions};

fn load(device: &dyn Device) -> Arc<dyn Executable> {
    let plan = Plan::new(&model(), device.limits(), &PlanOptions::default()).unwrap();
    device.load(plan).unwrap()
}

/// Something done with a job on a device.
fn on<T>(device: &dyn Device, run: impl FnOnce(&Job<'_>) -> T) -> T {
    let workload = Workload::generated(&model(), InputType::F32);
    let directory = tempfile::tempdir().unwrap();
    run(&Job {
        executable: &load(device),
        workload: &workload,
        parallelism: 1,
        waiting: Waiting::default(),
        results: &directory.path().join("results.bin"),
    })
}

#[test]
fn every_row_of_a_schedule_has_a_result() {
    let bursts = Arrivals::Bursts {
        base_per_s: 1e3,
        burst_per_s: 2e4,
        base: Duration::from_millis(20),
        burst: Duration::from_millis(5),
    };
    let schedule =
        Schedule::of(bursts, Duration::from_millis(100)).after(Duration::from_millis(50));
    let outcome = on(&*cpu::open(), |job| job.open_loop(&schedule, 1).unwrap());
    // 20 rows between bursts and 100 in each; the first two rounds warm up.
    assert_eq!((outcome.results, outcome.kept.answered), (720, 480));
    assert_eq!((outcome.kept.latency.count(), outcome.kept.unsent), (480, 0));
    assert_eq!(outcome.stages.rows, 720);
    assert!((1..=720).contains(&outcome.batches));
    assert!(outcome.stages.means_us()[2] > 0.0, "{:?}", outcome.stages);
}

#[test]
fn every_row_of_a_request_has_a_result() {
    let rows = OwnedRows::F32((0..5 * 16).map(|value| value as f32 / 80.0).collect());
    let workload = Workload::given(&model(), rows).unwrap();
    let schedule = Schedule::new(1e3, Duration::from_millis(30));
    let device = cpu::open();
    on(&*device, |job| {
        // Requests that take the last rows and the first, and all of them several times.
        for rows in [3, 5, 32] {
            let job = Job { workload: &workload, ..*job };
            let outcome = job.open_loop(&schedule, rows).unwrap();
            let all = 30 * rows as u64;
            assert_eq!(
                (outcome.kept.answered, outcome.results, outcome.stages.rows),
                (30, all, all)
            );
        }
    });
    // A lie in the middle of a request is as wrong as one in its first row.
    let liar = Liar::device(device, Lie::Off, 40);
    let outcome = on(&*liar, |job| job.open_loop(&schedule, 7).map(drop));
    assert!(matches!(outcome, Err(BenchError::WrongAnswer { .. })), "{outcome:?}");
}

#[test]
fn a_pause_of_the_device_is_reported_for_all_rows_that_met_it() {
    let fake = FakeDevice::new(*cpu::open().limits());
    let mut script = vec![Fault::None; 50];
    script.push(Fault::StickAtCompletion);
    fake.script(script);
    let schedule = Schedule::new(1e3, Duration::from_millis(400));
    let outcome = thread::scope(|scope| {
        scope.spawn(|| {
            while fake.stuck() == 0 {
                thread::sleep(Duration::from_millis(1));
            }
            thread::sleep(Duration::from_millis(100));
            fake.release();
        });
        on(&fake, |job| job.open_loop(&schedule, 1).unwrap())
    });
    let latency = outcome.kept.latency.histogram();
    assert_eq!((latency.len(), outcome.results), (400, 400));
    // A row each millisecond: those of the first half of the pause waited for its second half.
    let longer = latency.len() - latency.count_between(0, 50_000_000);
    assert!(longer >= 45, "{longer} rows waited for 50 ms");
    assert!(latency.max() >= 99_000_000, "{}", latency.max());
    // Whoever had sent the next row only after each answer would have seen it once.
    let called = outcome.kept.called.histogram();
    assert!(called.len() - called.count_between(0, 50_000_000) >= 45);
}

#[test]
fn a_device_that_takes_its_time_has_it_in_every_figure() {
    let each = Duration::from_millis(5);
    let fake = FakeDevice::new(*cpu::open().limits()).lasting(each);
    let closed = Closed {
        way: Way::Pipeline,
        batch: 3,
        every: Duration::ZERO,
        warm_up: (1, each),
        time: Duration::from_millis(40),
    };
    let answered = on(&fake, |job| job.closed_loop(&closed).unwrap());
    assert!(answered.called.histogram().min() >= 4_990_000, "{:?}", answered.called.percentiles());
    assert!((1..=9).contains(&answered.called.count()));
    assert_eq!(answered.generated.count(), answered.called.count());
    let schedule = Schedule::new(100.0, Duration::from_millis(50));
    let outcome = on(&fake, |job| job.open_loop(&schedule, 1).unwrap());
    assert!(outcome.stages.means_us()[2] >= 4_990.0, "{:?}", outcome.stages.means_us());
}

#[test]
fn warming_up_takes_requests_or_a_time_whichever_is_less() {
    let each = Duration::from_millis(5);
    let batches = |warm_up| {
        let fake = FakeDevice::new(*cpu::open().limits()).lasting(each);
        fake.record();
        let (every, time) = (Duration::ZERO, Duration::ZERO);
        let closed = Closed { way: Way::Pipeline, batch: 1, every, warm_up, time };
        let answered = on(&fake, |job| job.closed_loop(&closed).unwrap());
        assert_eq!(answered.called.count(), 1);
        fake.recorded().len()
    };
    let without = batches((0, Duration::MAX));
    assert_eq!(batches((3, Duration::MAX)), without + 3);
    let with = batches((200, each * 7 / 2));
    assert!((1..=4).contains(&(with - without)), "{with} batches, {without} without a warm-up");
}

#[test]
fn requests_keep_their_distance() {
    let every = Duration::from_millis(10);
    for way in [Way::Pipeline, Way::Caller] {
        let time = Duration::from_millis(60);
        let closed = Closed { way, batch: 10, every, warm_up: (2, time), time };
        let answered = on(&*cpu::open(), |job| job.closed_loop(&closed).unwrap());
        assert!((1..=7).contains(&answered.called.count()), "{}", answered.called.count());
    }
}

#[test]
fn a_lie_ends_every_loop() {
    let wrong = |outcome: Result<(), BenchError>, what: &str| {
        let is_found = matches!(&outcome, Err(BenchError::WrongAnswer { .. }));
        assert!(is_found, "{what}: {outcome:?}");
    };
    let schedule = Schedule::new(1e4, Duration::from_millis(50));
    for lie in [Lie::Stale, Lie::Off] {
        let liar = Liar::device(cpu::open(), lie, 40);
        wrong(on(&*liar, |job| job.open_loop(&schedule, 1).map(drop)), "open loop");
    }
    for way in [Way::Pipeline, Way::Caller] {
        let (every, warm_up) = (Duration::ZERO, (0, Duration::ZERO));
        let closed = Closed { way, batch: 7, every, warm_up, time: Duration::from_millis(100) };
        let liar = Liar::device(cpu::open(), Lie::Off, 40);
        wrong(on(&*liar, |job| job.closed_loop(&closed).map(drop)), "closed loop");
    }
    let liar = Liar::device(cpu::open(), Lie::Off, 3);
    wrong(on(&*liar, |job| job.workload.check(&**job.executable)), "before anything is timed");
    on(&*cpu::open(), |job| job.workload.check(&**job.executable)).unwrap();
}

#[test]
fn rows_of_a_file_are_whole_ones() {
    let given = |values: usize| Workload::given(&model(), OwnedRows::F32(vec![0.5; values]));
    assert_eq!(given(48).unwrap().count(), 3);
    assert!(given(0).is_none() && given(17).is_none());
}
