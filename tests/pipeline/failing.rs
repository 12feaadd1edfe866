//! Devices that fail: what they had goes to others, once, and with the right answers.

use std::thread;
use std::time::Duration;

use fusewire::backend::fake::{FakeDevice, Fault};
use fusewire::pipeline::{BackendHealth, Health, ReplyError, SubmitError};
use fusewire::{BackendKind, Pipeline, PipelineConfig, Reply};

use crate::support::*;

/// What a device does that is lost for it. The last two hold a call until they are released.
const LOSSES: [Fault; 10] = [
    Fault::FailAtSubmit,
    Fault::FailAtCompletion,
    Fault::WrongStatus,
    Fault::Lose,
    Fault::Hang,
    Fault::LateAfterHang,
    Fault::PanicAtSubmit,
    Fault::PanicAtWait,
    Fault::Stick,
    Fault::StickAtCompletion,
];

/// A device that is about to fail so, and a pipeline on it.
fn failing(fault: Fault, config: PipelineConfig) -> (FakeDevice, Pipeline) {
    let device = fake("failing");
    let pipeline = start(&device, config);
    device.script([fault]);
    device.record();
    (device, pipeline)
}

/// The same with a second device, which is dearer, so that the first one is chosen first.
fn failing_first(fault: Fault, config: PipelineConfig) -> (FakeDevice, Pipeline) {
    let (failing, sound) = (fake("failing"), fake("sound").lasting(Duration::from_millis(1)));
    let pipeline = start(&failing, config);
    pipeline.attach(load(&sound)).unwrap();
    failing.script([fault]);
    failing.record();
    (failing, pipeline)
}

#[track_caller]
fn names(pipeline: &Pipeline) -> Vec<String> {
    let (Health::Degraded { lost } | Health::Failed { lost }) = pipeline.health() else {
        return Vec::new();
    };
    assert_eq!(pipeline.health().to_string().lines().count(), 1);
    assert!(lost.iter().all(|it| it.backend == BackendKind::Wgpu && !it.reason.is_empty()));
    lost.into_iter().map(|it| it.device).collect()
}

#[track_caller]
fn ran_on_sound(reply: &Reply, ids: impl IntoIterator<Item = usize>) {
    check(reply, ids);
    assert!(reply.rows().all(|row| row.device() == "sound"));
}

#[test]
fn another_device_answers_what_the_lost_one_had() {
    for fault in LOSSES {
        let (failing, pipeline) = failing_first(fault, impatient());
        let many = pipeline.submit_many(&rows(0..30)).unwrap();
        let one = pipeline.submit(&row(100)).unwrap();
        let mut guard = pipeline.reserve::<f32>().unwrap();
        let many = many.wait().unwrap();
        check(&many, 0..30);
        assert!(many.rows().any(|row| row.device() == "sound"), "{fault:?}");
        check(&one.wait().unwrap(), [100]);
        until(|| names(&pipeline) == ["failing"]);
        assert!(matches!(pipeline.health(), Health::Degraded { .. }), "{fault:?}");
        let calls = failing.recorded().len();
        guard.copy_from_slice(&row(101));
        ran_on_sound(&guard.commit().unwrap().wait().unwrap(), [101]);
        failing.finish_hung();
        failing.release();
        for id in 0..200 {
            ran_on_sound(&pipeline.submit(&row(id)).unwrap().wait().unwrap(), [id]);
        }
        check(&many, 0..30);
        drop(many);
        assert_eq!(failing.recorded().len(), calls, "a call reached it after {fault:?}");
        let metrics = settled(&pipeline);
        assert_eq!((metrics.completed, metrics.failed), (232, 0), "{fault:?}");
        assert!(metrics.retried_rows > 0);
        let health: Vec<_> = metrics.backends.iter().map(|it| it.health).collect();
        assert_eq!(health, [BackendHealth::Lost, BackendHealth::Ready]);
        assert_eq!(pipeline.devices().len(), 1);
        is_whole(&pipeline, 64);
        assert_eq!(pipeline.shutdown(LONG).threads_left, 0, "{fault:?}");
    }
}

#[test]
fn without_another_device_everything_fails_and_says_why() {
    for fault in LOSSES {
        let (failing, pipeline) = failing(fault, impatient());
        let guard = pipeline.reserve::<f32>().unwrap();
        let many = pipeline.submit_many(&rows(0..30)).unwrap();
        let Err(ReplyError::Failed { reason }) = many.wait() else { panic!("{fault:?}") };
        assert!(!reason.is_empty() && reason.lines().count() == 1);
        let panics = matches!(fault, Fault::PanicAtSubmit | Fault::PanicAtWait);
        assert_eq!(reason.contains("panicked"), panics, "{fault:?}: {reason}");
        assert!(matches!(pipeline.health(), Health::Failed { .. }), "{fault:?}");
        assert_eq!(names(&pipeline), ["failing"]);
        let refused = pipeline.submit(&row(1)).unwrap_err();
        assert!(matches!(&refused, SubmitError::Failed { .. }), "{fault:?}: {refused}");
        assert!(refused.is_retryable() && refused.to_string().lines().count() == 1);
        assert!(matches!(pipeline.reserve::<f32>(), Err(SubmitError::Failed { .. })));
        let late = guard.commit().unwrap();
        assert!(matches!(late.wait(), Err(ReplyError::Failed { .. })), "{fault:?}");
        let calls = failing.recorded().len();
        failing.finish_hung();
        failing.release();
        let metrics = settled(&pipeline);
        assert_eq!((metrics.failed, metrics.completed, metrics.admitted), (31, 0, 31));
        assert_eq!(failing.recorded().len(), calls);
        assert!(pipeline.devices().is_empty());
        assert_eq!(pipeline.shutdown(LONG).threads_left, 0, "{fault:?}");
    }
}

