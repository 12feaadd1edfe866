//! What the three traits promise besides numbers: contexts, errors at the seam, splitting, threads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fusewire::backend::fake::{FakeDevice, Fault};
use fusewire::backend::{BackendError, Device, Executable};
use fusewire::{Activation, InputType, Model, Plan, PlanOptions, Precision, Rows};

use crate::common::{self, Batch, Random};
use crate::devices::{devices, load};

const WIDTHS: [usize; 4] = [30, 20, 20, 5];

fn model() -> Model {
    common::model(&mut Random(1), &WIDTHS, || Activation::Relu)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn run(executable: &dyn Executable, values: &[f32]) -> Vec<f32> {
    let mut scores = vec![f32::NAN; values.len() / 30 * 5];
    executable.run(Rows::F32(values), &mut scores).expect("the batch runs");
    scores
}

#[test]
fn a_context_gives_what_run_gives() {
    let values = Random(2).values(100 * 30);
    for (name, device) in devices() {
        let executable = load(&*device, &model(), &PlanOptions::default());
        let mut contexts: Vec<_> =
            (0..2).map(|_| executable.create_context().expect("memory is there")).collect();
        for round in 0..4 {
            for (index, context) in contexts.iter_mut().enumerate() {
                let batch = &values[..(1 + round * 20 + index) * 30];
                context.submit(Rows::F32(batch)).expect("the batch is accepted");
            }
            for (index, context) in contexts.iter_mut().enumerate() {
                context.wait(soon()).expect("the batch completes");
                let batch = &values[..(1 + round * 20 + index) * 30];
                assert_eq!(context.is_complete(), Ok(true), "{name}");
                assert_eq!(context.scores(), run(&*executable, batch), "{name}, round {round}");
            }
        }
    }
}

#[test]
fn polling_alone_completes_a_batch() {
    let values = Random(2).values(30);
    for (name, device) in devices() {
        let executable = load(&*device, &model(), &PlanOptions::default());
        let mut context = executable.create_context().expect("memory is there");
        context.submit(Rows::F32(&values)).expect("the batch is accepted");
        let deadline = soon();
        while !context.is_complete().expect("the device lives") {
            assert!(Instant::now() < deadline, "{name}: not complete in 20 s");
            std::thread::yield_now();
        }
        assert_eq!(context.scores().len(), 5, "{name}");
    }
}

#[test]
fn what_does_not_fit_is_refused_at_the_seam() {
    for (name, device) in devices() {
        let options = PlanOptions { rows_max: 4, ..PlanOptions::default() };
        let executable = load(&*device, &model(), &options);
        let mut scores = [0.0; 5];
        let row = [0.0; 30];
        let refused = [
            executable.run(Rows::U8(&[0; 30]), &mut scores),
            executable.run(Rows::F32(&row[..29]), &mut scores),
            executable.run(Rows::F32(&row), &mut scores[..4]),
        ];
        let (expected, got) = (InputType::F32, InputType::U8);
        assert_eq!(refused[0], Err(BackendError::WrongInput { expected, got }), "{name}");
        let wrong_length = BackendError::WrongRowLength { inputs: 30, values: 29 };
        assert_eq!(refused[1], Err(wrong_length), "{name}");
        let wrong_scores = BackendError::WrongScoresLength { expected: 5, got: 4 };
        assert_eq!(refused[2], Err(wrong_scores), "{name}");

        let mut context = executable.create_context().expect("memory is there");
        assert_eq!(context.is_complete(), Err(BackendError::Idle), "{name}");
        assert_eq!(context.wait(soon()), Err(BackendError::Idle), "{name}");
        assert!(context.scores().is_empty(), "{name}");
        for rows in [0, 5] {
            let batch = vec![0.0; rows * 30];
            let error = context.submit(Rows::F32(&batch)).expect_err("the size is wrong");
            assert_eq!(error, BackendError::BatchSize { rows_max: 4, rows }, "{name}");
        }
    }
}

/// The rows cut into pieces of one row or more, at random places.
fn cut<'a>(rows: Rows<'a>, inputs: usize, random: &mut Random) -> Vec<Rows<'a>> {
    let count = rows.values() / inputs;
    let mut pieces = Vec::new();
    let mut start = 0;
    while start < count {
        let end = start + random.width(count - start);
        pieces.push(rows.slice(start..end, inputs));
        start = end;
    }
    pieces
}

