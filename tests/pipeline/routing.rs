//! Several backends at once: which one runs what, and that replies say so.

use std::time::Duration;

use fusewire::backend::fake::{FakeDevice, Fault};
use fusewire::pipeline::{BackendHealth, Health};
use fusewire::{Pipeline, PipelineConfig};

use crate::support::*;

fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

/// A dear backend and a cheap one, attached in this order.
fn both(dear: Duration, cheap: Duration, config: PipelineConfig) -> (Pipeline, [FakeDevice; 2]) {
    let devices = [fake("dear").lasting(dear), fake("cheap").lasting(cheap)];
    let pipeline = start(&devices[0], config);
    pipeline.attach(load(&devices[1])).unwrap();
    devices.iter().for_each(FakeDevice::record);
    (pipeline, devices)
}

/// Whether the device that a reply names is the one that was handed the row.
#[track_caller]
fn ran_where_it_says(devices: &[FakeDevice; 2], device: &str, id: usize) {
    let [dear, cheap] = devices.each_ref().map(|it| it.recorded().concat().contains(&(id as f32)));
    assert_eq!((dear, cheap), (device == "dear", device == "cheap"), "row {id} on {device}");
}

#[test]
fn the_cheaper_one_is_chosen_where_both_are_idle() {
    let (pipeline, devices) = both(ms(300), ms(1), small());
    let explanation = pipeline.explain();
    let names: Vec<_> = explanation.backends.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["dear", "cheap"]);
    assert!(explanation.backends.iter().all(|it| it.health == BackendHealth::Ready));
    let [dear, cheap] = [0, 1].map(|index| explanation.backends[index].ns(1).unwrap());
    assert!(dear >= 300_000_000 && (1_000_000..dear).contains(&cheap));
    assert!(explanation.choices.iter().all(|choice| choice.backend == Some(1)));
    let text = explanation.to_string();
    assert!(text.contains("dear") && text.contains("cheap"), "{text}");
    for id in 0..40 {
        let reply = pipeline.submit(&row(id)).unwrap().wait().unwrap();
        check(&reply, [id]);
        assert_eq!(reply.first().device(), "cheap");
    }
    assert!(devices[0].recorded().is_empty());
}

#[test]
fn what_was_dear_for_a_while_is_tried_again() {
    let (pipeline, [_, cheap]) = both(ms(3), ms(0), small());
    let ask = || {
        let reply = pipeline.submit(&row(1)).unwrap().wait().unwrap();
        reply.first().device().to_string()
    };
    until(|| ask() == "cheap");
    let cheap = cheap.lasting(ms(100));
    until(|| ask() == "dear");
    let _cheap = cheap.lasting(ms(0));
    until(|| ask() == "cheap");
}

#[test]
fn both_are_used_where_there_is_enough_to_do() {
    // What they cost is measured, and may be measured wrong where the machine is busy.
    until(|| share_the_work().into_iter().all(|rows| rows > 0));
}

/// Gives two backends thirty rows to run, and returns how many each of them ran.
fn share_the_work() -> [u64; 2] {
    let config = PipelineConfig { max_rows: 2, depth: 1, ..small() };
    let (pipeline, devices) = both(ms(30), ms(20), config);
    let tickets: Vec<_> = (0..30).map(|id| pipeline.submit(&row(id)).unwrap()).collect();
    for (id, ticket) in tickets.into_iter().enumerate() {
        let reply = ticket.wait().unwrap();
        check(&reply, [id]);
        ran_where_it_says(&devices, &reply.first().device(), id);
    }
    let metrics = settled(&pipeline);
    let shares = [0, 1].map(|index| metrics.backends[index].rows);
    assert_eq!((metrics.backends.len(), shares.iter().sum()), (2, 30));
    let batches: u64 = metrics.backends.iter().map(|it| it.batches).sum();
    assert_eq!(batches, metrics.batches);
    for (rows, device) in shares.iter().zip(&devices) {
        assert_eq!(*rows as usize, device.recorded().concat().len());
    }
    assert_eq!(pipeline.health(), Health::Ready);
    shares
}

#[test]
fn what_the_cheap_one_is_held_up_with_does_not_hold_up_the_rest() {
    let (pipeline, devices) = both(ms(5), ms(1), PipelineConfig { depth: 1, ..small() });
    devices[1].script([Fault::LateAfterHang]);
    let held = pipeline.submit(&row(1000)).unwrap();
    until(|| pipeline.metrics().queue_depth == 0);
    for id in 0..20 {
        let reply = pipeline.submit(&row(id)).unwrap().wait().unwrap();
        check(&reply, [id]);
        assert_eq!(reply.first().device(), "dear");
    }
    assert!(!held.is_ready());
    devices[1].finish_hung();
    let reply = held.wait().unwrap();
    check(&reply, [1000]);
    assert_eq!(reply.first().device(), "cheap");
    assert_eq!(settled(&pipeline).retried_rows, 0);
}

#[test]
fn a_lost_backend_is_told_of_and_chosen_no_more() {
    let (pipeline, devices) = both(ms(5), ms(1), impatient());
    devices[1].script([Fault::Lose]);
    let reply = pipeline.submit(&row(1)).unwrap().wait().unwrap();
    check(&reply, [1]);
    assert_eq!(reply.first().device(), "dear");
    let explanation = pipeline.explain();
    assert_eq!(explanation.backends[1].health, BackendHealth::Lost);
    assert!(explanation.choices.iter().all(|choice| choice.backend == Some(0)));
    let Health::Degraded { lost } = pipeline.health() else { panic!("one is lost") };
    assert_eq!(lost[0].device, "cheap");
}

#[test]
fn several_workers_of_a_processor_share_its_work() {
    let limits = limits();
    let device = FakeDevice::new(limits).lasting(ms(10));
    let pipeline = start(&device, PipelineConfig { workers: 4, depth: 1, max_rows: 1, ..small() });
    let begun = std::time::Instant::now();
    let tickets: Vec<_> = (0..16).map(|id| pipeline.submit(&row(id)).unwrap()).collect();
    tickets.into_iter().zip(0..).for_each(|(it, id)| check(&it.wait().unwrap(), [id]));
    let passed = begun.elapsed();
    let metrics = settled(&pipeline);
    assert_eq!((metrics.backends.len(), metrics.backends[0].rows), (1, 16));
    let spent = Duration::from_nanos(metrics.compute_ns.sum());
    assert!(spent >= ms(160) && passed < spent, "beside each other");
}
