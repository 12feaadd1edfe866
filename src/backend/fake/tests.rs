//! Every fault, and virtual time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::*;
use crate::backend::cpu;
use crate::model::{Activation, Dense, Model};
use crate::plan::PlanOptions;

/// Score 0 of a row is the sum of its two values, score 1 three times the first.
fn loaded(device: &FakeDevice) -> Arc<dyn Executable> {
    let weight = vec![1.0, 1.0, 3.0, 0.0];
    let layer = Dense::new(2, 2, weight, None, Activation::Identity).unwrap();
    let model = Model::from_layers(vec![layer]).unwrap();
    let plan = Plan::new(&model, device.limits(), &PlanOptions::default()).unwrap();
    device.load(plan).unwrap()
}

fn context(device: &FakeDevice) -> Box<dyn ExecutionContext> {
    loaded(device).create_context().unwrap()
}

fn scripted(faults: &[Fault]) -> FakeDevice {
    let device = FakeDevice::new(*cpu::open().limits());
    device.script(faults.iter().copied());
    device
}

const ROW: Rows<'static> = Rows::F32(&[2.0, 5.0]);
const SCORES: [f32; 2] = [7.0, 6.0];

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(20)
}

fn late() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// Waits until a call is stuck. Assertions come after the release: a panic before it would wait for
/// the stuck thread.
fn until_stuck(device: &FakeDevice) {
    let deadline = late();
    while device.stuck() == 0 {
        assert!(Instant::now() < deadline, "no call is stuck");
        std::thread::yield_now();
    }
}

fn is_timeout(result: Result<(), BackendError>) -> bool {
    matches!(result, Err(BackendError::Timeout { .. }))
}

#[test]
fn devices_are_told_apart_by_name() {
    let limits = *cpu::open().limits();
    for (kind, name) in [(BackendKind::Cuda, "left"), (BackendKind::Wgpu, "right")] {
        let device = FakeDevice::named(kind, name, limits);
        assert_eq!((device.info().backend, device.info().name.as_str()), (kind, name));
        device.script([Fault::FailAtSubmit, Fault::Hang]);
        let executable = loaded(&device);
        assert_eq!(executable.device().info(), device.info());
        let mut context = executable.create_context().unwrap();
        let failure = context.submit(ROW).unwrap_err();
        context.submit(ROW).unwrap();
        let timeout = context.wait(Instant::now()).unwrap_err();
        for error in [failure, timeout] {
            assert!(error.to_string().starts_with(&format!("{name}: ")), "{error}");
        }
    }
}

#[test]
fn a_stuck_call_returns_once_released_and_holds_no_other() {
    let device = scripted(&[Fault::Stick]);
    let (mut stuck, mut other) = (context(&device), context(&device));
    let returned = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            stuck.submit(ROW).unwrap();
            returned.store(true, Ordering::Release);
        });
        until_stuck(&device);
        let waited = other.submit(ROW).and_then(|()| other.wait(late()));
        let (had_returned, stuck) = (returned.load(Ordering::Acquire), device.stuck());
        device.release();
        assert_eq!((waited, other.scores()), (Ok(()), &SCORES[..]));
        assert_eq!((had_returned, stuck), (false, 1));
    });
    assert_eq!(device.stuck(), 0);
    assert_eq!((stuck.is_complete(), stuck.scores()), (Ok(true), &SCORES[..]));
}

#[test]
fn who_asks_is_stuck_until_released_and_then_told_that_it_is_complete() {
    let device = scripted(&[Fault::StickAtCompletion, Fault::StickAtCompletion]);
    let (mut asked, mut waited) = (context(&device), context(&device));
    asked.submit(ROW).unwrap();
    waited.submit(ROW).unwrap();
    std::thread::scope(|scope| {
        let asks = scope.spawn(|| asked.is_complete());
        let waits = scope.spawn(|| waited.wait(Instant::now()));
        while device.stuck() < 2 {
            std::thread::yield_now();
        }
        device.release();
        assert_eq!((asks.join().unwrap(), waits.join().unwrap()), (Ok(true), Ok(())));
    });
    assert_eq!((asked.scores(), waited.scores()), (&SCORES[..], &SCORES[..]));
}

