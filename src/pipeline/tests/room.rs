//! Those who wait for room are told of all there is, and may be let go of at any time.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::super::config::SubmitOptions;
use super::super::error::{ReplyError, SubmitError};
use super::super::ticket::{Reply, Ticket};
use super::super::watchdog::Watchdog;
use super::super::worker::Step;
use super::*;

/// A task that counts how often it is woken, and keeps a future until it ends.
#[derive(Default)]
struct Task {
    woken: AtomicUsize,
    _future: Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>,
}

impl Task {
    fn woken(&self) -> usize {
        self.woken.load(Ordering::Relaxed)
    }
}

impl Wake for Task {
    fn wake(self: Arc<Task>) {
        self.woken.fetch_add(1, Ordering::Relaxed);
    }
}

fn poll<F: Future + ?Sized>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

fn two_rows() -> Bench {
    let config = PipelineConfig { capacity: 2, max_rows: 2, ..PipelineConfig::default() };
    Bench::new(&fake(BackendKind::Cpu, "fake"), 100.0, config)
}

fn work(bench: &mut Bench) {
    while bench.workers[0].step() == Step::Progress {}
}

/// A row that expires behind one that waits is free, but no claim goes past the other before it is
/// in a batch. That is when there is room, though nothing becomes free then.
#[test]
fn room_behind_a_kept_reply_is_told_of() {
    let mut bench = two_rows();
    let pipeline = bench.pipeline.clone();
    let kept = pipeline.submit(&[1.0, 1.0]).unwrap();
    let deadline = Some(bench.core.clock.start() + Duration::from_nanos(1_000));
    let options = SubmitOptions { deadline, ..SubmitOptions::default() };
    let expires = pipeline.submit_with(&[2.0, 1.0], &options).unwrap();
    let (row, options) = ([3.0, 1.0], SubmitOptions::default());
    let mut asks = pin!(pipeline.submit_async(&row, &options));
    let task = Arc::new(Task::default());
    let waker = Waker::from(Arc::clone(&task));
    assert!(poll(asks.as_mut(), &waker).is_pending());

    bench.clock.store(2_000, Ordering::Relaxed);
    Watchdog::new(Arc::clone(&bench.core)).step();
    assert!(matches!(expires.wait(), Err(ReplyError::Expired)));
    assert!(poll(asks.as_mut(), &waker).is_pending());

    let before = task.woken();
    work(&mut bench);
    let reply = kept.wait().unwrap();
    assert!(task.woken() > before, "there is room, and nobody was told");
    let Poll::Ready(Ok(ticket)) = poll(asks.as_mut(), &waker) else { panic!("no room") };
    work(&mut bench);
    assert_eq!(ticket.wait().unwrap().scores(), [3.0, 1.0]);
    assert_eq!(reply.scores(), [1.0, 1.0]);
}

/// The last waker of a task may be the one in a line, and the task may have a place in that line.
#[test]
fn a_task_in_line_may_end_with_its_waker() {
    let mut bench = two_rows();
    let tickets = [1.0, 2.0].map(|x| bench.pipeline.submit(&[x, 1.0]).unwrap());
    work(&mut bench);
    let replies: Vec<Reply> = tickets.map(|ticket| ticket.wait().unwrap()).into();
    let pipeline = bench.pipeline.clone();
    let (done, is_done) = mpsc::channel();
    std::thread::spawn(move || {
        let asks = |pipeline: Pipeline| {
            Box::pin(async move {
                let taken = pipeline.submit_async(&[3.0, 1.0], &SubmitOptions::default()).await;
                drop(taken);
            })
        };
        let mut first = asks(pipeline.clone());
        let mut second = asks(pipeline);
        assert!(poll(second.as_mut(), Waker::noop()).is_pending());
        let task = Task { _future: Mutex::new(Some(second)), ..Task::default() };
        assert!(poll(first.as_mut(), &Waker::from(Arc::new(task))).is_pending());
        assert!(poll(first.as_mut(), Waker::noop()).is_pending());
        done.send(()).unwrap();
    });
    let is_done = is_done.recv_timeout(Duration::from_secs(20)).is_ok();
    // Dropping them would look into the line, too.
    std::mem::forget((replies, bench));
    assert!(is_done, "locked up");
}

/// A future that waits for room, and the task it belongs to.
fn asks(pipeline: &Pipeline, x: f32) -> Asking {
    let pipeline = pipeline.clone();
    let ask = async move { pipeline.submit_async(&[x, 1.0], &SubmitOptions::default()).await };
    Asking { task: Arc::default(), future: Box::pin(ask) }
}

struct Asking {
    task: Arc<Task>,
    future: Pin<Box<dyn Future<Output = Result<Ticket, SubmitError>>>>,
}

impl Asking {
    fn poll(&mut self) -> Option<Ticket> {
        match poll(self.future.as_mut(), &Waker::from(Arc::clone(&self.task))) {
            Poll::Ready(taken) => Some(taken.unwrap()),
            Poll::Pending => None,
        }
    }
}

