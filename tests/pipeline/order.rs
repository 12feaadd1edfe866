//! Which rows go first, and in which batches.

use std::thread;
use std::time::Duration;

use fusewire::backend::fake::{FakeDevice, Fault};
use fusewire::{Pipeline, PipelineConfig, SubmitOptions, Ticket};

use crate::support::*;

/// A pipeline whose only context is held by a batch of one row, until `finish_hung`.
fn held(config: PipelineConfig) -> (FakeDevice, Pipeline, Ticket) {
    let device = fake("held");
    let pipeline = start(&device, config);
    device.record();
    device.script([Fault::LateAfterHang]);
    let first = pipeline.submit(&row(0)).unwrap();
    until(|| pipeline.metrics().queue_depth == 0 && !device.recorded().is_empty());
    (device, pipeline, first)
}

fn batches(device: &FakeDevice) -> Vec<Vec<usize>> {
    let number = |id: &f32| *id as usize;
    device.recorded().iter().map(|batch| batch.iter().map(number).collect()).collect()
}

#[test]
fn rows_gather_while_the_device_is_busy_and_go_in_order() {
    let (device, pipeline, first) = held(narrow());
    let tickets: Vec<_> = (1..22).map(|id| pipeline.submit(&row(id)).unwrap()).collect();
    device.finish_hung();
    for (id, ticket) in [first].into_iter().chain(tickets).enumerate() {
        check(&ticket.wait().unwrap(), [id]);
    }
    let expected = [(0..1), (1..9), (9..17), (17..22)].map(Vec::from_iter);
    assert_eq!(batches(&device), expected);
    assert_eq!(settled(&pipeline).batch_rows.max(), 8);
}

#[test]
fn each_producers_rows_begin_in_order_whatever_is_held_or_given_up() {
    let device = fake("busy");
    let pipeline = start(&device, PipelineConfig { capacity: 32, ..small() });
    device.record();
    let held: Vec<_> =
        (0..5).map(|_| pipeline.submit(&row(4_000_000)).unwrap().wait().unwrap()).collect();
    thread::scope(|scope| {
        for producer in 1..4 {
            let pipeline = pipeline.clone();
            scope.spawn(move || {
                let options = SubmitOptions::default();
                let mut tickets = std::collections::VecDeque::new();
                for id in producer * 100_000..producer * 100_000 + 800 {
                    tickets.push_back((id, pipeline.submit_blocking(&row(id), &options).unwrap()));
                    if id % 7 == 0 {
                        drop(pipeline.reserve::<f32>());
                    }
                    if tickets.len() > 6 {
                        let (id, ticket) = tickets.pop_front().unwrap();
                        check(&ticket.wait().unwrap(), [id]);
                    }
                }
                tickets.into_iter().for_each(|(id, it)| check(&it.wait().unwrap(), [id]));
            });
        }
    });
    drop(held);
    let seen = batches(&device);
    assert!(seen.iter().all(|batch| (1..=8).contains(&batch.len())));
    for producer in 1..4 {
        let first = producer * 100_000;
        let own = |id: &&usize| (first..first + 100_000).contains(*id);
        assert!(seen.iter().flatten().filter(own).copied().eq(first..first + 800));
    }
}

#[test]
fn a_row_committed_late_goes_before_those_not_begun() {
    let (device, pipeline, first) = held(narrow());
    let mut guard = pipeline.reserve::<f32>().unwrap();
    let second = pipeline.submit_many(&rows(1..9)).unwrap();
    let third = pipeline.submit(&row(20)).unwrap();
    guard.copy_from_slice(&row(30));
    let late = guard.commit().unwrap();
    device.finish_hung();
    check(&first.wait().unwrap(), [0]);
    check(&second.wait().unwrap(), 1..9);
    check(&third.wait().unwrap(), [20]);
    check(&late.wait().unwrap(), [30]);
    let seen: Vec<usize> = batches(&device).concat();
    assert!(seen.iter().position(|id| *id == 30) < seen.iter().position(|id| *id == 20));
}

