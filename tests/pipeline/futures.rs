//! Tickets and submissions as futures, on no executor and on one.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use fusewire::backend::cpu;
use fusewire::backend::fake::Fault;
use fusewire::pipeline::{FeedStream, SubmitError};
use fusewire::{Pipeline, PipelineConfig, SubmitOptions};
use futures_core::Stream;

use crate::support::*;

/// A stream of rows that is pending before every second of them.
#[derive(Debug)]
struct Halting(VecDeque<usize>, bool);

impl Stream for Halting {
    type Item = [f32; WIDTH];

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.1 = !self.1;
        if self.1 {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.0.pop_front().map(row))
    }
}

fn numbers(count: usize) -> Halting {
    Halting((0..count).collect(), false)
}

async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    std::future::poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}

async fn checked(pipeline: &Pipeline, ids: std::ops::Range<usize>) {
    for id in ids {
        let ticket = pipeline.submit_async(&row(id), &SubmitOptions::default()).await.unwrap();
        check(&ticket.await.unwrap(), [id]);
    }
}

#[test]
fn tickets_are_futures_on_no_executor() {
    for (device, waiting) in kinds() {
        let pipeline = start(&*device, PipelineConfig { waiting, ..small() });
        block_on(checked(&pipeline, 0..300));
        let many = pipeline.submit_many(&rows(0..64)).unwrap();
        check(&block_on(many).unwrap(), 0..64);
        is_whole(&pipeline, 64);
    }
}

#[test]
fn tickets_are_futures_on_tokio() {
    let runtimes = [
        tokio::runtime::Builder::new_current_thread().build().unwrap(),
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap(),
    ];
    for runtime in runtimes {
        // Fewer rows than tasks, so that submissions wait for room, too.
        let pipeline = start(&*cpu::open(), PipelineConfig { capacity: 4, ..small() });
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let pipeline = pipeline.clone();
                runtime
                    .spawn(async move { checked(&pipeline, task * 1000..task * 1000 + 200).await })
            })
            .collect();
        runtime.block_on(async {
            for task in tasks {
                task.await.unwrap();
            }
        });
        let metrics = settled(&pipeline);
        assert_eq!((metrics.completed, metrics.rejected), (1600, 0));
        is_whole(&pipeline, 4);
    }
}

#[test]
fn a_future_that_loses_a_race_cancels_its_row_and_nothing_else() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let device = fake("slow");
    let pipeline = start(&device, narrow());
    device.script([Fault::LateAfterHang]);
    let held = pipeline.submit(&row(0)).unwrap();
    until(|| pipeline.metrics().queue_depth == 0);
    runtime.block_on(async {
        let waits = pipeline.submit(&row(1)).unwrap();
        let stays = pipeline.submit(&row(2)).unwrap();
        let timed_out = tokio::time::timeout(Duration::from_millis(5), waits).await;
        assert!(timed_out.is_err());
        tokio::pin!(stays);
        tokio::select! {
            biased;
            _ = &mut stays => panic!("the device is held"),
            _ = tokio::time::sleep(Duration::from_millis(5)) => {}
        }
        device.finish_hung();
        check(&stays.await.unwrap(), [2]);
        check(&held.await.unwrap(), [0]);
    });
    let metrics = settled(&pipeline);
    assert_eq!((metrics.completed, metrics.cancelled), (2, 1));
    is_whole(&pipeline, 64);
}

#[test]
fn a_submission_that_waits_may_be_dropped_and_lets_the_next_one_go() {
    let pipeline = start(&null(), PipelineConfig { capacity: 1, ..small() });
    let held = pipeline.submit(&row(0)).unwrap().wait().unwrap();
    let options = SubmitOptions::default();
    let (first, second) = ([row(1), row(2)], Counting::new());
    let mut dropped = Box::pin(pipeline.submit_async(&first[0], &options));
    let mut kept = Box::pin(pipeline.submit_async(&first[1], &options));
    assert!(second.poll(dropped.as_mut()).is_pending());
    assert!(second.poll(kept.as_mut()).is_pending());
    drop(held);
    // The first in line was woken, and hands its turn on.
    drop(dropped);
    assert!(second.woken() >= 1);
    let Poll::Ready(ticket) = second.poll(kept.as_mut()) else { panic!("there is room") };
    check(&ticket.unwrap().wait().unwrap(), [2]);
    assert_eq!(settled(&pipeline).admitted, 2);
}

