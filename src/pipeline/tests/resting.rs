//! The watchdog sleeps where there is nothing to watch.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::config::SubmitOptions;
use super::super::watchdog::Watchdog;
use super::super::worker::Step;
use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn bench(max_delay: Duration) -> (Bench, Watchdog) {
    let config = PipelineConfig { capacity: 4, max_delay, ..PipelineConfig::default() };
    let bench = Bench::new(&fake(BackendKind::Cpu, "fake"), 100.0, config);
    let watchdog = Watchdog::new(Arc::clone(&bench.core));
    (bench, watchdog)
}

fn due_in(bench: &Bench, time: Duration) -> SubmitOptions {
    let now = Duration::from_nanos(bench.clock.load(Ordering::Relaxed));
    SubmitOptions::deadline(bench.core.clock.start() + now + time)
}

/// How long it sleeps, once it has looked often enough to be sure.
fn rest(watchdog: &mut Watchdog) -> Duration {
    (0..20).map(|_| watchdog.step()).last().unwrap()
}

#[test]
fn a_deadline_of_an_answered_row_wakes_no_thread() {
    let (mut bench, mut watchdog) = bench(Duration::ZERO);
    assert_eq!(rest(&mut watchdog), Duration::MAX);
    let options = due_in(&bench, HOUR);
    let ticket = bench.pipeline.submit_with(&[3.0, 1.0], &options).unwrap();
    while bench.workers[0].step() == Step::Progress {}
    drop(ticket.wait().unwrap());
    assert_eq!(rest(&mut watchdog), Duration::MAX);
}

#[test]
fn it_sleeps_until_the_first_deadline_of_those_that_wait() {
    let (bench, mut watchdog) = bench(2 * HOUR);
    let submit = |time| {
        let options = due_in(&bench, time);
        bench.pipeline.submit_with(&[3.0, 1.0], &options).unwrap()
    };
    let late = submit(3 * HOUR);
    let soon = submit(HOUR);
    assert_eq!(rest(&mut watchdog), HOUR);
    bench.clock.fetch_add(HOUR.as_nanos() as u64, Ordering::Relaxed);
    assert_eq!(rest(&mut watchdog), 2 * HOUR);
    assert!(soon.is_ready() && !late.is_ready());
}