/// Rows of 30 and 7 values have gaps between them where a device wants whole quads; rows of 64
/// have none.
#[test]
fn a_batch_in_pieces_has_the_bits_of_the_whole() {
    let mut random = Random(12);
    for (name, device) in devices() {
        for widths in [&WIDTHS[..], &[7, 300, 3], &[64, 32, 10]] {
            let model = common::model(&mut random, widths, || Activation::Gelu);
            for input in InputType::ALL {
                let batch = Batch::random(input, 97 * widths[0], &mut random);
                let rows = batch.rows();
                let options = PlanOptions { input: rows.input(), ..PlanOptions::default() };
                let executable = load(&*device, &model, &options);
                let mut context = executable.create_context().expect("memory is there");
                let mut scores_of = |pieces: &[Rows<'_>]| {
                    context.submit_pieces(pieces).expect("the batch is accepted");
                    context.wait(soon()).expect("the batch completes");
                    context.scores().iter().map(|score| score.to_bits()).collect::<Vec<_>>()
                };
                for count in [1, 2, 40, 97] {
                    let batch = rows.slice(0..count, widths[0]);
                    let whole = scores_of(&[batch]);
                    assert_eq!(whole.len(), count * widths[widths.len() - 1]);
                    for _ in 0..4 {
                        let pieces = cut(batch, widths[0], &mut random);
                        let lengths: Vec<_> = pieces.iter().map(Rows::values).collect();
                        assert_eq!(scores_of(&pieces), whole, "{name}, {widths:?}, {lengths:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn pieces_that_do_not_fit_are_refused_at_the_seam() {
    for (name, device) in devices() {
        let options = PlanOptions { rows_max: 4, ..PlanOptions::default() };
        let executable = load(&*device, &model(), &options);
        let mut context = executable.create_context().expect("memory is there");
        let values = Random(13).values(5 * 30);
        let rows = |count: usize| Rows::F32(&values[..count * 30]);
        let size = |rows: usize| Err(BackendError::BatchSize { rows_max: 4, rows });
        assert_eq!(context.submit_pieces(&[]), size(0), "{name}");
        assert_eq!(context.submit_pieces(&[rows(1), rows(0)]), size(0), "{name}");
        assert_eq!(context.submit_pieces(&[rows(2), rows(3)]), size(5), "{name}");
        let (expected, got) = (InputType::F32, InputType::U8);
        let mixed = context.submit_pieces(&[rows(1), Rows::U8(&[0; 30])]);
        assert_eq!(mixed, Err(BackendError::WrongInput { expected, got }), "{name}");
        // Together they are whole rows; each for itself is not.
        let (left, right) = values[..60].split_at(20);
        let torn = context.submit_pieces(&[Rows::F32(left), Rows::F32(right)]);
        assert_eq!(torn, Err(BackendError::WrongRowLength { inputs: 30, values: 20 }), "{name}");
        assert_eq!(context.is_complete(), Err(BackendError::Idle), "{name}");
        assert_eq!(context.submit_pieces(&[rows(2), rows(2)]), Ok(()), "{name}");
        context.wait(soon()).expect("the batch completes");
    }
}

#[test]
fn no_rows_and_too_many_rows_are_both_run() {
    for (name, device) in devices() {
        let whole = load(&*device, &model(), &PlanOptions::default());
        let options = PlanOptions { rows_max: 3, ..PlanOptions::default() };
        let split = load(&*device, &model(), &options);
        let values = Random(4).values(20 * 30);
        assert_eq!(split.run(Rows::F32(&[]), &mut []), Ok(()), "{name}");
        for (a, b) in run(&*split, &values).iter().zip(run(&*whole, &values)) {
            assert!((a - b).abs() < 1e-5, "{name}: {a} split, {b} whole");
        }
    }
}

#[test]
fn a_plan_for_other_limits_is_refused() {
    for (name, device) in devices() {
        let other = fusewire::Limits { align_bytes: 1 << 16, ..*device.limits() };
        let plan = Plan::new(&model(), &other, &PlanOptions::default()).expect("it can be planned");
        let error = device.load(plan).map(|_| ()).expect_err("the limits are another device's");
        assert_eq!(error, BackendError::WrongPlan, "{name}");
    }
}

/// A device without kernels for int8 says so when a plan is loaded, and names those that have some.
#[test]
fn int8_is_computed_or_refused() {
    for (name, device) in devices() {
        let options = PlanOptions { precision: Precision::Int8, ..PlanOptions::default() };
        let plan = Plan::new(&model(), device.limits(), &options).expect("it can be planned");
        match device.load(plan) {
            Ok(executable) => {
                assert!(common::has_int8(&*device), "{name}");
                assert_eq!(executable.plan().precision(), Precision::Int8, "{name}");
            }
            Err(error) => {
                let precision = Precision::Int8;
                let refusal =
                    BackendError::NoKernels { device: device.info().name.clone(), precision };
                assert_eq!((error, common::has_int8(&*device)), (refusal, false), "{name}");
            }
        }
    }
}

#[test]
fn an_executable_names_the_device_it_was_loaded_on() {
    for (name, device) in devices() {
        let executable = load(&*device, &model(), &PlanOptions::default());
        let loaded_on = executable.device();
        assert_eq!((loaded_on.info(), loaded_on.limits()), (device.info(), device.limits()));
        let again = loaded_on.load(executable.plan().clone().into()).expect("the plan fits");
        let values = Random(15).values(2 * 30);
        assert_eq!(run(&*again, &values), run(&*executable, &values), "{name}");
    }
}

#[test]
fn rows_may_wait_in_memory_of_the_device() {
    let values = Random(14).values(3 * 30);
    for (name, device) in devices() {
        let executable = load(&*device, &model(), &PlanOptions::default());
        let memory = executable.device().alloc_host(values.len() * 4).expect("memory is there");
        assert_eq!(memory.len(), values.len() * 4, "{name}");
        let floats = memory.as_ptr().cast::<f32>();
        // SAFETY: the memory is aligned for any number, has room for all values, and is this
        // thread's own.
        let rows = unsafe {
            floats.copy_from_nonoverlapping(values.as_ptr(), values.len());
            std::slice::from_raw_parts(floats, values.len())
        };
        assert_eq!(run(&*executable, rows), run(&*executable, &values), "{name}");
        let refused = device.alloc_host(usize::MAX).expect_err("nobody has so much memory");
        assert!(matches!(refused, BackendError::OutOfMemory { .. }), "{name}: {refused}");
    }
}

#[test]
fn one_executable_serves_many_threads() {
    let values = Random(8).values(64 * 30);
    for (name, device) in devices() {
        let executable = load(&*device, &model(), &PlanOptions::default());
        let want = run(&*executable, &values);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        assert_eq!(run(&*executable, &values), want, "{name}");
                    }
                });
            }
        });
    }
}

