//! A deterministic simulation: one thread takes every step, callers', workers' and watchdog's, in
//! an order that a seed decides, with faults that it decides, too. A seed that fails is printed,
//! and fails the same way every time: `FUSEWIRE_SEED=7 cargo test --lib simulation`.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::super::config::SubmitOptions;
use super::super::error::{ReplyError, SubmitError};
use super::super::guard::RowGuard;
use super::super::ticket::{Reply, Ticket};
use super::super::watchdog::Watchdog;
use super::super::worker::Step;
use super::*;
use crate::backend::fake::Fault;

/// Under Miri, which takes a thousand times as long, little of it happens.
const SEEDS: u64 = if cfg!(miri) { 3 } else { 3000 };
const STEPS: usize = 400;

#[test]
fn nothing_is_lost_whatever_happens() {
    let chosen = std::env::var("FUSEWIRE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = chosen.map_or(0..SEEDS, |seed: u64| seed..seed + 1);
    let mut seen = Seen::default();
    for seed in seeds {
        let run = catch_unwind(AssertUnwindSafe(|| World::new(seed).run()));
        match run {
            Ok(of_run) => seen.add(&of_run),
            Err(_) => panic!("seed {seed} fails: FUSEWIRE_SEED={seed} cargo test simulation"),
        }
    }
    // A simulation in which nothing happens proves nothing.
    println!("{seen:?}");
    assert!(chosen.is_some() || cfg!(miri) || seen.all_happened(), "{seen:?}");
}

/// What came to pass, over all seeds.
#[derive(Debug, Default)]
struct Seen {
    completed: u64,
    expired: u64,
    cancelled: u64,
    failed: u64,
    shut_down: u64,
    full: u64,
    retried: u64,
    lost: u64,
    swaps: u64,
    leaked: u64,
    waited: u64,
    pauses: u64,
}

impl Seen {
    fn numbers(&mut self) -> [&mut u64; 12] {
        [
            &mut self.completed,
            &mut self.expired,
            &mut self.cancelled,
            &mut self.failed,
            &mut self.shut_down,
            &mut self.full,
            &mut self.retried,
            &mut self.lost,
            &mut self.swaps,
            &mut self.leaked,
            &mut self.waited,
            &mut self.pauses,
        ]
    }

    fn add(&mut self, other: &Seen) {
        let mut other = Seen { ..*other };
        for (sum, number) in self.numbers().into_iter().zip(other.numbers()) {
            *sum += *number;
        }
    }

    fn all_happened(&mut self) -> bool {
        self.numbers().into_iter().all(|number| *number > 0)
    }
}

/// A request that waits for its answer.
struct Asked {
    ticket: Ticket,
    ids: Vec<u32>,
    deadline: Option<u64>,
    submitted_ns: u64,
    version: u64,
}

/// A row whose caller waits for room, and is polled when chance has it.
struct Asking {
    future: Pin<Box<dyn Future<Output = Result<Ticket, SubmitError>>>>,
    id: u32,
    deadline: Option<u64>,
}

struct World {
    random: Random,
    bench: Bench,
    watchdog: Watchdog,
    devices: Vec<FakeDevice>,
    /// Until when each worker is not to be stepped.
    paused_ns: Vec<u64>,
    asked: Vec<Asked>,
    asking: Vec<Asking>,
    replies: VecDeque<Reply>,
    guards: Vec<(RowGuard<f32>, u32)>,
    next_id: u32,
    version: u64,
    seen: Seen,
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = Random(seed);
        let config = PipelineConfig {
            capacity: random.between(1, 12),
            bulk_capacity: random.between(0, 4),
            max_rows: random.between(1, 6),
            max_delay: Duration::from_nanos(random.between(0, 1) as u64 * 3_000),
            depth: random.between(1, 3),
            workers: random.between(1, 2),
            batch_timeout: Duration::from_millis(1),
            // In real time: a device may hang while it loads another version.
            load_timeout: Duration::from_millis(5),
            attempts: random.between(1, 4) as u32,
            ..PipelineConfig::default()
        };
        let device = fake(BackendKind::Cpu, "first");
        let bench = Bench::new(&device, 100.0, config);
        let watchdog = Watchdog::new(Arc::clone(&bench.core));
        World {
            random,
            watchdog,
            devices: vec![device],
            paused_ns: vec![0; bench.workers.len()],
            bench,
            asked: Vec::new(),
            asking: Vec::new(),
            replies: VecDeque::new(),
            guards: Vec::new(),
            next_id: 1,
            version: 1,
            seen: Seen::default(),
        }
    }

    fn run(mut self) -> Seen {
        for step in 0..STEPS {
            self.step();
            // Adding histograms up takes longer than all else.
            if step % 20 == 0 {
                self.check_counts();
            }
        }
        self.finish();
        self.seen
    }

    fn now_ns(&self) -> u64 {
        self.bench.clock.load(Ordering::Relaxed)
    }

    fn advance(&mut self, ns: u64) {
        self.bench.clock.fetch_add(ns, Ordering::Relaxed);
    }

    fn step(&mut self) {
        match self.random.between(0, 99) {
            0..=19 => self.submit(1),
            20..=25 => {
                let rows = self.random.between(1, 9);
                self.submit(rows);
            }
            26..=31 => self.reserve(),
            32..=36 => self.let_guard_go(),
            37..=40 => self.cancel(),
            41..=50 => self.read(),
            51..=54 => drop(self.replies.pop_front()),
            55..=75 => self.work(),
            76..=77 => self.ask(),
            78..=79 => self.poll_one(),
            80..=84 => _ = self.watchdog.step(),
            85..=91 => {
                let ns = self.random.between(1, 4_000) as u64;
                self.advance(ns);
            }
            92 if self.random.between(0, 3) == 0 => self.stand_still(),
            92 => self.advance(400_000),
            93..=95 => self.fault(),
            96 => self.attach(),
            97 => self.pause(),
            98 => self.swap(),
            _ => self.devices.iter().for_each(FakeDevice::finish_hung),
        }
    }

    fn options(&mut self) -> (SubmitOptions, Option<u64>) {
        let bulk = self.random.between(0, 3) == 0;
        let mut options = if bulk { SubmitOptions::bulk() } else { SubmitOptions::default() };
        if self.random.between(0, 4) > 0 {
            return (options, None);
        }
        let ns = self.now_ns() + self.random.between(1, 20_000) as u64;
        options.deadline = Some(self.bench.core.clock.start() + Duration::from_nanos(ns));
        (options, Some(ns))
    }

    fn submit(&mut self, rows: usize) {
        let (options, deadline) = self.options();
        let ids: Vec<u32> = (self.next_id..).take(rows).collect();
        let values: Vec<f32> = ids.iter().flat_map(|id| [*id as f32, 1.0]).collect();
        self.next_id += rows as u32;
        match self.bench.pipeline.submit_many_with(&values, &options) {
            Ok(ticket) => self.keep(ticket, ids, deadline),
            Err(SubmitError::Full) => self.seen.full += 1,
            Err(SubmitError::NoBulk | SubmitError::TooManyRows { .. }) => {}
            Err(SubmitError::Failed { .. }) => assert!(self.bench.core.is_deserted()),
            Err(error) => panic!("{error}"),
        }
    }

    fn keep(&mut self, ticket: Ticket, ids: Vec<u32>, deadline: Option<u64>) {
        let (submitted_ns, version) = (self.now_ns(), self.version);
        self.asked.push(Asked { ticket, ids, deadline, submitted_ns, version });
    }

    /// Asks for room, and waits for it in line where there is none.
    fn ask(&mut self) {
        let (options, deadline) = self.options();
        let (pipeline, id) = (self.bench.pipeline.clone(), self.next_id);
        self.next_id += 1;
        let row = [id as f32, 1.0];
        let future = Box::pin(async move { pipeline.submit_async(&row, &options).await });
        self.asking.push(Asking { future, id, deadline });
        self.poll(self.asking.len() - 1);
    }

    /// Polls one of those that wait for room, or lets it give up.
    fn poll_one(&mut self) {
        if self.asking.is_empty() {
            return;
        }
        let index = self.random.between(0, self.asking.len() - 1);
        match self.random.between(0, 5) {
            0 => drop(self.asking.swap_remove(index)),
            _ => self.poll(index),
        }
    }

    fn poll(&mut self, index: usize) {
        let mut context = Context::from_waker(Waker::noop());
        let asking = &mut self.asking[index];
        let Poll::Ready(taken) = asking.future.as_mut().poll(&mut context) else {
            self.seen.waited += 1;
            return;
        };
        let Asking { id, deadline, .. } = self.asking.swap_remove(index);
        match taken {
            Ok(ticket) => self.keep(ticket, vec![id], deadline),
            Err(SubmitError::Failed { .. }) => assert!(self.bench.core.is_deserted()),
            Err(SubmitError::NoBulk | SubmitError::DeadlinePassed | SubmitError::ShutDown) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Sees that callers that wait for room get it one after the other, in whatever order they are
    /// polled.
    fn serve_asking(&mut self) {
        let leaked = self.seen.leaked as usize == self.bench.core.ring.capacity(0);
        for round in 0..4_000 {
            if self.asking.is_empty() || leaked {
                self.asking.clear();
                return;
            }
            self.poll(round % self.asking.len());
            if !self.bench.workers.is_empty() {
                self.work_with(round % self.bench.workers.len());
            }
            self.advance(1_000);
            _ = self.watchdog.step();
            self.read();
            self.replies.clear();
        }
        panic!("{} wait for room for ever", self.asking.len());
    }

    fn reserve(&mut self) {
        match self.bench.pipeline.reserve::<f32>() {
            Ok(mut guard) => {
                guard.copy_from_slice(&[self.next_id as f32, 1.0]);
                self.guards.push((guard, self.next_id));
                self.next_id += 1;
            }
            Err(SubmitError::Full | SubmitError::Failed { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn let_guard_go(&mut self) {
        if self.guards.is_empty() {
            return;
        }
        let index = self.random.between(0, self.guards.len() - 1);
        let (guard, id) = self.guards.swap_remove(index);
        match self.random.between(0, 9) {
            0 if self.seen.leaked == 0 => {
                std::mem::forget(guard);
                self.seen.leaked += 1;
            }
            0..=3 => drop(guard),
            _ => {
                let ticket = guard.commit().unwrap();
                self.keep(ticket, vec![id], None);
            }
        }
    }

    fn cancel(&mut self) {
        if !self.asked.is_empty() {
            let index = self.random.between(0, self.asked.len() - 1);
            drop(self.asked.swap_remove(index));
        }
    }

    /// Reads every answer that is there.
    fn read(&mut self) {
        let (ready, waiting): (Vec<_>, Vec<_>) =
            self.asked.drain(..).partition(|asked| asked.ticket.is_ready());
        self.asked = waiting;
        for asked in ready {
            self.check(asked);
        }
    }

    fn check(&mut self, asked: Asked) {
        let reply = match asked.ticket.wait() {
            Ok(reply) => reply,
            Err(ReplyError::Expired) => {
                assert!(asked.deadline.is_some_and(|deadline| deadline <= self.now_ns()));
                return;
            }
            Err(_) => return,
        };
        assert_eq!(reply.len(), asked.ids.len());
        let version = reply.first().version();
        assert!((asked.version..=self.version).contains(&version), "a version of its time");
        for (row, id) in reply.rows().zip(&asked.ids) {
            assert_eq!(row.scores(), [*id as f32, version as f32], "its own row, and one version");
            assert_eq!(row.version(), version);
            let formed_ns = asked.submitted_ns + row.times().queue.as_nanos() as u64;
            assert!(asked.deadline.is_none_or(|deadline| formed_ns < deadline), "not in time");
        }
        if self.random.between(0, 2) == 0 {
            self.replies.push_back(reply);
        }
    }

    /// Takes a step of a worker.
    fn work(&mut self) {
        if self.bench.workers.is_empty() {
            return;
        }
        let index = self.random.between(0, self.bench.workers.len() - 1);
        if self.paused_ns[index] <= self.now_ns() {
            self.work_with(index);
        }
    }

    fn work_with(&mut self, index: usize) -> Step {
        let step = self.bench.workers[index].step();
        if step == Step::Leave {
            let worker = self.bench.workers.swap_remove(index);
            self.paused_ns.swap_remove(index);
            worker.backend.worker_left();
            self.bench.core.worker_left();
        }
        step
    }

    /// As if the worker's thread did not run for a while.
    fn pause(&mut self) {
        if !self.bench.workers.is_empty() {
            let index = self.random.between(0, self.bench.workers.len() - 1);
            self.paused_ns[index] = self.now_ns() + 3_000_000;
        }
    }

    /// As if the process did not run for a while, with the watchdog the first to go on. Nothing is
    /// lost for that alone.
    fn stand_still(&mut self) {
        self.watchdog.step();
        self.advance(3_600_000_000_000);
        let before_ns = self.bench.core.watch.seen_ns();
        self.watchdog.step();
        let seen_ns = self.bench.core.watch.seen_ns() - before_ns;
        assert!(seen_ns <= 125_000, "an eighth of what a batch may take: {seen_ns}");
        self.seen.pauses += 1;
    }

    fn fault(&mut self) {
        let fault = match self.random.between(0, 9) {
            0 => Fault::FailAtSubmit,
            1 => Fault::FailAtCompletion,
            2 => Fault::Hang,
            3 => Fault::LateAfterHang,
            4 => Fault::WrongStatus,
            5 => Fault::Lose,
            delay => Fault::Delay(delay as u32),
        };
        let index = self.random.between(0, self.devices.len() - 1);
        self.devices[index].script([fault]);
    }

    /// Attaches another device, where few are left.
    fn attach(&mut self) {
        if self.bench.pipeline.devices().len() > 2 {
            return;
        }
        let kind = [BackendKind::Cpu, BackendKind::Wgpu][self.random.between(0, 1)];
        let device = fake(kind, ["one", "other"][self.random.between(0, 1)]);
        let cost_ns = self.random.between(1, 1_000) as f64;
        self.bench.attach(load(&device, &model(self.version)), cost_ns);
        self.devices.push(device);
        self.paused_ns.resize(self.bench.workers.len(), 0);
    }

    fn swap(&mut self) {
        let memory = self.random.between(0, 3) > 0;
        for device in &self.devices {
            device.run_out_of_memory_after(if memory { u32::MAX } else { 0 });
        }
        match self.bench.pipeline.swap(&model(self.version + 1)) {
            Ok(version) => {
                assert_eq!(version, self.version + 1);
                self.version = version;
                self.seen.swaps += 1;
            }
            // The old one runs on: whatever comes is checked against it.
            Err(_) => assert_eq!(self.bench.pipeline.version().0, self.version),
        }
        for device in &self.devices {
            device.run_out_of_memory_after(u32::MAX);
        }
    }

    fn check_counts(&self) {
        let metrics = self.bench.pipeline.metrics();
        assert!(metrics.conserves(), "{metrics}");
    }

    /// Lets everything come to an end, and sees that all of it does.
    fn finish(&mut self) {
        let shuts_down = self.random.between(0, 1) == 0;
        if shuts_down {
            self.bench.core.drain();
            let refused = self.bench.pipeline.submit(&[0.0, 1.0]).map(drop);
            assert_eq!(refused, Err(SubmitError::ShutDown));
        } else if self.bench.pipeline.devices().is_empty() {
            self.attach();
        }
        self.guards.clear();
        self.settle();
        self.replies.clear();
        self.serve_asking();
        self.settle();
        self.replies.clear();
        self.check_counts();
        let metrics = self.bench.pipeline.metrics();
        assert_eq!(metrics.pending, 0, "{metrics}");
        if !shuts_down {
            self.check_room();
        }
        self.count(&metrics);
    }

    /// Goes on until everything that was taken is answered, and reads it.
    fn settle(&mut self) {
        for round in 0..20_000 {
            let step = match self.bench.workers.len() {
                0 => Step::Idle,
                workers => self.work_with(round % workers),
            };
            let all_ready = self.asked.iter().all(|asked| asked.ticket.is_ready());
            if step != Step::Progress {
                self.advance(1_000);
                _ = self.watchdog.step();
            }
            // Rows whose ticket is gone have to be cleared away, too.
            if all_ready && round > 200 && self.bench.core.queued_and_pending().1 == 0 {
                break;
            }
        }
        self.read();
        assert!(self.asked.is_empty(), "{} requests have no answer", self.asked.len());
    }

    /// Every row of the ring can be taken again, but for those that leaked.
    fn check_room(&mut self) {
        if self.bench.pipeline.devices().is_empty() {
            self.attach();
        }
        // What was given up is cleared away when a worker looks.
        for index in (0..self.bench.workers.len()).rev() {
            self.work_with(index);
        }
        let capacity = self.bench.core.ring.capacity(0) - self.seen.leaked as usize;
        let taken = (0..capacity).map(|_| self.bench.pipeline.reserve::<f32>());
        let guards: Vec<_> = taken.collect::<Result<_, _>>().unwrap();
        assert!(matches!(self.bench.pipeline.reserve::<f32>(), Err(SubmitError::Full)));
        drop(guards);
    }

    fn count(&mut self, metrics: &super::super::Metrics) {
        self.seen.completed = metrics.completed;
        self.seen.expired = metrics.expired;
        self.seen.cancelled = metrics.cancelled;
        self.seen.failed = metrics.failed;
        self.seen.shut_down = metrics.shut_down;
        self.seen.retried = metrics.retried_rows;
        let lost = self.bench.pipeline.health();
        self.seen.lost = u64::from(lost != super::super::Health::Ready);
    }
}

/// Numbers that look random and are the same every time (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn between(&mut self, low: usize, high: usize) -> usize {
        low + (self.next() % (high - low + 1) as u64) as usize
    }
}