#[test]
fn a_waiting_submission_ends_with_the_pipeline() {
    let pipeline = start(&null(), PipelineConfig { capacity: 1, ..small() });
    let held = pipeline.submit(&row(0)).unwrap().wait().unwrap();
    let options = SubmitOptions::default();
    thread::scope(|scope| {
        let waits = scope.spawn(|| block_on(pipeline.submit_async(&row(1), &options)).err());
        let parks = scope.spawn(|| pipeline.submit_blocking(&row(2), &options).err());
        thread::sleep(Duration::from_millis(20));
        assert!(!waits.is_finished() && !parks.is_finished());
        pipeline.clone().shutdown(LONG);
        assert_eq!(waits.join().unwrap(), Some(SubmitError::ShutDown));
        assert_eq!(parks.join().unwrap(), Some(SubmitError::ShutDown));
    });
    check(&held, [0]);
}

#[test]
fn a_stream_is_fed_in_order_on_no_executor_and_on_tokio() {
    fn is_free<T: Send + Sync + Unpin + 'static>(_: &T) {}
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    for (device, waiting) in kinds() {
        for window in [0, 3, 64, 1000] {
            let pipeline = start(&*device, PipelineConfig { waiting, capacity: 16, ..small() });
            let feed: FeedStream<Halting> = pipeline.feed_stream(numbers(200), window);
            is_free(&feed);
            let all = async move {
                let mut feed = feed;
                for id in 0..200 {
                    check(&next(&mut feed).await.unwrap().unwrap(), [id]);
                }
                assert!(next(&mut feed).await.is_none());
            };
            if window == 3 {
                runtime.block_on(all)
            } else {
                block_on(all)
            }
            let metrics = settled(&pipeline);
            assert_eq!((metrics.completed, metrics.rejected), (200, 0));
            is_whole(&pipeline, 16);
        }
    }
}

#[test]
fn a_stream_goes_on_once_there_is_room_again() {
    let pipeline = start(&null(), PipelineConfig { capacity: 2, ..small() });
    let held = [1, 2].map(|id| pipeline.submit(&row(id)).unwrap().wait().unwrap());
    let waker = Counting::new();
    let mut feed = pipeline.feed_stream(numbers(3), 2);
    let mut poll = || waker.poll(Pin::new(&mut std::pin::pin!(next(&mut feed))));
    for _ in 0..5 {
        assert!(poll().is_pending());
    }
    let before = waker.woken();
    drop(held);
    assert!(waker.woken() > before, "told of the room");
    let mut answers = 0;
    until(|| match poll() {
        Poll::Ready(Some(reply)) => {
            check(&reply.unwrap(), [answers]);
            answers += 1;
            false
        }
        Poll::Ready(None) => true,
        Poll::Pending => false,
    });
    assert_eq!(answers, 3);
}

#[test]
fn the_last_waker_counts_and_one_that_is_gone_does_no_harm() {
    let device = fake("slow");
    let pipeline = start(&device, narrow());
    device.script([Fault::LateAfterHang]);
    let mut ticket = pipeline.submit(&row(4)).unwrap();
    let (first, last) = (Counting::new(), Counting::new());
    assert!(first.poll(Pin::new(&mut ticket)).is_pending());
    assert!(last.poll(Pin::new(&mut ticket)).is_pending());
    device.finish_hung();
    until(|| last.woken() == 1);
    assert_eq!(first.woken(), 0);
    let Poll::Ready(reply) = last.poll(Pin::new(&mut ticket)) else { panic!("it was woken") };
    check(&reply.unwrap(), [4]);
    assert!(last.poll(Pin::new(&mut ticket)).is_pending(), "the answer was given");
}

/// Wakes nobody, but counts how often.
#[derive(Clone)]
struct Counting(Arc<Count>);

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Counting {
    fn new() -> Counting {
        Counting(Arc::new(Count(AtomicUsize::new(0))))
    }

    fn woken(&self) -> usize {
        self.0.0.load(Ordering::SeqCst)
    }

    fn poll<F: Future + ?Sized>(&self, future: Pin<&mut F>) -> Poll<F::Output> {
        let waker = Waker::from(Arc::clone(&self.0));
        future.poll(&mut Context::from_waker(&waker))
    }
}

#[test]
fn streams_are_collected_and_share_a_ring_smaller_than_their_windows() {
    let pipeline = start(&null(), PipelineConfig { capacity: 4, ..small() });
    let runs = thread::spawn({
        let pipeline = pipeline.clone();
        move || {
            let mut first = pipeline.feed_stream(numbers(500), 64);
            let mut second = pipeline.feed_stream(numbers(500), 64);
            let mut kept = Vec::new();
            block_on(async {
                // One task, which asks neither before the other has answered.
                for id in 0..500 {
                    for feed in [&mut first, &mut second] {
                        kept.push((id, next(feed).await.unwrap().unwrap()));
                    }
                }
                assert!(next(&mut first).await.is_none() && next(&mut second).await.is_none());
            });
            kept
        }
    });
    until(|| runs.is_finished());
    let kept = runs.join().unwrap();
    assert_eq!(kept.len(), 1000);
    kept.iter().for_each(|(id, reply)| check(reply, [*id]));
    is_whole(&pipeline, 4);
}
