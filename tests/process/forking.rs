//! A child of `fork` has its parent's pipelines, and none of their threads.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use fusewire::backend::fake::Fault;
use fusewire::pipeline::{Health, Metrics, PipelineError, ReplyError, SubmitError};
use fusewire::{
    BackendKind, Classifier, ClassifierOptions, Pipeline, PipelineConfig, Reply, SubmitOptions,
    Ticket,
};

use crate::support::*;

const ROW: [f32; 4] = [1.0, 2.0, 3.0, 4.0];

/// What there is of a pipeline when its process forks.
struct Held {
    pipeline: Pipeline,
    pending: Vec<Ticket>,
    complete: Ticket,
    reply: Reply,
    classifier: Classifier,
}

impl Held {
    /// On a device that hangs, beside the processor; with room in the ring.
    fn new() -> Held {
        let device = fake();
        let pipeline = Pipeline::start(processor(), PipelineConfig::default()).unwrap();
        pipeline.attach(load(&device, &identity(4), 256)).unwrap();
        let reply = pipeline.submit(&ROW).unwrap().wait().unwrap();
        let complete = pipeline.submit(&ROW).unwrap();
        while !complete.is_ready() {
            thread::yield_now();
        }
        let pending = (0..20).map(|_| pipeline.submit(&ROW).unwrap()).collect();
        let options = ClassifierOptions::default().backend(BackendKind::Cpu);
        let classifier = Classifier::new(identity(4), &options).unwrap();
        Held { pipeline, pending, complete, reply, classifier }
    }

    /// What a child may do with it.
    fn in_child(self) {
        let pipeline = self.pipeline.clone();
        refuses_rows(&pipeline);
        refuses_changes(&pipeline);
        assert!(matches!(pipeline.health(), Health::Failed { lost } if !lost.is_empty()));
        assert_eq!(pipeline.metrics(), Metrics::default());
        assert!(pipeline.devices().is_empty() && pipeline.explain().backends.is_empty());
        assert_eq!(pipeline.version().0, 1);
        assert!(!pipeline.is_joining());
        for (number, ticket) in self.pending.into_iter().chain([self.complete]).enumerate() {
            assert!(ticket.is_ready());
            match number % 4 {
                0 => drop(ticket),
                1 => assert_eq!(ticket.wait().unwrap_err(), ReplyError::Forked),
                2 => {
                    let answer = ticket.wait_timeout(LONG).expect("an answer");
                    assert_eq!(answer.unwrap_err(), ReplyError::Forked);
                }
                _ => assert_eq!(polled(ticket).unwrap_err(), ReplyError::Forked),
            }
        }
        assert_eq!(self.reply.scores(), ROW);
        let _ = self.reply.first().device();
        drop(self.reply);
        assert_eq!(self.classifier.classify(&ROW).unwrap(), 3);
        let report = pipeline.shutdown(LONG);
        assert_eq!((report.threads_left, report.turned_away), (0, 0));
        drop(self.pipeline);
    }

    /// That the parent has lost nothing by it.
    fn in_parent(self) {
        for ticket in self.pending.into_iter().chain([self.complete]) {
            assert_eq!(ticket.wait().unwrap().scores(), ROW);
        }
        drop(self.reply);
        assert_eq!(self.pipeline.submit(&ROW).unwrap().wait().unwrap().scores(), ROW);
        assert!(self.pipeline.health() == Health::Ready);
        let report = self.pipeline.shutdown(LONG);
        assert_eq!((report.drained, report.threads_left), (true, 0));
    }
}

/// Polls a future once.
fn polled<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

