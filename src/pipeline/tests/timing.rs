//! What is late, and what is not: pauses of the process, slow devices, and devices that hang.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::ticket::Ticket;
use super::super::watchdog::Watchdog;
use super::super::worker::Step;
use super::*;
use crate::backend::cpu;
use crate::backend::fake::{Fault, Timing};
use crate::backend::null::NullDevice;

const TIMEOUT: Duration = Duration::from_millis(100);
/// How far the clock moves between two looks of the watchdog.
const TICK_NS: u64 = 5_000_000;
const HOUR_NS: u64 = 3600 * 1_000_000_000;

fn config(depth: usize) -> PipelineConfig {
    let (batch_timeout, capacity) = (TIMEOUT, 64);
    PipelineConfig { batch_timeout, depth, capacity, ..PipelineConfig::default() }
}

/// A pipeline, its watchdog, and one device.
struct Watched {
    bench: Bench,
    watchdog: Watchdog,
    device: FakeDevice,
}

impl Watched {
    fn new(device: FakeDevice, row_ns: u64, config: PipelineConfig) -> Watched {
        let bench = Bench::new(&device, row_ns as f64, config);
        let watchdog = Watchdog::new(Arc::clone(&bench.core));
        Watched { bench, watchdog, device }
    }

    /// With a device whose rows take so long each.
    fn slow(row_ns: u64, depth: usize) -> Watched {
        let device = fake(BackendKind::Wgpu, "slow");
        let mut watched = Watched::new(device, row_ns, config(depth));
        let timing = Timing { compute_ns_per_row: row_ns, ..Timing::default() };
        let clock = Arc::clone(&watched.bench.clock);
        watched.device = watched.device.timed(clock, timing);
        watched.device.record();
        watched
    }

    fn submit(&self, count: usize) -> Vec<Ticket> {
        let rows = (0..count).map(|id| [id as f32, 1.0]);
        rows.map(|row| self.bench.pipeline.submit(&row).unwrap()).collect()
    }

    /// The workers do what they can.
    fn work(&mut self) {
        for worker in &mut self.bench.workers {
            while worker.step() == Step::Progress {}
        }
    }

    /// Time passes, and all look.
    fn tick(&mut self, ns: u64) {
        self.bench.clock.fetch_add(ns, Ordering::Relaxed);
        self.watchdog.step();
        self.work();
    }

    fn is_ready(&self) -> bool {
        !self.bench.pipeline.devices().is_empty()
    }

    /// Lets ticks pass until all is answered, and checks the answers. Returns their number.
    fn finish(&mut self, tickets: Vec<Ticket>) -> u32 {
        self.work();
        let mut ticks = 0;
        while tickets.iter().any(|ticket| !ticket.is_ready()) {
            self.tick(TICK_NS);
            ticks += 1;
            assert!(ticks < 100_000, "they are never answered");
        }
        for (id, ticket) in tickets.into_iter().enumerate() {
            assert_eq!(ticket.wait().unwrap().scores(), [id as f32, 1.0]);
        }
        assert!(self.is_ready());
        ticks
    }
}

#[test]
fn a_pause_of_the_process_is_no_time_that_a_device_took() {
    for worker_first in [false, true] {
        let mut watched = Watched::new(fake(BackendKind::Wgpu, "fake"), 100, config(2));
        watched.device.script([Fault::LateAfterHang; 2]);
        let tickets = watched.submit(40);
        watched.work();
        for _ in 0..5 {
            watched.tick(TICK_NS);
            watched.bench.clock.fetch_add(HOUR_NS, Ordering::Relaxed);
            if worker_first {
                watched.work();
            }
            watched.tick(0);
        }
        assert!(watched.is_ready());
        watched.device.finish_hung();
        watched.finish(tickets);
    }
}

#[test]
fn a_pause_while_nothing_is_in_flight_is_none_of_what_comes() {
    let mut watched = Watched::new(fake(BackendKind::Wgpu, "fake"), 100, config(1));
    (0..20).for_each(|_| watched.tick(TICK_NS));
    watched.bench.clock.fetch_add(HOUR_NS, Ordering::Relaxed);
    watched.device.script([Fault::LateAfterHang]);
    let tickets = watched.submit(3);
    watched.work();
    (0..10).for_each(|_| watched.tick(TICK_NS));
    assert!(watched.is_ready());
    watched.device.finish_hung();
    watched.finish(tickets);
}

#[test]
fn a_device_that_hangs_is_lost_in_spite_of_pauses() {
    for paused in [0, HOUR_NS] {
        let mut watched = Watched::new(fake(BackendKind::Wgpu, "fake"), 100, config(1));
        watched.device.script([Fault::Hang]);
        let tickets = watched.submit(3);
        watched.work();
        let mut ticks = 0;
        while watched.is_ready() {
            watched.tick(TICK_NS);
            watched.tick(paused);
            ticks += 1;
            assert!(ticks < 100, "it is never lost");
        }
        assert!(ticks * TICK_NS >= TIMEOUT.as_nanos() as u64 / 3, "{ticks} ticks");
        tickets.into_iter().for_each(|ticket| assert!(ticket.wait().is_err()));
    }
}

#[test]
fn batches_are_as_large_as_a_slow_device_can_take_in_time() {
    for depth in [1, 2, 3] {
        let mut watched = Watched::slow(10_000_000, depth);
        let tickets = watched.submit(60);
        watched.finish(tickets);
        let batches = watched.device.recorded();
        let largest = batches.iter().map(Vec::len).max();
        // Half the time, for all that are in flight at once.
        assert_eq!(largest, Some(5 / depth), "{depth}");
    }
}

#[test]
fn a_row_that_takes_longer_than_a_batch_may_is_given_its_time() {
    for depth in [1, 2] {
        let mut watched = Watched::slow(3 * TIMEOUT.as_nanos() as u64, depth);
        let tickets = watched.submit(6);
        let ticks = watched.finish(tickets);
        assert!(watched.device.recorded().iter().all(|batch| batch.len() == 1));
        assert!(u64::from(ticks) * TICK_NS >= 18 * TIMEOUT.as_nanos() as u64);
    }
}

#[test]
fn a_slow_device_that_hangs_is_lost_all_the_same() {
    let mut watched = Watched::slow(3 * TIMEOUT.as_nanos() as u64, 2);
    watched.device.script([Fault::Hang]);
    let tickets = watched.submit(2);
    watched.work();
    let ticks = (0..10_000).find(|_| {
        watched.tick(TICK_NS);
        !watched.is_ready()
    });
    assert!(ticks.is_some(), "it is never lost");
    tickets.into_iter().for_each(|ticket| assert!(ticket.wait().is_err()));
}

#[test]
fn what_a_worker_computes_itself_is_never_late() {
    let mut watched = Watched::slow(1_000, 2);
    let backend = |watched: &Watched, at: usize| Arc::clone(&watched.bench.workers[at].backend);
    let timeout_ns = TIMEOUT.as_nanos() as u64;
    assert_eq!(backend(&watched, 0).timeout_ns(8), timeout_ns);
    assert!(cpu::open().computes_in_call() && !watched.device.computes_in_call());
    let device = NullDevice::new(LIMITS);
    watched.bench.attach(load(&device, &model(1)), timeout_ns as f64);
    assert_eq!(backend(&watched, 1).timeout_ns(8), u64::MAX);
    assert_eq!(backend(&watched, 1).rows_in_time(), 1);
}
