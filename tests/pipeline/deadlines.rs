//! Rows whose time is up.

use std::time::{Duration, Instant};

use fusewire::backend::fake::Fault;
use fusewire::pipeline::{ReplyError, SubmitError};
use fusewire::{PipelineConfig, SubmitOptions};

use crate::support::*;

fn within(time: Duration) -> SubmitOptions {
    SubmitOptions::deadline(Instant::now() + time)
}

const SOON: Duration = Duration::from_millis(10);

#[test]
fn what_expires_while_the_device_is_busy_is_answered_at_once_and_never_run() {
    for stuck in [Fault::LateAfterHang, Fault::Stick] {
        let device = fake("held");
        let config = PipelineConfig { bulk_capacity: 8, ..narrow() };
        let pipeline = start(&device, config);
        device.record();
        device.script([stuck]);
        let first = pipeline.submit_with(&row(100), &within(2 * SOON)).unwrap();
        until(|| pipeline.metrics().queue_depth == 0);
        let one = pipeline.submit_with(&row(1), &within(SOON)).unwrap();
        let stays = pipeline.submit(&row(2)).unwrap();
        let many = pipeline.submit_many_with(&rows(3..6), &within(SOON)).unwrap();
        let bulk = SubmitOptions { deadline: within(SOON).deadline, ..SubmitOptions::bulk() };
        let bulk = pipeline.submit_with(&row(7), &bulk).unwrap();
        let later = pipeline.submit_with(&row(8), &within(LONG)).unwrap();
        // The device is held all the while.
        for expired in [one, many, bulk] {
            assert_eq!(expired.wait().unwrap_err(), ReplyError::Expired);
        }
        assert_eq!(device.recorded(), [[100.0]]);
        assert!(!first.is_ready() && !stays.is_ready() && !later.is_ready());
        device.finish_hung();
        device.release();
        check(&first.wait().unwrap(), [100]);
        check(&stays.wait().unwrap(), [2]);
        check(&later.wait().unwrap(), [8]);
        assert_eq!(device.recorded(), [vec![100.0], vec![2.0, 8.0]]);
        let metrics = settled(&pipeline);
        assert_eq!((metrics.expired, metrics.completed), (5, 3));
        is_whole(&pipeline, 64);
    }
}

#[test]
fn rows_wait_for_others_no_longer_than_their_deadline_allows() {
    let device = fake("delayed");
    let pipeline = start(&device, PipelineConfig { max_delay: LONG, ..small() });
    device.record();
    let stays = pipeline.submit(&row(1)).unwrap();
    let hurried = pipeline.submit_with(&row(2), &within(Duration::from_secs(4))).unwrap();
    check(&hurried.wait().unwrap(), [2]);
    check(&stays.wait().unwrap(), [1]);
    assert_eq!(device.recorded(), [[1.0, 2.0]]);
}

#[test]
fn a_reserved_row_has_its_deadline_too() {
    let pipeline = start(&null(), small());
    let mut guard = pipeline.reserve_with::<f32>(&within(SOON)).unwrap();
    guard.copy_from_slice(&row(1));
    std::thread::sleep(2 * SOON);
    assert_eq!(guard.commit().unwrap().wait().unwrap_err(), ReplyError::Expired);
    let mut guard = pipeline.reserve_with::<f32>(&within(LONG)).unwrap();
    guard.copy_from_slice(&row(1));
    check(&guard.commit().unwrap().wait().unwrap(), [1]);
    assert_eq!(settled(&pipeline).expired, 1);
    is_whole(&pipeline, 64);
}

#[test]
fn who_waits_for_room_waits_no_longer_than_the_deadline() {
    let pipeline = start(&null(), PipelineConfig { capacity: 1, ..small() });
    let held = pipeline.submit(&row(1)).unwrap().wait().unwrap();
    let begun = Instant::now();
    let refused = pipeline.submit_blocking(&row(2), &within(SOON)).unwrap_err();
    assert_eq!(refused, SubmitError::DeadlinePassed);
    assert!(begun.elapsed() >= SOON);
    drop(held);
    assert_eq!(settled(&pipeline).admitted, 1);
    is_whole(&pipeline, 1);
}

#[test]
fn thousands_of_deadlines_are_kept_one_way_or_the_other() {
    for (device, waiting) in kinds() {
        let pipeline = start(&*device, PipelineConfig { waiting, capacity: 256, ..small() });
        let mut random = crate::common::Random(5);
        let mut tickets = Vec::new();
        for id in 0..3000 {
            let time = Duration::from_micros(1 + random.below(300) as u64);
            match pipeline.submit_with(&row(id), &within(time)) {
                Ok(ticket) => tickets.push((id, ticket)),
                Err(SubmitError::DeadlinePassed) => {}
                Err(SubmitError::Full) => {
                    for (id, ticket) in tickets.drain(..) {
                        match ticket.wait() {
                            Ok(reply) => check(&reply, [id]),
                            Err(error) => assert_eq!(error, ReplyError::Expired),
                        }
                    }
                }
                Err(error) => panic!("{error}"),
            }
        }
        drop(tickets);
        assert_eq!(settled(&pipeline).failed, 0);
        is_whole(&pipeline, 256);
    }
}
