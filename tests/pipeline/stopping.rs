//! The end of a pipeline.

use std::thread;
use std::time::Duration;

use fusewire::backend::fake::Fault;
use fusewire::pipeline::{ClassifyError, PipelineError, ReplyError, SubmitError};
use fusewire::{Pipeline, PipelineConfig, SubmitOptions};

use crate::support::*;

const SOON: Duration = Duration::from_millis(50);

#[test]
fn what_was_taken_is_run_first() {
    let device = fake("slow").lasting(Duration::from_millis(5));
    let config = PipelineConfig { bulk_capacity: 8, max_delay: LONG, ..narrow() };
    let pipeline = start(&device, config);
    let mut tickets: Vec<_> = (0..30).map(|id| pipeline.submit(&row(id)).unwrap()).collect();
    tickets.push(pipeline.submit_with(&row(30), &SubmitOptions::bulk()).unwrap());
    let other = pipeline.clone();
    let report = pipeline.shutdown(LONG);
    assert_eq!((report.drained, report.turned_away, report.threads_left), (true, 0, 0));
    for (id, ticket) in tickets.into_iter().enumerate() {
        assert!(ticket.is_ready());
        check(&ticket.wait().unwrap(), [id]);
    }
    assert_eq!(settled(&other).completed, 31);
    assert_eq!(device.contexts(), 0);
}

#[test]
fn nothing_is_taken_afterwards() {
    let pipeline = start(&null(), small());
    let held = pipeline.submit(&row(5)).unwrap().wait().unwrap();
    let guard = pipeline.reserve::<f32>().unwrap();
    let [one, other] = [pipeline.clone(), pipeline.clone()];
    assert!(one.shutdown(LONG).drained, "what is reserved does not count");
    let options = SubmitOptions::default();
    let refused = [
        pipeline.submit(&row(1)).map(drop),
        pipeline.submit_many(&row(1)).map(drop),
        pipeline.submit_blocking(&row(1), &options).map(drop),
        block_on(pipeline.submit_async(&row(1), &options)).map(drop),
        pipeline.reserve::<f32>().map(drop),
    ];
    assert!(refused.iter().all(|it| *it == Err(SubmitError::ShutDown)), "{refused:?}");
    assert_eq!(pipeline.classify(&row(1)), Err(SubmitError::ShutDown.into()));
    let fed = pipeline.feed([row(1)], 4).next().unwrap();
    assert_eq!(fed.unwrap_err(), ClassifyError::Submit(SubmitError::ShutDown));
    assert_eq!(pipeline.swap(&scaled(2.0)), Err(PipelineError::ShutDown));
    assert_eq!(pipeline.attach(load(&fake("late"))), Err(PipelineError::ShutDown));
    assert_eq!(guard.commit().unwrap().wait().unwrap_err(), ReplyError::ShutDown);
    let again = pipeline.shutdown(LONG);
    assert_eq!((again.drained, again.threads_left), (true, 0));
    check(&held, [5]);
    let metrics = settled(&other);
    assert_eq!((metrics.completed, metrics.shut_down, metrics.rejected), (1, 1, 0));
}

#[test]
fn a_device_that_hangs_does_not_keep_it_from_ending() {
    for (fault, threads_left) in
        [(Fault::Hang, 0), (Fault::Stick, 1), (Fault::StickAtCompletion, 1)]
    {
        let device = fake("hung");
        let pipeline = start(&device, narrow());
        device.script([fault]);
        let in_flight = pipeline.submit(&row(0)).unwrap();
        until(|| pipeline.metrics().queue_depth == 0);
        let many = pipeline.submit_many(&rows(1..10)).unwrap();
        let other = pipeline.clone();
        let report = pipeline.shutdown(SOON);
        assert_eq!((report.drained, report.turned_away), (false, 10), "{fault:?}");
        assert_eq!(in_flight.wait().unwrap_err(), ReplyError::ShutDown);
        assert_eq!(many.wait().unwrap_err(), ReplyError::ShutDown);
        assert_eq!(settled(&other).shut_down, 10);
        // A slow machine may need longer than a thread is given to leave.
        assert!(report.threads_left >= threads_left, "{fault:?}");
        device.release();
        until(|| device.contexts() == 0);
    }
}

