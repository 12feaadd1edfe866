//! After the first calls, nothing is allocated on the processor backend, nor on the device that
//! computes nothing: not by `run`, not by a context. One test in a program of its own, because the
//! counter sees every thread.

#![allow(unsafe_code)]

#[path = "common/mod.rs"]
mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use common::Random;
use fusewire::backend::null::NullDevice;
use fusewire::backend::{Device, Executable, cpu};
use fusewire::{Activation, Head, InputType, Plan, PlanOptions, Rows};

/// The system's allocator, counting; written by every thread that allocates.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    // SAFETY: the caller keeps the promises of `GlobalAlloc::alloc`.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: the caller keeps the promises of `GlobalAlloc::realloc`.
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: passed on.
        unsafe { System.realloc(at, layout, size) }
    }

    // SAFETY: the caller keeps the promises of `GlobalAlloc::dealloc`.
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations(call: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    call();
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

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

#[test]
fn calls_after_the_first_allocate_nothing() {
    assert!(allocations(|| drop(black_box(Box::new(1)))) >= 1, "the counter counts");
    let mut random = Random(1);
    for widths in [&[784, 32, 32, 32, 32, 10][..], &[256, 700, 20, 20, 9]] {
        let model = common::model(&mut random, widths, || Activation::Gelu);
        let model = model.with_head(Head::Softmax);
        let floats = random.values(1000 * widths[0]);
        let bytes = random.bytes(1000 * widths[0]);
        let open = |level| cpu::open_level(level).expect("the level is there");
        let mut devices: Vec<Arc<dyn Device>> = cpu::levels().into_iter().map(open).collect();
        devices.push(Arc::new(NullDevice::new(*devices[0].limits())));
        for device in devices {
            for (input, rows) in
                [(InputType::F32, Rows::F32(&floats)), (InputType::U8, Rows::U8(&bytes))]
            {
                let options = PlanOptions { input, ..PlanOptions::default() };
                let plan = Plan::new(&model, device.limits(), &options).expect("a plan");
                let executable = device.load(plan).expect("memory is there");
                check(&*executable, rows, &format!("{} {}", device.info().detail, input.name()));
            }
        }
    }
}
