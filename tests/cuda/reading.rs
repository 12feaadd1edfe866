//! Rows are read where they lie in the device's host blocks, and copied from everywhere else.

use fusewire::backend::{Executable, HostMemory};
use fusewire::{InputType, PlanOptions, Precision, Rows};

use crate::common::{self, Random};
use crate::devices::{load, model, open, soon};
use crate::stub;

/// Two copies of the same rows of 30 values: one in a block of the device, one that is not.
struct Twice {
    block: HostMemory,
    elsewhere: Vec<f32>,
}

impl Twice {
    fn new(executable: &dyn Executable, rows: usize) -> Twice {
        let elsewhere = Random(5).values(rows * 30);
        let block = executable.device().alloc_host(elsewhere.len() * 4).unwrap();
        let twice = Twice { block, elsewhere };
        twice.write(&twice.elsewhere);
        twice
    }

    fn write(&self, values: &[f32]) {
        // SAFETY: the block has room for as many values, and no reference into it is alive.
        unsafe { self.block.as_ptr().cast::<f32>().copy_from(values.as_ptr(), values.len()) };
    }

    fn in_block(&self) -> &[f32] {
        let start = self.block.as_ptr().cast::<f32>();
        // SAFETY: the values were written, and nobody writes while the slice is alive.
        unsafe { std::slice::from_raw_parts(start, self.elsewhere.len()) }
    }
}

/// Batches of few rows, which kernels read from the host's memory, and of many, which are copied.
#[test]
fn a_batch_may_lie_partly_in_a_block() {
    if stub::alone("reading::a_batch_may_lie_partly_in_a_block", &[""], &[]).is_none() {
        return;
    }
    // The first stage is a fused launch, or a dense one.
    for (device, widths) in [(0, &[30, 20, 20, 5][..]), (0, &[30, 300, 5]), (2, &[30, 20, 5])] {
        let model = common::model(&mut Random(6), widths, || fusewire::Activation::Tanh);
        let device = open(device).unwrap();
        let executable = load(&*device, &model, &PlanOptions::default());
        let mut context = executable.create_context().unwrap();
        for rows in [1, 4, 12, 16, 17, 60] {
            let twice = Twice::new(&*executable, rows);
            let (inside, outside) = (twice.in_block(), &twice.elsewhere[..]);
            let mut expected = vec![0.0; rows * 5];
            executable.run(Rows::F32(outside), &mut expected).unwrap();
            for middle in [0, 1, rows / 2, rows] {
                let cut = middle * 30;
                let ways = [
                    [&inside[..cut], &outside[cut..]],
                    [&outside[..cut], &inside[cut..]],
                    [&inside[..cut], &inside[cut..]],
                ];
                for pieces in ways {
                    let pieces: Vec<_> = pieces.iter().filter(|piece| !piece.is_empty()).collect();
                    let pieces: Vec<_> = pieces.into_iter().map(|piece| Rows::F32(piece)).collect();
                    context.submit_pieces(&pieces).unwrap();
                    context.wait(soon()).unwrap();
                    assert_eq!(context.scores(), expected, "{rows} rows, cut at {middle}");
                }
            }
            // Rows that begin on no boundary of 16 bytes, which kernels do not read in place.
            for first in 0..rows {
                context.submit(Rows::F32(&inside[first * 30..])).unwrap();
                context.wait(soon()).unwrap();
                // Of few rows, another kernel takes the sums in another order.
                let close = |(got, want): (&f32, &f32)| (got - want).abs() < 1e-5;
                let pairs = context.scores().iter().zip(&expected[first * 5..]);
                assert_eq!(context.scores().len(), (rows - first) * 5);
                assert!(pairs.clone().all(close), "from row {first}: {pairs:?}");
            }
        }
    }
}

