//! Wakers that panic: their own task is told nothing, and everybody else everything.

use std::future::Future;
use std::panic::panic_any;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use fusewire::backend::fake::{FakeDevice, Fault};
use fusewire::pipeline::{Health, ReplyError, SubmitError};
use fusewire::{Pipeline, PipelineConfig, SubmitOptions, Ticket};

use crate::support::*;

/// When a waker panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    WhenWoken,
    /// When it is woken; what the panic carries panics, too, when it is dropped.
    WithMore,
    WhenDropped,
}

const WRONG: [Wrong; 3] = [Wrong::WhenWoken, Wrong::WithMore, Wrong::WhenDropped];

struct Bad(Wrong);

struct Carried;

impl Drop for Carried {
    fn drop(&mut self) {
        panic!("as planned, and again");
    }
}

impl Wake for Bad {
    fn wake(self: Arc<Self>) {
        match self.0 {
            Wrong::WhenWoken => panic!("as planned"),
            Wrong::WithMore => panic_any(Carried),
            Wrong::WhenDropped => {}
        }
    }
}

impl Drop for Bad {
    fn drop(&mut self) {
        if self.0 == Wrong::WhenDropped {
            panic!("as planned");
        }
    }
}

fn bad(wrong: Wrong) -> Waker {
    Waker::from(Arc::new(Bad(wrong)))
}

/// Polls with a waker that only the future keeps.
fn poll<F: Future + Unpin>(future: &mut F, waker: Waker) -> Poll<F::Output> {
    let polled = Pin::new(future).poll(&mut Context::from_waker(&waker));
    if polled.is_pending() {
        // The future has a copy: this one does not go for good.
        drop(waker);
    }
    polled
}

/// A ticket that waits with a bad waker.
fn waits_badly(pipeline: &Pipeline, wrong: Wrong, options: &SubmitOptions) -> Ticket {
    let mut ticket = pipeline.submit_with(&row(1), options).unwrap();
    assert!(poll(&mut ticket, bad(wrong)).is_pending());
    ticket
}

/// A device that holds one batch, and a pipeline on it.
fn held(config: PipelineConfig) -> (FakeDevice, Pipeline, Ticket) {
    let device = fake("held");
    let pipeline = start(&device, config);
    device.script([Fault::LateAfterHang]);
    let first = pipeline.submit(&row(0)).unwrap();
    until(|| pipeline.metrics().queue_depth == 0);
    (device, pipeline, first)
}

#[test]
fn the_others_of_a_batch_are_woken_and_the_device_stays() {
    for wrong in WRONG {
        let (device, pipeline, first) = held(narrow());
        let options = SubmitOptions::default();
        let before = waits_badly(&pipeline, wrong, &options);
        let waits: Vec<_> = (2..5)
            .map(|id| {
                let ticket = pipeline.submit(&row(id)).unwrap();
                thread::spawn(move || ticket.wait().map(|reply| check(&reply, [id])))
            })
            .collect();
        let task = pipeline.submit(&row(5)).unwrap();
        let task = thread::spawn(move || check(&block_on(task).unwrap(), [5]));
        let after = waits_badly(&pipeline, wrong, &options);
        until(|| pipeline.metrics().queue_depth == 6);
        // Long enough for all to be asleep, as a rule.
        thread::sleep(Duration::from_millis(20));
        device.finish_hung();
        until(|| waits.iter().all(|it| it.is_finished()) && task.is_finished());
        waits.into_iter().for_each(|it| assert_eq!(it.join().unwrap(), Ok(()), "{wrong:?}"));
        task.join().unwrap();
        [first, before, after].into_iter().for_each(|it| assert!(it.wait().is_ok()));
        assert_eq!(pipeline.health(), Health::Ready, "{wrong:?}");
        check(&pipeline.submit(&row(6)).unwrap().wait().unwrap(), [6]);
        assert_eq!(settled(&pipeline).completed, 8);
        is_whole(&pipeline, 64);
    }
}

#[test]
fn the_watchdog_goes_on() {
    for wrong in WRONG {
        let (device, pipeline, first) = held(narrow());
        for _ in 0..2 {
            let soon = SubmitOptions::deadline(Instant::now() + Duration::from_millis(20));
            let bad = waits_badly(&pipeline, wrong, &soon);
            let good = pipeline.submit_with(&row(2), &soon).unwrap();
            let answer = good.wait_timeout(LONG).expect("an answer");
            assert_eq!(answer.unwrap_err(), ReplyError::Expired, "{wrong:?}");
            assert_eq!(bad.wait().unwrap_err(), ReplyError::Expired, "{wrong:?}");
        }
        device.finish_hung();
        check(&first.wait().unwrap(), [0]);
    }
}

#[test]
fn who_waits_for_room_is_told_of_the_end() {
    for wrong in WRONG {
        let (device, pipeline, first) = held(PipelineConfig { capacity: 1, ..narrow() });
        let options = SubmitOptions::default();
        let mut bad_one = Box::pin(pipeline.submit_async(&[1.0_f32; WIDTH], &options));
        assert!(poll(&mut bad_one, bad(wrong)).is_pending());
        let other = pipeline.clone();
        let waits = thread::spawn(move || other.submit_blocking(&row(2), &options).map(drop));
        thread::sleep(Duration::from_millis(20));
        let ends = pipeline.clone();
        let ends = thread::spawn(move || ends.shutdown(LONG));
        until(|| waits.is_finished());
        assert_eq!(waits.join().unwrap(), Err(SubmitError::ShutDown), "{wrong:?}");
        device.finish_hung();
        check(&first.wait().unwrap(), [0]);
        assert!(ends.join().unwrap().drained);
        let refused = poll(&mut bad_one, Waker::noop().clone());
        assert!(matches!(refused, Poll::Ready(Err(SubmitError::ShutDown))), "{wrong:?}");
    }
}

/// A waker that is replaced, or let go of with its ticket, is dropped where nobody expects it.
#[test]
fn a_waker_that_is_let_go_of_harms_nobody() {
    let (device, pipeline, first) = held(narrow());
    let wrong = Wrong::WhenDropped;
    let mut ticket = waits_badly(&pipeline, wrong, &SubmitOptions::default());
    assert!(poll(&mut ticket, bad(wrong)).is_pending());
    assert!(poll(&mut ticket, Waker::noop().clone()).is_pending());
    let given_up = waits_badly(&pipeline, wrong, &SubmitOptions::default());
    drop(given_up);
    device.finish_hung();
    check(&first.wait().unwrap(), [0]);
    check(&ticket.wait().unwrap(), [1]);
    is_whole(&pipeline, 64);
    assert_eq!(pipeline.health(), Health::Ready);
}