fn fake_context(faults: &[Fault]) -> (FakeDevice, Box<dyn fusewire::backend::ExecutionContext>) {
    let limits = *fusewire::backend::cpu::open().limits();
    let device = FakeDevice::new(limits);
    device.script(faults.iter().copied());
    let context = load(&device, &model(), &PlanOptions::default()).create_context();
    (device, context.expect("memory is there"))
}

#[test]
fn the_fake_delays_fails_hangs_and_loses_itself_as_told() {
    let row = [0.5; 30];
    let (device, mut context) =
        fake_context(&[Fault::FailAtSubmit, Fault::FailAtCompletion, Fault::Delay(2), Fault::Hang]);
    assert!(matches!(context.submit(Rows::F32(&row)), Err(BackendError::Device { .. })));
    context.submit(Rows::F32(&row)).expect("the failure comes later");
    assert!(matches!(context.wait(soon()), Err(BackendError::Device { .. })));
    context.submit(Rows::F32(&row)).expect("the device lives on");
    let polls = [context.is_complete(), context.is_complete(), context.is_complete()];
    assert_eq!(polls, [Ok(false), Ok(false), Ok(true)]);
    context.submit(Rows::F32(&row)).expect("the device lives on");
    let deadline = Instant::now() + Duration::from_millis(20);
    assert!(matches!(context.wait(deadline), Err(BackendError::Timeout { .. })));
    assert!(Instant::now() >= deadline);
    assert_eq!(context.submit(Rows::F32(&row)), Err(BackendError::Busy));
    assert!(context.scores().is_empty() && !device.is_lost());
}

#[test]
fn a_lost_fake_stays_lost_and_memory_runs_out_when_told() {
    let (device, mut context) = fake_context(&[Fault::Lose]);
    context.submit(Rows::F32(&[0.5; 30])).expect("the loss comes later");
    for _ in 0..2 {
        assert!(matches!(context.wait(soon()), Err(BackendError::Lost { .. })));
        assert!(matches!(context.submit(Rows::F32(&[0.5; 30])), Err(BackendError::Lost { .. })));
    }
    assert!(device.is_lost());
    let plan = Plan::new(&model(), device.limits(), &PlanOptions::default()).expect("it fits");
    assert!(matches!(device.load(Arc::clone(&plan)), Err(BackendError::Lost { .. })));

    let device = FakeDevice::new(*device.limits());
    device.run_out_of_memory_after(1);
    assert!(device.load(Arc::clone(&plan)).is_ok());
    assert!(matches!(device.load(plan), Err(BackendError::OutOfMemory { .. })));
}