/// What lies in a block is read while the batch is in flight; what does not, before.
#[test]
fn rows_in_a_block_are_not_copied_by_the_host() {
    if stub::alone("reading::rows_in_a_block_are_not_copied_by_the_host", &[""], &[]).is_none() {
        return;
    }
    let device = open(0).unwrap();
    let executable = load(&*device, &model(), &PlanOptions::default());
    let fused = common::model(&mut Random(6), &[30, 20, 5], || fusewire::Activation::Tanh);
    let fused = load(&*device, &fused, &PlanOptions::default());
    for (executable, rows) in [(&executable, 1), (&executable, 50), (&fused, 1), (&fused, 50)] {
        let mut context = executable.create_context().unwrap();
        let mut twice = Twice::new(&**executable, rows);
        let score = |values: &[f32]| {
            let mut scores = vec![0.0; rows * 5];
            executable.run(Rows::F32(values), &mut scores).unwrap();
            scores
        };
        let changed: Vec<f32> = twice.elsewhere.iter().map(|value| 0.5 - value).collect();
        let (before, after) = (score(&twice.elsewhere), score(&changed));
        assert_ne!(before, after);
        stub::hang(true);
        context.submit(Rows::F32(twice.in_block())).unwrap();
        twice.write(&changed);
        stub::hang(false);
        context.wait(soon()).unwrap();
        assert_eq!(context.scores(), after, "{rows} rows in the block");
        stub::hang(true);
        context.submit(Rows::F32(&twice.elsewhere)).unwrap();
        twice.elsewhere.copy_from_slice(&changed);
        stub::hang(false);
        context.wait(soon()).unwrap();
        assert_eq!(context.scores(), before, "{rows} rows elsewhere");
    }
}

/// The stub ends the process where a batch reads memory that was given back.
#[test]
fn a_block_outlives_the_batches_that_read_it() {
    if stub::alone("reading::a_block_outlives_the_batches_that_read_it", &[""], &[]).is_none() {
        return;
    }
    let device = open(0).unwrap();
    let executable = load(&*device, &model(), &PlanOptions::default());
    for rows in [1, 50] {
        let mut context = executable.create_context().unwrap();
        let twice = Twice::new(&*executable, rows);
        let live = stub::live();
        stub::hang(true);
        context.submit(Rows::F32(twice.in_block())).unwrap();
        drop(twice);
        assert_eq!(stub::live(), live, "still being read");
        stub::hang(false);
        context.wait(soon()).unwrap();
        assert_eq!(stub::live(), live - 1, "given back with the batch");
        // Dropped with a batch in flight, a context waits for it.
        let twice = Twice::new(&*executable, rows);
        context.submit(Rows::F32(twice.in_block())).unwrap();
        drop((twice, context));
    }
    drop((executable, device));
    assert_eq!(stub::live(), 0);
}

/// The smallest batches take three calls of the driver and no copy; larger ones one copy each way.
#[test]
fn a_batch_takes_few_calls() {
    if stub::alone("reading::a_batch_takes_few_calls", &[""], &[]).is_none() {
        return;
    }
    let device = open(0).unwrap();
    let model = common::model(&mut Random(6), &[30, 20, 5], || fusewire::Activation::Tanh);
    let options =
        PlanOptions { input: InputType::U8, precision: Precision::F16, ..PlanOptions::default() };
    let executable = load(&*device, &model, &options);
    let mut context = executable.create_context().unwrap();
    let bytes = Random(7).bytes(17 * 30);
    for (rows, copies) in [(1, 0), (16, 0), (17, 1)] {
        let counted = ["cuMemcpyHtoDAsync", "cuMemcpyDtoHAsync", "cuLaunchKernel", "cuEventRecord"];
        let before = counted.map(stub::calls);
        context.submit(Rows::U8(&bytes[..rows * 30])).unwrap();
        context.wait(soon()).unwrap();
        let after = counted.map(stub::calls);
        let calls: Vec<u32> =
            after.iter().zip(before).map(|(after, before)| after - before).collect();
        assert_eq!(calls, [copies, copies, 1, 1], "{rows} rows");
    }
}
