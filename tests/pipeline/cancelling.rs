//! Tickets that are dropped, at every stage.

use std::thread;

use fusewire::backend::fake::Fault;
use fusewire::{PipelineConfig, SubmitOptions};

use crate::common::Random;
use crate::support::*;

#[test]
fn what_waits_is_not_run_and_its_neighbours_are() {
    let device = fake("held");
    let pipeline = start(&device, narrow());
    device.record();
    device.script([Fault::LateAfterHang]);
    let first = pipeline.submit(&row(100)).unwrap();
    until(|| pipeline.metrics().queue_depth == 0);
    let tickets: Vec<_> = (0..8).map(|id| (id, pipeline.submit(&row(id)).unwrap())).collect();
    let many = pipeline.submit_many(&rows(10..14)).unwrap();
    let (kept, dropped): (Vec<_>, Vec<_>) = tickets.into_iter().partition(|(id, _)| id % 2 == 0);
    drop((dropped, many));
    device.finish_hung();
    for (id, ticket) in kept {
        check(&ticket.wait().unwrap(), [id]);
    }
    check(&first.wait().unwrap(), [100]);
    assert_eq!(device.recorded(), [vec![100.0], vec![0.0, 2.0, 4.0, 6.0]]);
    let metrics = settled(&pipeline);
    assert_eq!((metrics.completed, metrics.cancelled), (5, 8));
    is_whole(&pipeline, 64);
}

#[test]
fn what_is_in_flight_is_answered_to_nobody() {
    let device = fake("held");
    let pipeline = start(&device, PipelineConfig { capacity: 8, ..small() });
    for round in 0..20 {
        device.script([Fault::LateAfterHang]);
        let tickets: Vec<_> = (0..4).map(|id| pipeline.submit(&row(id)).unwrap()).collect();
        until(|| pipeline.metrics().queue_depth == 0);
        drop(tickets);
        let before = pipeline.metrics();
        assert_eq!(before.pending, 4, "still in flight");
        let others = [50, 51].map(|id| pipeline.submit(&row(round + id)).unwrap());
        device.finish_hung();
        others.into_iter().zip(50..).for_each(|(it, id)| check(&it.wait().unwrap(), [round + id]));
        assert_eq!(settled(&pipeline).cancelled, (round as u64 + 1) * 4);
        is_whole(&pipeline, 8);
    }
}

#[test]
fn what_takes_a_while_and_what_is_done_is_dropped_at_will() {
    let device = fake("slow");
    let pipeline = start(&device, small());
    device.script((0..300).map(Fault::Delay));
    for id in 0..300 {
        let ticket = pipeline.submit(&row(id)).unwrap();
        match id % 3 {
            0 => drop(ticket),
            1 => {
                until(|| ticket.is_ready());
                drop(ticket);
            }
            _ => check(&ticket.wait().unwrap(), [id]),
        }
    }
    let metrics = settled(&pipeline);
    assert_eq!(metrics.completed + metrics.cancelled, 300);
    assert!(metrics.completed >= 200 && metrics.batches >= 200);
    is_whole(&pipeline, 64);
}

#[test]
fn nobody_gets_the_answer_of_another_however_many_give_up() {
    for (device, waiting) in kinds() {
        let config = PipelineConfig { capacity: 16, bulk_capacity: 16, waiting, ..small() };
        let pipeline = start(&*device, PipelineConfig { workers: 2, ..config });
        thread::scope(|scope| {
            for producer in 0..3 {
                let pipeline = pipeline.clone();
                scope.spawn(move || {
                    let mut random = Random(producer as u64);
                    for id in producer * 100_000..producer * 100_000 + 1500 {
                        let bulk = random.below(4) == 0;
                        let options =
                            if bulk { SubmitOptions::bulk() } else { SubmitOptions::default() };
                        let ticket = pipeline.submit_blocking(&row(id), &options).unwrap();
                        match random.below(4) {
                            0 => drop(ticket),
                            1 => drop(ticket.wait_timeout(Default::default())),
                            _ => check(&ticket.wait().unwrap(), [id]),
                        }
                    }
                });
            }
        });
        let metrics = settled(&pipeline);
        assert_eq!(metrics.completed + metrics.cancelled, 4500);
        is_whole(&pipeline, 16);
    }
}