fn refuses_rows(pipeline: &Pipeline) {
    let options = SubmitOptions::default();
    let refused = [
        pipeline.submit(&ROW).map(drop),
        pipeline.submit_many(&[ROW, ROW].concat()).map(drop),
        pipeline.submit_blocking(&ROW, &options).map(drop),
        polled(pipeline.submit_async(&ROW, &options)).map(drop),
        pipeline.reserve::<f32>().map(drop),
    ];
    assert!(refused.iter().all(|it| *it == Err(SubmitError::Forked)), "{refused:?}");
    assert!(!SubmitError::Forked.is_retryable());
    assert_eq!(SubmitError::Forked.to_string().lines().count(), 1);
    assert_eq!(pipeline.classify(&ROW), Err(SubmitError::Forked.into()));
    let fed: Vec<_> = pipeline.feed([ROW, ROW], 4).collect();
    assert!(fed.into_iter().all(|it| it.unwrap_err() == SubmitError::Forked.into()));
}

fn refuses_changes(pipeline: &Pipeline) {
    assert_eq!(pipeline.swap(&identity(4)), Err(PipelineError::Forked));
    assert_eq!(pipeline.attach(processor()), Err(PipelineError::Forked));
}

pub fn told() {
    let held = Held::new();
    let guard = held.pipeline.reserve::<f32>().unwrap();
    let other = held.pipeline.reserve::<f32>().unwrap();
    let mut held = Some(held);
    let mut guards = Some((guard, other));
    let child = in_child(|| {
        let (guard, other) = guards.take().unwrap();
        assert_eq!(guard.commit().map(drop), Err(SubmitError::Forked));
        drop(other);
        held.take().unwrap().in_child();
    });
    assert!(child, "the child's status");
    drop(guards);
    held.unwrap().in_parent();
}

/// Threads of the parent hold its locks when it forks.
pub fn locks() {
    let device = fake();
    let pipeline = Pipeline::start(load(&device, &identity(4), 256), PipelineConfig::default());
    let pipeline = pipeline.unwrap();
    pipeline.attach(processor()).unwrap();
    let ends = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            let pipeline = pipeline.clone();
            let ends = &ends;
            scope.spawn(move || {
                while !ends.load(Ordering::Relaxed) {
                    let _ = pipeline.submit(&ROW).map(Ticket::wait);
                    let _ = (pipeline.metrics(), pipeline.clone(), pipeline.version());
                }
            });
        }
        for _ in 0..30 {
            let ticket = pipeline.submit(&ROW).unwrap();
            let mut ticket = Some(ticket);
            let child = in_child(|| {
                refuses_rows(&pipeline);
                refuses_changes(&pipeline);
                assert_eq!(ticket.take().unwrap().wait().unwrap_err(), ReplyError::Forked);
                let clone = pipeline.clone();
                assert!(matches!(clone.health(), Health::Failed { .. }));
                let _ = (clone.metrics(), clone.version(), clone.explain(), clone.devices());
                assert_eq!(clone.shutdown(LONG).threads_left, 0);
            });
            assert!(child, "the child's status");
            assert_eq!(ticket.unwrap().wait().unwrap().scores(), ROW);
            thread::sleep(Duration::from_millis(1));
        }
        ends.store(true, Ordering::Relaxed);
    });
    assert!(pipeline.shutdown(LONG).drained);
}

/// A child may start a pipeline, and its child is told in its turn.
pub fn own() {
    let device = fake();
    let stuck = Pipeline::start(load(&device, &identity(4), 256), PipelineConfig::default());
    let stuck = stuck.unwrap();
    device.script([Fault::Hang]);
    let hangs = stuck.submit(&ROW).unwrap();
    let child = in_child(|| {
        let pipeline = Pipeline::start(processor(), PipelineConfig::default()).unwrap();
        assert_eq!(pipeline.submit(&ROW).unwrap().wait().unwrap().scores(), ROW);
        let grandchild = in_child(|| refuses_rows(&pipeline));
        assert!(grandchild, "the grandchild's status");
        assert_eq!(pipeline.submit(&ROW).unwrap().wait().unwrap().scores(), ROW);
        assert!(pipeline.shutdown(LONG).drained);
        refuses_rows(&stuck);
    });
    assert!(child, "the child's status");
    drop(hangs);
}
