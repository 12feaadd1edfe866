//! What a reply says, and waiting for one.

use std::time::{Duration, Instant};

use fusewire::backend::cpu;
use fusewire::backend::fake::Fault;
use fusewire::pipeline::ReplyError;
use fusewire::{BackendKind, Pipeline, PipelineConfig, PlanOptions, Precision, SubmitOptions};

use crate::support::*;

#[test]
fn a_reply_says_what_ran_where() {
    for (device, _) in kinds() {
        let pipeline = start(&*device, small());
        let reply = pipeline.submit_many(&rows(1..4)).unwrap().wait().unwrap();
        for prediction in reply.rows() {
            let info = device.info();
            assert_eq!(
                (prediction.backend(), prediction.device()),
                (info.backend, info.name.clone())
            );
            assert_eq!((prediction.version(), prediction.precision()), (1, Precision::F32));
            assert_eq!(prediction.content_hash(), Some(scaled(1.0).content_hash()));
        }
        assert_eq!(reply.scores(), row(1), "of the first row");
        assert_eq!(pipeline.version(), (1, scaled(1.0).content_hash()));
    }
    let half = PlanOptions { precision: Precision::F16, ..PlanOptions::default() };
    let loaded = load_as(&*cpu::open(), &scaled(2.0), half);
    let pipeline = Pipeline::start(loaded, small()).unwrap();
    let reply = pipeline.submit(&[1.0, 2.0, 3.0, 4.0]).unwrap().wait().unwrap();
    assert_eq!(reply.first().precision(), Precision::F16);
    assert_eq!(reply.scores(), [2.0, 4.0, 6.0, 8.0]);
}

#[test]
fn classes_and_rankings_are_those_of_the_scores() {
    const NAN: f32 = f32::NAN;
    let pipeline = start(&null(), small());
    let of = |values: [f32; WIDTH]| pipeline.submit(&values).unwrap().wait().unwrap();
    let ranks = |values, k| of(values).first().top_k(k).iter().map(|it| it.0).collect::<Vec<_>>();
    assert_eq!(of([1.0, 3.0, 2.0, 3.0]).class(), 1, "the lower index of equals");
    assert_eq!(ranks([1.0, 3.0, 2.0, 3.0], 4), [1, 3, 2, 0]);
    assert_eq!(ranks([0.0, -0.0, 0.0, -0.0], 2).len(), 2);
    assert_eq!(of([1.0, NAN, f32::INFINITY, NAN]).class(), 1, "the first NaN");
    assert_eq!(ranks([1.0, NAN, f32::INFINITY, NAN], 3), [1, 3, 2]);
    assert_eq!(ranks([1.0, -NAN, f32::INFINITY, NAN], 1), [1], "of whatever sign");
    assert_eq!(ranks([f32::NEG_INFINITY; 4], 9), [0, 1, 2, 3], "no more than there are");
    assert_eq!(ranks([1.0; 4], 0), [0; 0]);
    let reply = of([0.5, 4.0, -1.0, 0.25]);
    assert_eq!(reply.first().top_k(2), [(1, 4.0), (0, 0.5)]);
    assert_eq!((reply.class(), reply.first().class(), reply.len()), (1, 1, 1));
    assert!(format!("{reply:?}").contains("class: 1"));
}

#[test]
fn the_first_of_the_ranking_is_the_class() {
    let mut random = crate::common::Random(7);
    let picks = [-1.0, 0.0, -0.0, 0.5, 1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    let null = start(&null(), small());
    for _ in 0..500 {
        let values = [(); WIDTH].map(|()| picks[random.below(picks.len())]);
        let reply = null.submit(&values).unwrap().wait().unwrap();
        assert_eq!(reply.first().top_k(1)[0].0, reply.class(), "{values:?}");
    }
}

#[test]
fn times_add_up_to_no_more_than_passed() {
    for (device, _) in kinds() {
        let pipeline = start(&*device, small());
        for id in 0..50 {
            let begun = Instant::now();
            let reply = pipeline.submit_many(&rows(id..id + 20)).unwrap().wait().unwrap();
            let passed = begun.elapsed();
            for prediction in reply.rows() {
                let times = prediction.times();
                assert!(times.total() <= passed, "{times:?} in {passed:?}");
                assert!(times.queue > Duration::ZERO && times.compute > Duration::ZERO);
                assert_eq!(times.total(), times.queue + times.input + times.compute + times.output);
            }
        }
    }
}

#[test]
fn times_are_of_what_took_them() {
    let each = Duration::from_millis(20);
    let device = fake("slow").lasting(each);
    let pipeline = start(&device, narrow());
    let first = pipeline.submit(&row(1)).unwrap();
    until(|| pipeline.metrics().queue_depth == 0);
    let begun = Instant::now();
    let second = pipeline.submit(&row(2)).unwrap();
    let first = first.wait().unwrap();
    let waited = begun.elapsed();
    let second = second.wait().unwrap();
    assert!(first.first().times().compute >= each);
    assert!(second.first().times().compute >= each);
    assert!(second.first().times().queue <= waited + LONG / 60, "queued while the first ran");
    assert!(second.first().times().queue > Duration::ZERO);
}

#[test]
fn a_ticket_that_times_out_is_as_good_as_before() {
    let device = fake("slow");
    let pipeline = start(&device, narrow());
    device.script([Fault::LateAfterHang]);
    let mut ticket = pipeline.submit(&row(1)).unwrap();
    for limit in [Duration::ZERO, Duration::from_millis(5)] {
        assert!(!ticket.is_ready());
        let begun = Instant::now();
        ticket = ticket.wait_timeout(limit).unwrap_err();
        assert!(begun.elapsed() >= limit);
    }
    let ticket = std::thread::spawn(|| ticket.wait_timeout(Duration::from_millis(1)).unwrap_err());
    let ticket = ticket.join().unwrap();
    device.finish_hung();
    until(|| ticket.is_ready());
    check(&ticket.wait_timeout(Duration::ZERO).unwrap().unwrap(), [1]);
    let ticket = pipeline.submit(&row(2)).unwrap();
    check(&ticket.wait_timeout(Duration::MAX).unwrap().unwrap(), [2]);
    is_whole(&pipeline, 64);
}

#[test]
fn a_reply_holds_its_answer_while_others_come_and_go() {
    let pipeline = start(&*cpu::open(), PipelineConfig { bulk_capacity: 8, ..small() });
    let first = pipeline.submit_many(&rows(10..20)).unwrap().wait().unwrap();
    let bulk = pipeline.submit_with(&row(30), &SubmitOptions::bulk()).unwrap().wait().unwrap();
    for id in 0..500 {
        check(&pipeline.submit(&row(id)).unwrap().wait().unwrap(), [id]);
        let other = pipeline.submit_with(&row(id), &SubmitOptions::bulk()).unwrap();
        check(&other.wait().unwrap(), [id]);
    }
    check(&first, 10..20);
    check(&bulk, [30]);
    drop(pipeline);
    check(&first, 10..20);
    assert_eq!(first.first().backend(), BackendKind::Cpu);
}

#[test]
fn errors_of_replies_are_one_line() {
    let reason = String::from("gone");
    for error in [ReplyError::Expired, ReplyError::Failed { reason }, ReplyError::ShutDown] {
        assert_eq!(error.to_string().lines().count(), 1);
    }
}
