//! A kernel that stays on the device, and all that has to be done while one does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fusewire::backend::cpu::oracle;
use fusewire::backend::{
    BackendError, BackendKind, Device, Executable, ExecutionContext, OpenOptions, open_with,
};
use fusewire::pipeline::{Health, PipelineOptions};
use fusewire::{
    Activation, Head, InputType, Model, Pipeline, PipelineConfig, PlanOptions, Precision, Rows,
};

use crate::allocator::allocations;
use crate::common::{self, Batch, Random};
use crate::devices::{self, load, soon};
use crate::stub;

/// The most rows of a batch that a kernel takes that stays.
const FEW_ROWS: usize = 16;

fn options(number: usize) -> OpenOptions {
    let mut options = OpenOptions::default();
    (options.backend, options.device, options.persistent) = (BackendKind::Cuda, Some(number), true);
    options
}

/// The device of this number, with kernels that stay.
pub fn open(number: usize) -> Arc<dyn Device> {
    open_with(&options(number)).expect("the stub has it")
}

/// A model of one stage.
fn narrow(seed: u64) -> Model {
    common::model(&mut Random(seed), &[30, 20, 20, 5], || Activation::Relu)
}

fn until(mut holds: impl FnMut() -> bool) {
    let deadline = soon();
    while !holds() {
        assert!(Instant::now() < deadline, "it never comes true");
        std::thread::sleep(Duration::from_micros(100));
    }
}

fn finish(context: &mut dyn ExecutionContext, rows: &[f32]) -> Result<Vec<f32>, BackendError> {
    context.submit(Rows::F32(rows))?;
    context.wait(soon())?;
    Ok(context.scores().to_vec())
}

/// Runs batches of few rows of one executable, against the oracle and the launches of another.
fn agree(staying: &dyn Executable, launching: &dyn Executable, model: &Model, random: &mut Random) {
    let plan = staying.plan();
    for rows in 1..=FEW_ROWS {
        let batch = Batch::random(plan.input(), rows * model.inputs(), random);
        let batch = batch.rows();
        let [stayed, launched] = [staying, launching].map(|executable| {
            let mut scores = vec![f32::NAN; rows * model.classes()];
            executable.run(batch, &mut scores).expect("it runs");
            scores
        });
        assert_eq!(stayed, launched, "{}, {rows} rows", model.architecture());
        for (got, want) in launched.iter().zip(oracle(model, batch)) {
            let error = (f64::from(*got) - want).abs();
            assert!(error <= plan.precision().tolerance(), "{rows} rows: {got}, {want}");
        }
    }
}

#[test]
fn what_stays_computes_what_launches_do() {
    if stub::alone("persistent::what_stays_computes_what_launches_do", &[""], &[]).is_none() {
        return;
    }
    let mut random = Random(21);
    // The paper's network, the widest layers, rows in pieces of every size, and one too long to be
    // on chip, with a stage that is too large.
    let networks: [(&[usize], Head); 5] = [
        (&[784, 32, 32, 32, 32, 10], Head::Softmax),
        (&[65, 128, 100, 128, 3], Head::Logits),
        (&[17, 1], Head::Logits),
        (&[30, 20, 20, 5], Head::LogSoftmax),
        (&[4001, 33, 9], Head::Softmax),
    ];
    for number in 0..3 {
        let (staying, launching) = (open(number), devices::open(number).unwrap());
        assert!(staying.info().detail.ends_with(", persistent"), "{:?}", staying.info());
        for (widths, head) in networks {
            let model = common::model(&mut random, widths, || Activation::Tanh).with_head(head);
            for (input, precision) in [
                (InputType::F32, Precision::F32),
                (InputType::U8, Precision::F16),
                (InputType::Bf16, Precision::Bf16),
                (InputType::F16, Precision::F32),
            ] {
                let options = PlanOptions { input, precision, ..PlanOptions::default() };
                let [staying, launching] =
                    [&staying, &launching].map(|it| load(&**it, &model, &options));
                agree(&*staying, &*launching, &model, &mut random);
            }
        }
    }
}