#[test]
fn a_device_of_the_same_name_takes_over() {
    for fault in LOSSES {
        let (failing, pipeline) = failing(fault, impatient());
        let lost = pipeline.submit_many(&rows(0..3)).unwrap();
        assert!(lost.wait().is_err(), "{fault:?}");
        let again = fake("failing");
        pipeline.attach(load(&again)).unwrap();
        assert_eq!(pipeline.health(), Health::Ready, "{fault:?}");
        for id in 0..50 {
            check(&pipeline.submit(&row(id)).unwrap().wait().unwrap(), [id]);
        }
        failing.finish_hung();
        failing.release();
        until(|| failing.stuck() == 0);
        is_whole(&pipeline, 64);
        let metrics = settled(&pipeline);
        assert_eq!((metrics.failed, metrics.completed), (3, 114), "{fault:?}");
        let report = pipeline.shutdown(LONG);
        assert_eq!((report.threads_left, report.drained), (0, true), "{fault:?}");
    }
}

#[test]
fn a_device_is_replaced_again_and_again() {
    let mut device = fake("frail");
    let pipeline = start(&device, impatient());
    for round in 0..40 {
        check(&pipeline.submit(&row(round)).unwrap().wait().unwrap(), [round]);
        device.script([Fault::Lose]);
        assert!(pipeline.submit(&row(round)).unwrap().wait().is_err());
        until(|| pipeline.devices().is_empty());
        device = fake("frail");
        pipeline.attach(load(&device)).unwrap();
        assert_eq!(pipeline.health(), Health::Ready);
    }
    is_whole(&pipeline, 64);
    let metrics = settled(&pipeline);
    assert_eq!((metrics.completed, metrics.failed), (40 + 64, 40));
}

#[test]
fn a_late_device_answers_nobody_and_a_stuck_one_reads_nothing_of_others() {
    for fault in [Fault::Stick, Fault::StickAtCompletion, Fault::LateAfterHang] {
        let (failing, pipeline) =
            failing_first(fault, PipelineConfig { capacity: 8, ..impatient() });
        let reply = pipeline.submit_many(&rows(0..8)).unwrap().wait().unwrap();
        check(&reply, 0..8);
        until(|| names(&pipeline) == ["failing"]);
        drop(reply);
        // Rows that the stuck call may still read are not handed out meanwhile.
        let taken: Vec<_> = (0..8).map_while(|id| pipeline.submit(&row(50 + id)).ok()).collect();
        if fault == Fault::Stick {
            assert!(taken.len() < 8, "held for the call that may read them");
        }
        failing.finish_hung();
        failing.release();
        taken.into_iter().zip(50..).for_each(|(it, id)| check(&it.wait().unwrap(), [id]));
        is_whole(&pipeline, 8);
        assert_eq!(settled(&pipeline).failed, 0);
    }
}

#[test]
fn a_batch_is_tried_no_more_often_than_asked_for() {
    for attempts in 1..=4 {
        let devices: Vec<_> = (0..4).map(|number| fake(&format!("device {number}"))).collect();
        let pipeline = start(&devices[0], PipelineConfig { attempts, ..impatient() });
        devices[1..].iter().for_each(|device| pipeline.attach(load(device)).unwrap());
        devices.iter().for_each(FakeDevice::record);
        // All but the last fail, as long as they are asked.
        devices.iter().for_each(|device| device.script([Fault::FailAtSubmit]));
        let result = pipeline.submit(&row(1)).unwrap().wait();
        assert!(matches!(result, Err(ReplyError::Failed { .. })));
        let asked: usize = devices.iter().map(|device| device.recorded().len()).sum();
        assert_eq!(asked, attempts as usize);
        let Health::Degraded { lost } = pipeline.health() else {
            assert_eq!(attempts, 4, "all of them");
            continue;
        };
        assert_eq!(lost.len(), attempts as usize);
    }
}

#[test]
fn several_devices_fail_under_load_and_nothing_is_lost() {
    let frail: Vec<_> = (0..5).map(|number| fake(&format!("frail {number}"))).collect();
    let sound = fake("sound").lasting(Duration::from_micros(300));
    let pipeline = start(&sound, PipelineConfig { attempts: 10, ..impatient() });
    frail.iter().for_each(|device| pipeline.attach(load(device)).unwrap());
    thread::scope(|scope| {
        for producer in 0..3 {
            let pipeline = pipeline.clone();
            scope.spawn(move || {
                for id in producer * 100_000..producer * 100_000 + 1000 {
                    check(&pipeline.submit(&row(id)).unwrap().wait().unwrap(), [id]);
                }
            });
        }
        let faults =
            [Fault::Hang, Fault::Lose, Fault::PanicAtSubmit, Fault::Stick, Fault::WrongStatus];
        for (device, fault) in frail.iter().zip(faults) {
            device.script([Fault::None, Fault::None, fault]);
            thread::sleep(Duration::from_millis(10));
        }
    });
    frail.iter().for_each(FakeDevice::release);
    let metrics = settled(&pipeline);
    assert_eq!((metrics.completed, metrics.failed), (3000, 0));
    is_whole(&pipeline, 64);
}
