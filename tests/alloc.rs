//! After the first calls, nothing is allocated on the processor backend, nor on the device that
//! computes nothing: not by `run`, not by a context, and by no request to a pipeline. One test in a
//! program of its own, because the counter sees every thread.

#![allow(unsafe_code)]

#[path = "common/mod.rs"]
mod common;
#[path = "common/counting.rs"]
mod counting;

use std::hint::black_box;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use common::{Batch, Random};
use counting::allocations;
use fusewire::backend::null::NullDevice;
use fusewire::backend::{Device, Executable, cpu};
use fusewire::pipeline::Waiting;
use fusewire::{
    Activation, Head, InputType, Model, Pipeline, PipelineConfig, Plan, PlanOptions, Precision,
    Reply, Rows, SubmitOptions,
};

fn check(executable: &dyn Executable, rows: Rows<'_>, what: &str) {
    let plan = executable.plan();
    let mut scores = vec![0.0; 1000 * plan.classes()];
    let mut context = executable.create_context().expect("memory is there");
    let mut call = |batch: usize| {
        let rows = rows.slice(0..batch, plan.inputs());
        executable.run(rows, &mut scores[..batch * plan.classes()]).expect("rows as planned");
        context.submit(rows).expect("rows as planned");
        context.wait(Instant::now()).expect("the batch is complete");
        let middle = batch.div_ceil(2);
        let halves =
            [rows.slice(0..middle, plan.inputs()), rows.slice(middle..batch, plan.inputs())];
        let pieces = if batch == 1 { &halves[..1] } else { &halves };
        context.submit_pieces(pieces).expect("rows as planned");
        context.wait(Instant::now()).expect("the batch is complete");
    };
    call(1000);
    for batch in [1, 7, 64, 1000] {
        assert_eq!(allocations(|| call(batch)), 0, "{what}, batch of {batch}");
    }
}

/// Polls a future until it is ready, telling nobody.
fn poll<F: Future>(mut future: Pin<&mut F>) -> F::Output {
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::yield_now(),
        }
    }
}

/// A way of asking a pipeline about the rows.
type Way = fn(&Pipeline, &[f32]) -> Reply;

/// Every one, with its name. `rows` has ten.
const WAYS: [(&str, Way); 5] = [
    ("submit", |pipeline, rows| {
        let row = &rows[..pipeline.inputs()];
        pipeline.submit(row).expect("room").wait().expect("an answer")
    }),
    ("submit_many", |pipeline, rows| {
        pipeline.submit_many(rows).expect("room").wait().expect("an answer")
    }),
    ("submit_blocking", |pipeline, rows| {
        let soon = SubmitOptions::deadline(Instant::now() + Duration::from_secs(60));
        let row = &rows[..pipeline.inputs()];
        pipeline.submit_blocking(row, &soon).expect("room").wait().expect("an answer")
    }),
    ("reserve", |pipeline, rows| {
        let mut guard = pipeline.reserve::<f32>().expect("room");
        let inputs = guard.len();
        guard.copy_from_slice(&rows[..inputs]);
        guard.commit().expect("numbers").wait().expect("an answer")
    }),
    ("submit_async", |pipeline, rows| {
        let row = &rows[..pipeline.inputs()];
        let options = SubmitOptions::default();
        let ticket = poll(pin!(pipeline.submit_async(row, &options))).expect("room");
        poll(pin!(ticket)).expect("an answer")
    }),
];

/// Whatever thread it is on, nothing is allocated for a request.
fn check_pipeline(device: &dyn Device, model: &Model, waiting: Waiting, rows: &[f32]) {
    let plan = Plan::new(model, device.limits(), &PlanOptions::default()).expect("a plan");
    let config =
        PipelineConfig { capacity: 32, max_rows: 8, workers: 2, waiting, ..<_>::default() };
    let loaded = device.load(plan).expect("memory is there");
    let pipeline = Pipeline::start(loaded, config).expect("the device is sound");
    let ask = |way: Way| {
        for _ in 0..400 {
            let reply = way(&pipeline, rows);
            black_box((reply.class(), reply.rows().map(|row| row.scores().len()).sum::<usize>()));
        }
    };
    WAYS.iter().for_each(|(_, way)| ask(*way));
    // Longer than it takes the watchdog to look once, and to lie down.
    thread::sleep(Duration::from_millis(300));
    for (name, way) in WAYS {
        let count = allocations(|| {
            ask(way);
            thread::sleep(Duration::from_millis(30));
            ask(way);
        });
        assert_eq!(count, 0, "{name} on {} with {waiting:?}", device.info().name);
    }
}

fn pipelines_allocate_nothing_for_a_request() {
    let mut random = Random(2);
    let model = common::model(&mut random, &[64, 32, 10], || Activation::Relu);
    let rows = random.values(10 * 64);
    let processor = cpu::open();
    let null = NullDevice::new(*processor.limits());
    for waiting in [Waiting::PARKING, Waiting { spin: Duration::from_micros(5), yields: 5 }] {
        check_pipeline(&*processor, &model, waiting, &rows);
        check_pipeline(&null, &model, waiting, &rows);
    }
}

#[test]
fn calls_after_the_first_allocate_nothing() {
    assert!(allocations(|| drop(black_box(Box::new(1)))) >= 1, "the counter counts");
    let mut random = Random(1);
    for widths in [&[784, 32, 32, 32, 32, 10][..], &[256, 700, 20, 20, 9]] {
        let model = common::model(&mut random, widths, || Activation::Gelu);
        let model = model.with_head(Head::Softmax);
        let batch = |input| Batch::random(input, 1000 * widths[0], &mut random);
        let batches = InputType::ALL.map(batch);
        let open = |level| cpu::open_level(level).expect("the level is there");
        let mut devices: Vec<Arc<dyn Device>> = cpu::levels().into_iter().map(open).collect();
        devices.push(Arc::new(NullDevice::new(*devices[0].limits())));
        for (index, device) in devices.into_iter().enumerate() {
            // What walks through layers is the same at every level, and the first is the fastest.
            let precisions = if index == 0 { &Precision::ALL[..] } else { &[Precision::F32] };
            let each = |batch| precisions.iter().map(move |by| (Batch::rows(batch), *by));
            for (rows, precision) in batches.iter().flat_map(each) {
                let input = rows.input();
                let options = PlanOptions { input, precision, ..PlanOptions::default() };
                let plan = Plan::new(&model, device.limits(), &options).expect("a plan");
                let executable = device.load(plan).expect("memory is there");
                let (detail, by) = (&device.info().detail, precision.name());
                check(&*executable, rows, &format!("{detail}, {} by {by}", input.name()));
            }
        }
    }
    pipelines_allocate_nothing_for_a_request();
}