/// One launch serves many batches; larger batches, and other models, are launched as ever.
#[test]
fn few_rows_take_no_launch() {
    if stub::alone("persistent::few_rows_take_no_launch", &[""], &stub::CLOCK_STANDS).is_none() {
        return;
    }
    let device = open(0);
    let executable = load(&*device, &narrow(1), &PlanOptions::default());
    let mut context = executable.create_context().unwrap();
    let values = Random(2).values(40 * 30);
    let launches = || stub::calls("cuLaunchKernel");
    let before = launches();
    for batch in 0..200 {
        finish(&mut *context, &values[..(1 + batch % FEW_ROWS) * 30]).unwrap();
    }
    assert_eq!(launches() - before, 1);
    let before = launches();
    finish(&mut *context, &values).unwrap();
    assert_eq!(launches() - before, 1);
    assert_eq!(context.compute_time(), None);
    assert!(executable.kernels()[0].ends_with("; up to 16 rows persistent_f32_f32 (sm_90), stays"));
    let wide = load(&*device, &devices::model(), &PlanOptions::default());
    let before = launches();
    wide.run(Rows::F32(&values[..30]), &mut [0.0; 5]).unwrap();
    assert_eq!(launches() - before, 2, "a wide layer, and two narrow ones");
}

#[test]
fn a_batch_allocates_nothing() {
    if stub::alone("persistent::a_batch_allocates_nothing", &[""], &[]).is_none() {
        return;
    }
    let device = open(0);
    let executable = load(&*device, &narrow(3), &PlanOptions::default());
    let mut context = executable.create_context().unwrap();
    let values = Random(8).values(FEW_ROWS * 30);
    let mut call = |count: usize| {
        context.submit(Rows::F32(&values[..count * 30])).unwrap();
        context.wait(soon()).unwrap();
    };
    call(1);
    for count in [1, 7, FEW_ROWS] {
        assert_eq!(allocations(|| call(count)), 0, "{count} rows");
    }
}

/// The driver's calls that wait for the device find none on it, and batches go on behind them.
#[test]
fn memory_is_taken_and_given_back_between_batches() {
    let test = "persistent::memory_is_taken_and_given_back_between_batches";
    if stub::alone(test, &[""], &stub::CLOCK_STANDS).is_none() {
        return;
    }
    let device = open(0);
    let executable = load(&*device, &narrow(4), &PlanOptions::default());
    let mut contexts = [(); 3].map(|()| executable.create_context().unwrap());
    let values = Random(5).values(3 * 30);
    let expected = finish(&mut *contexts[0], &values).unwrap();
    for round in 0..30 {
        // Batches are in flight while the calls are made.
        contexts.iter_mut().for_each(|it| it.submit(Rows::F32(&values)).unwrap());
        let block = device.alloc_host(1 << 12).unwrap();
        let other = load(&*device, &narrow(6 + round % 3), &PlanOptions::default());
        for context in &mut contexts {
            context.wait(soon()).unwrap();
            assert_eq!(context.scores(), expected);
        }
        drop((block, other));
        assert_eq!(finish(&mut *contexts[1], &values).unwrap(), expected);
    }
    drop((contexts, executable, device));
    assert_eq!((stub::residents(), stub::live()), (0, 0));
}

#[test]
fn without_batches_it_leaves() {
    if stub::alone("persistent::without_batches_it_leaves", &[""], &[]).is_none() {
        return;
    }
    let device = open(0);
    let executable = load(&*device, &narrow(4), &PlanOptions::default());
    let mut context = executable.create_context().unwrap();
    let values = Random(5).values(2 * 30);
    let expected = finish(&mut *context, &values).unwrap();
    for _ in 0..3 {
        until(|| stub::residents() == 0);
        assert_eq!(finish(&mut *context, &values).unwrap(), expected);
    }
    // A context that is dropped takes its own along, with a batch in flight too.
    context.submit(Rows::F32(&values)).unwrap();
    drop(context);
    assert_eq!(stub::residents(), 0);
    drop((executable, device));
    assert_eq!(stub::live(), 0);
}