#[test]
fn a_release_holds_for_what_was_scripted_before_it() {
    let device = scripted(&[Fault::None, Fault::Stick]);
    device.release();
    device.script([Fault::Stick]);
    let mut context = context(&device);
    for _ in 0..2 {
        context.submit(ROW).unwrap();
        context.wait(late()).unwrap();
    }
    std::thread::scope(|scope| {
        scope.spawn(|| context.submit(ROW).unwrap());
        until_stuck(&device);
        device.release();
    });
}

#[test]
fn a_call_that_is_stuck_on_a_device_lost_meanwhile_says_so() {
    let device = scripted(&[Fault::Stick, Fault::Lose]);
    let (mut stuck, mut loses) = (context(&device), context(&device));
    std::thread::scope(|scope| {
        let submitted = scope.spawn(|| stuck.submit(ROW));
        until_stuck(&device);
        let lost = loses.submit(ROW).and_then(|()| loses.wait(late()));
        device.release();
        assert!(matches!(lost, Err(BackendError::Lost { .. })));
        assert!(matches!(submitted.join().unwrap(), Err(BackendError::Lost { .. })));
    });
}

#[test]
fn a_hung_batch_is_waited_for_until_the_deadline() {
    let device = scripted(&[Fault::Hang]);
    let mut context = context(&device);
    context.submit(ROW).unwrap();
    let deadline = soon();
    assert!(is_timeout(context.wait(deadline)));
    assert!(Instant::now() >= deadline);
    assert_eq!(context.is_complete(), Ok(false));
}

#[test]
fn a_late_batch_completes_once_finished_and_a_hung_one_never() {
    let device = scripted(&[Fault::LateAfterHang, Fault::Hang]);
    let (mut late_one, mut hung) = (context(&device), context(&device));
    late_one.submit(ROW).unwrap();
    hung.submit(ROW).unwrap();
    assert_eq!(late_one.is_complete(), Ok(false));
    assert!(is_timeout(late_one.wait(soon())));
    assert!(late_one.scores().is_empty());
    device.finish_hung();
    assert_eq!((late_one.is_complete(), late_one.scores()), (Ok(true), &SCORES[..]));
    assert!(is_timeout(hung.wait(soon())));
    device.script([Fault::LateAfterHang]);
    late_one.submit(ROW).unwrap();
    assert_eq!(late_one.is_complete(), Ok(false));
}

#[test]
fn who_waits_is_woken_when_a_hung_batch_is_finished_or_the_device_is_lost() {
    let device = scripted(&[Fault::LateAfterHang]);
    let mut waiting = context(&device);
    waiting.submit(ROW).unwrap();
    let deadline = late();
    std::thread::scope(|scope| {
        let waited = scope.spawn(|| waiting.wait(deadline));
        std::thread::sleep(Duration::from_millis(20));
        device.finish_hung();
        assert_eq!(waited.join().unwrap(), Ok(()));
    });
    assert!(Instant::now() < deadline, "slept through it");

    let device = scripted(&[Fault::Hang, Fault::Lose]);
    let (mut waiting, mut loses) = (context(&device), context(&device));
    waiting.submit(ROW).unwrap();
    loses.submit(ROW).unwrap();
    let deadline = late();
    std::thread::scope(|scope| {
        let waited = scope.spawn(|| waiting.wait(deadline));
        std::thread::sleep(Duration::from_millis(20));
        assert!(matches!(loses.is_complete(), Err(BackendError::Lost { .. })));
        assert!(matches!(waited.join().unwrap(), Err(BackendError::Lost { .. })));
    });
    assert!(Instant::now() < deadline, "slept through it");
}

