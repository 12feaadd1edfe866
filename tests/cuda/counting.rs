//! After the first batches, nothing is allocated for one. The counter sees every thread of Rust's,
//! so that the test has a process of its own.

use std::hint::black_box;

use fusewire::{PlanOptions, Rows};

use crate::allocator::allocations;
use crate::common::Random;
use crate::devices::{load, model, open, soon};
use crate::stub;

#[test]
fn a_batch_allocates_nothing() {
    if stub::alone("counting::a_batch_allocates_nothing", &[""], &[]).is_none() {
        return;
    }
    assert!(allocations(|| drop(black_box(Box::new(1)))) >= 1, "the counter counts");
    for number in [0, 2] {
        let device = open(number).unwrap();
        let options = PlanOptions { rows_max: 40, ..PlanOptions::default() };
        let executable = load(&*device, &model(), &options);
        let mut context = executable.create_context().unwrap();
        let values = Random(8).values(100 * 30);
        let rows = Rows::F32(&values);
        let mut scores = vec![0.0; 100 * 5];
        let mut call = |count: usize| {
            let batch = rows.slice(0..count.min(40), 30);
            context.submit(batch).unwrap();
            context.wait(soon()).unwrap();
            let halves = [rows.slice(0..1, 30), rows.slice(count - 1..count, 30)];
            context.submit_pieces(&halves).unwrap();
            while !context.is_complete().unwrap() {}
            // Past forty rows, two contexts by turns.
            executable.run(rows.slice(0..count, 30), &mut scores[..count * 5]).unwrap();
        };
        call(100);
        for count in [1, 7, 16, 17, 40, 100] {
            assert_eq!(allocations(|| call(count)), 0, "{count} rows on device {number}");
        }
    }
}
