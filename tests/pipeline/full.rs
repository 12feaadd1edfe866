//! What a full ring refuses, and what becomes room again.

use std::mem::forget;
use std::thread;
use std::time::Duration;

use fusewire::backend::fake::Fault;
use fusewire::pipeline::SubmitError;
use fusewire::{Pipeline, PipelineConfig, Reply, SubmitOptions};

use crate::support::*;

fn answered(pipeline: &Pipeline, id: usize) -> Reply {
    let reply = pipeline.submit(&row(id)).unwrap().wait().unwrap();
    check(&reply, [id]);
    reply
}

#[track_caller]
fn is_full(pipeline: &Pipeline) {
    let before = pipeline.metrics().rejected;
    assert_eq!(pipeline.submit(&row(0)).unwrap_err(), SubmitError::Full);
    assert_eq!(pipeline.reserve::<f32>().unwrap_err(), SubmitError::Full);
    assert_eq!(pipeline.submit_many(&row(0)).unwrap_err(), SubmitError::Full);
    assert_eq!(pipeline.metrics().rejected - before, 3);
    assert!(SubmitError::Full.is_retryable() && SubmitError::Full.to_string().lines().count() == 1);
}

#[test]
fn as_many_replies_as_rows_are_held_and_one_more_is_refused() {
    for capacity in [1, 2, 8, 64] {
        for (device, waiting) in kinds() {
            let pipeline = start(&*device, PipelineConfig { capacity, waiting, ..small() });
            let mut held: Vec<_> = (0..capacity).map(|id| answered(&pipeline, id)).collect();
            for round in 0..100 {
                is_full(&pipeline);
                drop(held.swap_remove(round % capacity));
                held.push(answered(&pipeline, round));
            }
            let metrics = settled(&pipeline);
            assert_eq!((metrics.admitted, metrics.rejected), (capacity as u64 + 100, 300));
            drop(held);
            is_whole(&pipeline, capacity);
        }
    }
}

#[test]
fn as_many_rows_wait_as_there_are() {
    let device = fake("held");
    let pipeline = start(&device, narrow());
    device.script([Fault::LateAfterHang]);
    let tickets: Vec<_> = (0..64).map(|id| pipeline.submit(&row(id)).unwrap()).collect();
    is_full(&pipeline);
    assert_eq!(pipeline.metrics().pending, 64);
    device.finish_hung();
    for (id, ticket) in tickets.into_iter().enumerate() {
        check(&ticket.wait().unwrap(), [id]);
    }
    is_whole(&pipeline, 64);
}

#[test]
fn either_priority_is_full_by_itself() {
    let config = PipelineConfig { capacity: 2, bulk_capacity: 4, ..small() };
    let pipeline = start(&null(), config);
    let bulk = SubmitOptions::bulk();
    let submit = |id| pipeline.submit_with(&row(id), &bulk);
    let held: Vec<_> = (0..4).map(|id| submit(id).unwrap().wait().unwrap()).collect();
    assert_eq!(submit(4).unwrap_err(), SubmitError::Full);
    is_whole(&pipeline, 2);
    held.iter().enumerate().for_each(|(id, reply)| check(reply, [id]));
    drop(held);
    assert!(submit(5).is_ok());
    let many = pipeline.submit_many_with(&rows(0..5), &bulk).unwrap_err();
    assert_eq!(many, SubmitError::TooManyRows { capacity: 4, rows: 5 });
}

#[test]
fn replies_nobody_reads_and_guards_that_leak_cost_their_own_rows() {
    for (device, waiting) in kinds() {
        let config = PipelineConfig { capacity: 8, waiting, ..small() };
        let pipeline = start(&*device, config);
        let first = answered(&pipeline, 1_000_000);
        forget(pipeline.reserve::<f32>().unwrap());
        forget(answered(&pipeline, 7));
        let mut guard = pipeline.reserve::<f32>().unwrap();
        guard.copy_from_slice(&row(2_000_000));
        for id in 0..5_000 {
            answered(&pipeline, id);
        }
        for id in 0..1_000 {
            let reply = pipeline.submit_many(&rows(id..id + 4)).unwrap().wait().unwrap();
            check(&reply, id..id + 4);
        }
        let four = pipeline.submit_many(&rows(0..4)).unwrap().wait().unwrap();
        is_full(&pipeline);
        check(&first, [1_000_000]);
        check(&guard.commit().unwrap().wait().unwrap(), [2_000_000]);
        check(&four, 0..4);
        // A leaked guard waits for nothing.
        settled(&pipeline);
    }
}

#[test]
fn guards_that_are_dropped_give_their_rows_back() {
    let pipeline = start(&null(), small());
    for round in 0..50 {
        let mut guards: Vec<_> = (0..64).map(|_| pipeline.reserve::<f32>().unwrap()).collect();
        is_full(&pipeline);
        guards.rotate_left(round);
        drop(guards);
        is_whole(&pipeline, 64);
    }
    assert_eq!(settled(&pipeline).cancelled, 0, "what was not committed was not admitted");
}

#[test]
fn who_waits_for_room_gets_it_where_rows_are_free_behind_others_that_waited() {
    let device = fake("held");
    let pipeline = start(&device, PipelineConfig { capacity: 8, ..narrow() });
    let mut held: Vec<_> = (0..4).map(|id| answered(&pipeline, id)).collect();
    device.script([Fault::LateAfterHang]);
    let submit = |id| pipeline.submit(&row(id)).unwrap();
    let in_flight = submit(4);
    until(|| pipeline.metrics().queue_depth == 0);
    let waiting = [5, 6, 7].map(submit);
    is_full(&pipeline);
    drop(held.pop());
    let last = submit(8);
    drop((held.pop(), held.pop()));
    thread::scope(|scope| {
        let blocked = scope.spawn(|| {
            let options = SubmitOptions::default();
            pipeline.submit_blocking(&row(9), &options).unwrap().wait().unwrap()
        });
        thread::sleep(Duration::from_millis(20));
        device.finish_hung();
        // Nothing that was taken is given back before.
        check(&blocked.join().unwrap(), [9]);
    });
    check(&in_flight.wait().unwrap(), [4]);
    waiting.into_iter().zip(5..).for_each(|(it, id)| check(&it.wait().unwrap(), [id]));
    check(&last.wait().unwrap(), [8]);
    drop(held);
    is_whole(&pipeline, 8);
}