#[test]
fn a_wrong_status_is_given_once() {
    let device = scripted(&[Fault::WrongStatus, Fault::WrongStatus]);
    let mut context = context(&device);
    context.submit(ROW).unwrap();
    assert_eq!(context.is_complete(), Err(BackendError::Idle));
    assert!(context.scores().is_empty());
    assert_eq!((context.is_complete(), context.scores()), (Ok(true), &SCORES[..]));
    context.submit(ROW).unwrap();
    assert_eq!(context.wait(late()), Err(BackendError::Idle));
    assert_eq!(context.wait(late()), Ok(()));
}

#[test]
fn loads_run_out_of_memory_and_may_succeed_again() {
    let device = scripted(&[]);
    let plan: Arc<Plan> = loaded(&device).plan().clone().into();
    device.run_out_of_memory_after(0);
    for _ in 0..2 {
        let refused = device.load(Arc::clone(&plan)).unwrap_err();
        assert!(matches!(refused, BackendError::OutOfMemory { .. }), "{refused}");
    }
    device.run_out_of_memory_after(1);
    assert!(device.load(plan).is_ok());
}

/// A device on which a batch of ten rows spends 20 ns in each engine, and its clock.
fn timed() -> (FakeDevice, Arc<AtomicU64>) {
    let clock = Arc::new(AtomicU64::new(0));
    let timing = Timing {
        upload_ns_per_row: 2,
        compute_ns: 10,
        compute_ns_per_row: 1,
        download_ns: 20,
        ..Timing::default()
    };
    (scripted(&[]).timed(Arc::clone(&clock), timing), clock)
}

/// Keeps so many contexts busy with batches of these sizes until all are complete, and returns what
/// the engines did and when the last was done.
fn serve(contexts: usize, batches: &[usize]) -> (Vec<TraceEntry>, u64) {
    let (device, clock) = timed();
    let executable = loaded(&device);
    let mut idle: Vec<_> = (0..contexts).map(|_| executable.create_context().unwrap()).collect();
    let mut busy: Vec<Box<dyn ExecutionContext>> = Vec::new();
    let mut batches = batches.iter();
    loop {
        while let Some(mut context) = idle.pop() {
            let Some(rows) = batches.next() else { break };
            context.submit(Rows::F32(&vec![1.0; rows * 2])).unwrap();
            busy.push(context);
        }
        let Some(next_ns) = device.next_event_ns() else { break };
        clock.store(next_ns, Ordering::Release);
        let (done, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut busy)
            .into_iter()
            .map(|mut context| (context.is_complete().unwrap(), context))
            .partition(|(is_complete, _)| *is_complete);
        assert!(!done.is_empty(), "something completes at every event");
        idle.extend(done.into_iter().map(|(_, context)| context));
        busy.extend(rest.into_iter().map(|(_, context)| context));
    }
    assert!(busy.is_empty(), "no batch in flight without an event to come");
    (device.trace(), clock.load(Ordering::Acquire))
}

/// Pairs of engines that are at work at the same time.
fn overlaps(trace: &[TraceEntry]) -> Vec<(Engine, Engine)> {
    let pairs = trace.iter().flat_map(|a| trace.iter().map(move |b| (a, b)));
    let mut found: Vec<_> = pairs
        .filter(|(a, b)| a != b && a.overlaps(b))
        .map(|(a, b)| (a.engine.min(b.engine), a.engine.max(b.engine)))
        .collect();
    found.sort();
    found.dedup();
    found
}

#[test]
fn one_context_leaves_the_engines_idle_by_turns() {
    let (trace, end_ns) = serve(1, &[10; 8]);
    assert_eq!(overlaps(&trace), []);
    assert_eq!((trace.len(), end_ns), (8 * 3, 8 * 60));
    assert!(trace.iter().all(|entry| entry.context == 0));
}

#[test]
fn more_contexts_keep_the_engines_at_work_at_once() {
    use Engine::{Compute, Download, Upload};
    let (trace, end_ns) = serve(2, &[10; 8]);
    let all = [(Upload, Compute), (Upload, Download), (Compute, Download)];
    assert_eq!(overlaps(&trace), all);
    // Pairs of batches follow each other by one engine's time, and the next pair by a batch's.
    assert_eq!(end_ns, 4 * 60 + 20);
    // Three contexts leave no engine idle but at the ends.
    assert_eq!(serve(3, &[10; 9]).1, 60 + 8 * 20);
}