/// Two rows, and as many replies that hold them.
fn full() -> (Bench, Vec<Reply>) {
    let mut bench = two_rows();
    let tickets = [1.0, 2.0].map(|x| bench.pipeline.submit(&[x, 1.0]).unwrap());
    work(&mut bench);
    let replies = tickets.map(|ticket| ticket.wait().unwrap()).into();
    (bench, replies)
}

#[test]
fn a_row_that_becomes_free_is_the_first_callers_in_line() {
    let (bench, mut replies) = full();
    let (mut first, mut second) = (asks(&bench.pipeline, 3.0), asks(&bench.pipeline, 4.0));
    assert!(first.poll().is_none() && second.poll().is_none());
    drop(replies.pop());
    assert_eq!((first.task.woken(), second.task.woken()), (1, 0));
    for _ in 0..3 {
        assert!(bench.pipeline.submit(&[5.0, 1.0]).is_err(), "a newcomer jumped the line");
        assert!(bench.pipeline.reserve::<f32>().is_err(), "a newcomer jumped the line");
        assert!(second.poll().is_none(), "the second jumped the line");
    }
    let ticket = first.poll().unwrap();
    drop(replies.pop());
    assert_eq!(second.task.woken(), 1);
    drop((ticket, second.poll().unwrap()));
}

/// As many are woken as rows became free, and none of them waits for another to be polled.
#[test]
fn a_task_that_is_not_polled_blocks_no_other() {
    let (bench, replies) = full();
    let mut waiting = [3.0, 4.0, 5.0].map(|x| asks(&bench.pipeline, x));
    assert!(waiting.iter_mut().all(|asks| asks.poll().is_none()));
    drop(replies);
    assert_eq!(waiting.each_ref().map(|asks| asks.task.woken()), [1, 1, 0]);
    let taken = waiting[1].poll().expect("the first is not polled, and bars the second");
    // Rows that were kept for a task go to the next after a while.
    let mut watchdog = Watchdog::new(Arc::clone(&bench.core));
    (0..3).for_each(|_| _ = watchdog.step());
    assert_eq!(waiting[2].task.woken(), 1, "a row is kept for a task that is not polled");
    let last = waiting[2].poll().expect("there is room");
    assert!(bench.pipeline.submit(&[6.0, 1.0]).is_err());
    // It has lost its turn, but not its place.
    assert!(waiting[0].poll().is_none());
    let mut behind = asks(&bench.pipeline, 7.0);
    assert!(behind.poll().is_none());
    drop((taken, last));
    let mut bench = bench;
    work(&mut bench);
    assert!(waiting[0].poll().is_some());
}

#[test]
fn newcomers_do_not_wait_for_a_task_that_is_not_polled() {
    let (bench, replies) = full();
    let mut forgotten = asks(&bench.pipeline, 3.0);
    assert!(forgotten.poll().is_none());
    drop(replies);
    let beside = bench.pipeline.submit(&[4.0, 1.0]).expect("a row that is not kept for another");
    assert!(bench.pipeline.submit(&[5.0, 1.0]).is_err(), "the other is kept");
    let mut watchdog = Watchdog::new(Arc::clone(&bench.core));
    (0..3).for_each(|_| _ = watchdog.step());
    let last = bench.pipeline.submit(&[5.0, 1.0]).expect("it is kept no longer");
    drop((beside, last));
}

/// Full is found out once, not by every caller, and forgotten with the first row that is freed.
#[test]
fn full_is_known_until_a_row_is_free() {
    let (mut bench, mut replies) = full();
    for _ in 0..3 {
        for _ in 0..5 {
            assert!(matches!(bench.pipeline.submit(&[3.0, 1.0]), Err(SubmitError::Full)));
            assert!(bench.pipeline.submit_many(&[3.0, 1.0, 4.0, 1.0]).is_err());
        }
        drop(replies.pop());
        // One row is free: two are not.
        assert!(bench.pipeline.submit_many(&[3.0, 1.0, 4.0, 1.0]).is_err());
        let guard = bench.pipeline.reserve::<f32>().unwrap();
        assert!(bench.pipeline.reserve::<f32>().is_err());
        // What is given up is free once a worker has seen it.
        drop(guard);
        work(&mut bench);
        let ticket = bench.pipeline.submit(&[3.0, 1.0]).unwrap();
        work(&mut bench);
        replies.push(ticket.wait().unwrap());
    }
}

/// Leaving the line and coming back to it cost the same however long it is: within a wide margin,
/// because a line that is walked through is a thousand times slower here.
#[test]
fn a_place_in_a_long_line_costs_no_more() {
    let cost = |others: usize| {
        let (bench, replies) = full();
        let mut line: Vec<_> = (0..others + 100).map(|_| asks(&bench.pipeline, 3.0)).collect();
        assert!(line.iter_mut().all(|asks| asks.poll().is_none()));
        let begin = std::time::Instant::now();
        for asks in line.iter_mut().rev().take(100) {
            assert!(asks.poll().is_none());
        }
        line.truncate(others);
        let took = begin.elapsed();
        drop((line, replies));
        took
    };
    let most = if cfg!(miri) { 200 } else { 20_000 };
    let (short, long) = (cost(0), cost(most));
    assert!(long < short * 60, "{long:?} in a long line, {short:?} in a short one");
}