/// What the driver answers from some call on, or what the kernel comes to.
const FATAL: [&str; 5] = [
    "cuLaunchKernel 719 launched",
    "cuEventRecord 700 launched",
    "cuEventQuery 719 stays",
    "kernel 719 launched",
    "hang 0 stays",
];

#[test]
fn a_failure_is_a_loss() {
    let test = "persistent::a_failure_is_a_loss";
    let Some(told) = stub::alone(test, &FATAL, &[]) else { return };
    let words: Vec<&str> = told.split(' ').collect();
    let device = open(0);
    let executable = load(&*device, &narrow(4), &PlanOptions::default());
    let mut context = executable.create_context().unwrap();
    let values = Random(5).values(30);
    if words[2] == "stays" {
        finish(&mut *context, &values).unwrap();
    }
    if words[0] == "hang" {
        stub::hang(true);
        context.submit(Rows::F32(&values)).unwrap();
        let deadline = Instant::now() + Duration::from_millis(30);
        assert!(matches!(context.wait(deadline), Err(BackendError::Timeout { .. })));
        drop(context);
        let error = executable.create_context().map(|_| ()).unwrap_err();
        assert!(matches!(error, BackendError::Lost { .. }), "{error}");
        return;
    }
    stub::fail(words[0], 0, words[1].parse().unwrap());
    // The driver is asked now and then.
    let mut outcome = Ok(Vec::new());
    until(|| {
        outcome = finish(&mut *context, &values);
        outcome.is_err()
    });
    let error = outcome.unwrap_err();
    assert!(matches!(error, BackendError::Lost { .. }), "{error}");
    drop((context, executable, device));
    assert_eq!(stub::calls_after_fatal(), 0, "{told}");
}

/// A pipeline whose two contexts have one each takes a new model with rows on their way.
#[test]
fn a_model_is_replaced_under_load() {
    if stub::alone("persistent::a_model_is_replaced_under_load", &[""], &stub::CLOCK_STANDS)
        .is_none()
    {
        return;
    }
    let config = PipelineConfig {
        capacity: 64,
        max_rows: 32,
        batch_timeout: Duration::from_secs(20),
        ..PipelineConfig::default()
    };
    let mut opened = PipelineOptions { config, ..PipelineOptions::default() };
    opened.device = options(0);
    let models = [narrow(7), narrow(8)];
    let values = Random(9).values(30);
    let expected = models.each_ref().map(|model| oracle(model, Rows::F32(&values)));
    let pipeline = Pipeline::open(&models[0], &opened).unwrap();
    until(|| {
        let reply = pipeline.submit_many(&values[..]).unwrap().wait().unwrap();
        reply.rows().all(|row| row.backend() == BackendKind::Cuda)
    });
    for round in 1..12 {
        std::thread::scope(|scope| {
            let swap = scope.spawn(|| pipeline.swap(&models[round % 2]));
            while !swap.is_finished() {
                let reply = pipeline.submit_many(&values[..]).unwrap().wait().unwrap();
                let row = reply.rows().next().unwrap();
                let is_of = |scores: &Vec<f64>| {
                    let pairs = row.scores().iter().zip(scores);
                    pairs.into_iter().all(|(got, want)| (f64::from(*got) - want).abs() < 1e-4)
                };
                assert!(expected.iter().any(is_of), "{:?}", row.scores());
            }
            swap.join().unwrap().unwrap();
        });
    }
    assert_eq!(pipeline.health(), Health::Ready);
    assert!(pipeline.shutdown(Duration::from_secs(20)).drained);
    until(|| stub::residents() == 0);
}

#[test]
fn no_other_backend_has_one() {
    for backend in [BackendKind::Cpu, BackendKind::Wgpu] {
        let mut options = OpenOptions::default();
        (options.backend, options.persistent) = (backend, true);
        let error = open_with(&options).map(|_| ()).unwrap_err();
        assert!(matches!(error, BackendError::Unavailable { .. }));
        assert!(error.to_string().contains("a kernel that stays"), "{error}");
    }
}