#[test]
fn engines_do_one_batch_at_a_time_in_the_order_of_submission() {
    for contexts in 1..=4 {
        let (trace, _) = serve(contexts, &[3, 40, 1, 1, 25, 7, 90, 2, 2, 30]);
        for batch in trace.chunks_exact(3) {
            let engines: Vec<_> = batch.iter().map(|entry| entry.engine).collect();
            assert_eq!(engines, Engine::ALL);
            assert!(batch.windows(2).all(|pair| pair[0].end_ns <= pair[1].begin_ns));
        }
        for engine in Engine::ALL {
            let own: Vec<_> = trace.iter().filter(|entry| entry.engine == engine).collect();
            assert!(own.windows(2).all(|pair| pair[0].end_ns <= pair[1].begin_ns));
            assert!(own.iter().map(|entry| entry.batch).eq(0..10));
        }
    }
}

#[test]
fn waiting_in_virtual_time_never_sleeps() {
    let (device, clock) = timed();
    device.script([Fault::None, Fault::LateAfterHang]);
    let mut context = context(&device);
    assert_eq!(device.next_event_ns(), None);
    clock.store(100, Ordering::Release);
    context.submit(Rows::F32(&[2.0, 5.0].repeat(10))).unwrap();
    assert_eq!(device.next_event_ns(), Some(160));
    for now_ns in [100, 130, 159] {
        clock.store(now_ns, Ordering::Release);
        let deadline = late();
        assert!(is_timeout(context.wait(deadline)));
        assert!(Instant::now() < deadline);
    }
    clock.store(160, Ordering::Release);
    assert_eq!(device.next_event_ns(), None);
    assert_eq!((context.wait(late()), context.scores()), (Ok(()), &SCORES.repeat(10)[..]));

    // Its time comes first, then its fault.
    context.submit(ROW).unwrap();
    device.finish_hung();
    assert_eq!(context.is_complete(), Ok(false));
    clock.store(1000, Ordering::Release);
    assert_eq!(context.is_complete(), Ok(true));
}

#[test]
fn real_time_has_no_trace_and_no_events() {
    let device = scripted(&[]);
    context(&device).submit(ROW).unwrap();
    assert_eq!((device.trace(), device.next_event_ns()), (Vec::new(), None));
}

#[test]
fn a_batch_lasts_as_long_as_it_is_told_to() {
    let each = Duration::from_millis(20);
    let device = scripted(&[]).lasting(each);
    let mut context = context(&device);
    let begun = Instant::now();
    context.submit(ROW).unwrap();
    assert_eq!(context.wait(begun), Err(BackendError::Timeout { device: String::from("fake") }));
    assert_eq!((context.wait(late()), context.scores()), (Ok(()), &SCORES[..]));
    assert!(begun.elapsed() >= each);
}

#[test]
fn panics_come_where_they_were_scripted() {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    let device = scripted(&[Fault::PanicAtSubmit, Fault::PanicAtWait]);
    let mut context = context(&device);
    assert!(catch_unwind(AssertUnwindSafe(|| context.submit(ROW))).is_err());
    context.submit(ROW).unwrap();
    assert_eq!(context.is_complete(), Ok(false));
    assert!(catch_unwind(AssertUnwindSafe(|| context.wait(late()))).is_err());
}

#[test]
fn what_is_handed_over_is_recorded_and_contexts_are_counted() {
    let device = scripted(&[Fault::None, Fault::FailAtSubmit]);
    let mut one = context(&device);
    one.submit(ROW).unwrap();
    one.wait(late()).unwrap();
    device.record();
    assert!(one.submit(ROW).is_err());
    let other = context(&device);
    assert_eq!(device.contexts(), 2);
    drop(other);
    one.submit(Rows::F32(&[3.0, 0.0, 4.0, 0.0])).unwrap();
    assert_eq!((device.recorded(), device.contexts()), (vec![vec![2.0], vec![3.0, 4.0]], 1));
}
