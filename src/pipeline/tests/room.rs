//! Those who wait for room are told of all there is, and may be let go of at any time.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::super::config::SubmitOptions;
use super::super::error::ReplyError;
use super::super::ticket::Reply;
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

fn poll<F: Future>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
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