#[test]
fn interactive_rows_go_first_and_bulk_rows_fill_what_they_leave() {
    let (device, pipeline, first) = held(PipelineConfig { bulk_capacity: 64, ..narrow() });
    let bulk = |id| pipeline.submit_with(&row(id), &SubmitOptions::bulk()).unwrap();
    let plain = |id| pipeline.submit(&row(id)).unwrap();
    let mut tickets: Vec<_> = (100..112).map(bulk).collect();
    tickets.extend((1..14).map(plain));
    device.finish_hung();
    check(&first.wait().unwrap(), [0]);
    let ids = (100..112).chain(1..14);
    tickets.into_iter().zip(ids).for_each(|(it, id)| check(&it.wait().unwrap(), [id]));
    let expected = [
        vec![0],
        Vec::from_iter(1..9),
        (9..14).chain(100..103).collect(),
        Vec::from_iter(103..111),
        vec![111],
    ];
    assert_eq!(batches(&device), expected);
}

#[test]
fn a_request_of_many_rows_is_cut_where_batches_end_and_nothing_comes_between() {
    let (device, pipeline, first) = held(PipelineConfig { bulk_capacity: 64, ..narrow() });
    let one = pipeline.submit(&row(1)).unwrap();
    let many = pipeline.submit_many(&rows(2..22)).unwrap();
    let last = pipeline.submit(&row(22)).unwrap();
    device.finish_hung();
    check(&last.wait().unwrap(), [22]);
    check(&many.wait().unwrap(), 2..22);
    check(&one.wait().unwrap(), [1]);
    check(&first.wait().unwrap(), [0]);
    let expected = [(0..1), (1..9), (9..17), (17..23)].map(Vec::from_iter);
    assert_eq!(batches(&device), expected);
}

#[test]
fn rows_wait_for_others_as_long_as_they_may() {
    let device = fake("idle");
    let max_delay = Duration::from_millis(100);
    let pipeline = start(&device, PipelineConfig { max_delay, ..small() });
    device.record();
    let submit = |ids: std::ops::Range<usize>| {
        let tickets: Vec<_> = ids.clone().map(|id| pipeline.submit(&row(id)).unwrap()).collect();
        let replies = tickets.into_iter().zip(ids).map(|(ticket, id)| {
            let reply = ticket.wait().unwrap();
            check(&reply, [id]);
            reply.first().times().queue
        });
        replies.collect::<Vec<_>>()
    };
    // Nothing but the delay lets a lone row go.
    assert!(submit(0..1)[0] >= max_delay);
    assert_eq!(batches(&device), [[0]]);
    // A full batch goes at once, be it on the slowest machine.
    let full = submit(10..18);
    assert!(full.iter().all(|queue| *queue <= LONG));
    assert_eq!(batches(&device).concat()[1..], Vec::from_iter(10..18));
    assert!(batches(&device).len() <= 3, "rows gathered");
    is_whole(&pipeline, 64);
}

#[test]
fn as_many_batches_are_in_flight_as_was_asked_for() {
    for depth in [1, 2, 5] {
        let device = fake("held");
        let pipeline = start(&device, PipelineConfig { depth, ..small() });
        device.record();
        device.script([Fault::LateAfterHang; 8]);
        let tickets: Vec<_> = (0..8)
            .map(|id| {
                let ticket = pipeline.submit(&row(id)).unwrap();
                // One row each, as long as a context is free.
                until(|| device.recorded().len() > id.min(depth - 1));
                ticket
            })
            .collect();
        thread::sleep(Duration::from_millis(10));
        assert_eq!(device.recorded().len(), depth);
        device.finish_hung();
        tickets.into_iter().zip(0..).for_each(|(it, id)| check(&it.wait().unwrap(), [id]));
    }
}

#[test]
fn batches_in_flight_together_take_their_time_together() {
    let each = Duration::from_millis(30);
    let device = fake("slow").lasting(each);
    let pipeline = start(&device, PipelineConfig { max_rows: 1, depth: 4, ..small() });
    let begun = std::time::Instant::now();
    let tickets: Vec<_> = (0..8).map(|id| pipeline.submit(&row(id)).unwrap()).collect();
    let queued = tickets.into_iter().zip(0..).map(|(ticket, id)| {
        let reply = ticket.wait().unwrap();
        check(&reply, [id]);
        reply.first().times().compute
    });
    let spent: Duration = queued.sum();
    assert!(spent >= 8 * each && begun.elapsed() < spent, "beside each other");
}