#[test]
fn whoever_has_tickets_gets_answers_after_the_last_handle() {
    for (device, waiting) in kinds() {
        let config = PipelineConfig { waiting, max_delay: LONG, ..small() };
        let pipeline = start(&*device, config);
        let mut guard = pipeline.reserve::<f32>().unwrap();
        let tickets: Vec<_> = (0..5).map(|id| pipeline.submit(&row(id)).unwrap()).collect();
        drop(pipeline);
        tickets.into_iter().zip(0..).for_each(|(it, id)| check(&it.wait().unwrap(), [id]));
        guard.copy_from_slice(&row(9));
        match guard.commit().unwrap().wait() {
            Ok(reply) => check(&reply, [9]),
            Err(error) => assert_eq!(error, ReplyError::ShutDown),
        }
    }
}

#[test]
fn a_lost_last_handle_leaves_nothing_behind() {
    let device = fake("hung");
    let pipeline = start(&device, PipelineConfig { batch_timeout: PATIENCE, ..narrow() });
    device.script([Fault::Hang]);
    let tickets: Vec<_> = (0..5).map(|id| pipeline.submit(&row(id)).unwrap()).collect();
    drop(pipeline);
    for ticket in tickets {
        assert!(ticket.wait().is_err());
    }
    until(|| device.contexts() == 0);
}

/// A process may end as soon as its last handle is gone, and then nothing may be in a driver.
#[test]
fn the_last_handle_waits_for_threads_that_call_a_driver() {
    let device = fake("slow").lasting(3 * SOON);
    let pipeline = start(&device, narrow());
    let [handle, other] = [pipeline.clone(), pipeline];
    let ticket = handle.submit(&row(1)).unwrap();
    until(|| handle.metrics().queue_depth == 0);
    drop(other);
    assert!(!ticket.is_ready(), "a handle that is not the last waits for nothing");
    drop(handle);
    assert!(ticket.is_ready());
    assert_eq!(device.contexts(), 0);
    check(&ticket.wait().unwrap(), [1]);
}

#[test]
fn the_last_handle_waits_for_a_driver_that_hangs_for_a_while_only() {
    let device = fake("stuck");
    let pipeline = start(&device, narrow());
    device.script([Fault::Stick]);
    let ticket = pipeline.submit(&row(1)).unwrap();
    until(|| device.stuck() == 1);
    let drops = thread::spawn(move || drop(pipeline));
    until(|| drops.is_finished());
    assert_eq!(device.stuck(), 1);
    device.release();
    check(&ticket.wait().unwrap(), [1]);
}

/// Submits until the pipeline ends. Returns how many rows were answered with scores, and how many
/// were turned away.
fn until_it_ends(pipeline: &Pipeline, producer: usize) -> (u64, u64) {
    let (mut answered, mut turned_away) = (0, 0);
    for id in producer * 100_000.. {
        let taken = match id % 3 {
            0 => pipeline.submit(&row(id)),
            1 => pipeline.submit_blocking(&row(id), &SubmitOptions::default()),
            _ => pipeline.reserve::<f32>().and_then(|mut guard| {
                guard.copy_from_slice(&row(id));
                guard.commit()
            }),
        };
        match taken.map(|ticket| ticket.wait()) {
            Ok(Ok(reply)) => {
                check(&reply, [id]);
                answered += 1;
            }
            Ok(Err(error)) => {
                assert_eq!(error, ReplyError::ShutDown);
                turned_away += 1;
            }
            Err(SubmitError::Full) => thread::yield_now(),
            Err(error) => {
                assert_eq!(error, SubmitError::ShutDown);
                break;
            }
        }
    }
    (answered, turned_away)
}

#[test]
fn it_may_end_while_everybody_submits() {
    for round in 0..30 {
        let (device, waiting) = kinds().swap_remove(round % 3);
        let config = PipelineConfig { capacity: 4, waiting, workers: 2, ..small() };
        let pipeline = start(&*device, config);
        let producers: Vec<_> = (0..3)
            .map(|producer| {
                let pipeline = pipeline.clone();
                thread::spawn(move || until_it_ends(&pipeline, producer))
            })
            .collect();
        thread::sleep(Duration::from_micros(round as u64 * 100));
        let enders: Vec<_> = (0..2)
            .map(|_| {
                let pipeline = pipeline.clone();
                thread::spawn(move || pipeline.shutdown(LONG))
            })
            .collect();
        for report in enders.into_iter().map(|ender| ender.join().unwrap()) {
            assert!(report.drained, "{report:?}");
        }
        let counts = producers.into_iter().map(|producer| producer.join().unwrap());
        let sum = counts.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let metrics = settled(&pipeline);
        assert_eq!((metrics.completed, metrics.shut_down), sum);
    }
}

#[test]
fn no_time_and_all_time_are_times() {
    for timeout in [Duration::ZERO, Duration::MAX] {
        let report = start(&null(), small()).shutdown(timeout);
        assert_eq!((report.drained, report.turned_away), (true, 0));
    }
}
