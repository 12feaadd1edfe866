//! Bugs planted in the kernels: each of them has to be seen.

use std::fs;
use std::path::Path;

use fusewire::backend::cpu::oracle;
use fusewire::{Activation, InputType, PlanOptions, Precision, Rows};

use crate::common::{self, Batch, Random};
use crate::devices::{load, open, soon};
use crate::kernels::Kernels;
use crate::persistent;
use crate::stub;

/// A file, a piece of it, and what stands there instead.
const MUTANTS: [(&str, &str, &str); 19] = [
    // Rows are read before they are there.
    ("fused_mlp.cu", "wait_for_step(stage.depth);", ""),
    ("fused_mlp.cu", "wait_for_phase(barriers +", "(void)(barriers +"),
    ("dense.cu", "wait_for_copies<1>();", ""),
    // Some threads are ahead of the others.
    ("fused_mlp.cu", "(stage.depth);\n        __syncwarp();", "(stage.depth);"),
    ("dense.cu", "is written again.\n            __syncthreads();", "\n"),
    ("block.cuh", "leave(sums);\n                __syncthreads();", "leave(sums);"),
    ("few_rows.cu", "from = on_chip.rows;\n        __syncthreads();", "from = on_chip.rows;"),
    // The ends of batches and rows.
    ("rows.cuh", "min(span.row + row, span.count - 1)", "span.row + row"),
    ("epilogue.cuh", "to < count && at < width", "at < width"),
    ("product.cuh", "at + i < end ? of_low[i] : 0.0f", "of_low[i]"),
    ("block.cuh", "of < count && output < stage().width", "output < stage().width"),
    // A kernel that stays takes half a letter for a whole one, tells of scores that are not there,
    // or stays where it is not wanted.
    ("mail.cuh", " && words[0] >> 48 == (number & 0xffff)", ""),
    ("persistent.cu", "here.run(letter);\n        __syncthreads();", "here.run(letter);"),
    ("mail.cuh", "stop_now != terms.stop", "false"),
    // Too few of the bits of a split number.
    (
        "product.cuh",
        "if (!IS_EXACT) {\n                multiply",
        "if (false) {\n                multiply",
    ),
    // Halves that are swapped, lost, or read past a row's end.
    (
        "product.cuh",
        "x[1] = widen(Row{(unsigned short)(four.x >> 16)",
        "x[1] = widen(Row{(unsigned short)(four.y >> 16)",
    ),
    ("product.cuh", "this->pairs[1] = b.x;", "this->pairs[1] = b.y;"),
    ("product.cuh", "at < end ? four.x & 0xffff : 0", "0"),
    ("block.cuh", "return widen(x);", "return (float)x.bits;"),
];

const TEST: &str = "mutants::every_planted_bug_is_seen";

#[test]
fn every_planted_bug_is_seen() {
    if stub::told().is_some() {
        return check();
    }
    if !stub::is_there() {
        return;
    }
    let sound = stub::folder();
    assert!(stub::passes_with_library(TEST, "sound", &sound), "the kernels as they are");
    for (number, (file, line, instead)) in MUTANTS.into_iter().enumerate() {
        let name = format!("cuda_on_cpu-mutant-{number}");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name).join("kernels");
        plant(file, line, instead, &folder);
        let mutant = Kernels { folder, mutant: Some((file, sound.clone())) };
        let Some(built) = stub::build_as(&name, &[], &mutant) else { return };
        let passes = stub::passes_with_library(TEST, &name, &built);
        assert!(!passes, "nobody sees {instead:?} instead of {line:?} in {file}");
    }
}

/// Copies the kernels, all but one line.
fn plant(file: &str, line: &str, instead: &str, folder: &Path) {
    fs::create_dir_all(folder).expect("the folder for temporary files is writable");
    for entry in fs::read_dir(Kernels::sound().folder).expect("the kernels are there") {
        let path = entry.expect("a file of it").path();
        let name = path.file_name().expect("it has a name").to_owned();
        if path.is_dir() {
            continue;
        }
        let mut text = fs::read_to_string(&path).expect("a text");
        if name == file {
            assert!(text.contains(line), "{file} has no {line:?} any more");
            text = text.replacen(line, instead, 1);
        }
        fs::write(folder.join(name), text).expect("a file of our own");
    }
}

/// Networks that every kernel has a part in, with ends of every kind, against the oracle.
fn check() {
    let networks: [(&[usize], InputType); 6] = [
        (&[200, 32, 20, 10], InputType::F32),
        (&[17, 5, 1], InputType::F32),
        (&[500, 300, 3], InputType::F32),
        (&[31, 128, 7], InputType::U8),
        (&[45, 20, 10], InputType::F16),
        (&[47, 200], InputType::Bf16),
    ];
    let mut random = Random(3);
    for number in 0..3 {
        let device = open(number).expect("the stub has it");
        for (widths, input) in networks {
            let model = common::model(&mut random, widths, || Activation::Sigmoid);
            // Rows of halves meet weights of their own type.
            let reduced = match input {
                InputType::Bf16 => Precision::Bf16,
                _ => Precision::F16,
            };
            for (precision, rows) in [(Precision::F32, 3), (Precision::F32, 75), (reduced, 75)] {
                let options = PlanOptions { input, precision, ..PlanOptions::default() };
                let batch = Batch::random(input, rows * widths[0], &mut random);
                let batch = batch.rows();
                let mut scores = vec![f32::NAN; rows * model.classes()];
                load(&*device, &model, &options).run(batch, &mut scores).expect("it runs");
                for (got, want) in scores.iter().zip(oracle(&model, batch)) {
                    let error = (f64::from(*got) - want).abs();
                    let most =
                        if precision == Precision::F32 { 1e-5 } else { precision.tolerance() };
                    assert!(error <= most, "{widths:?}, {rows} rows, {precision:?}: {got}, {want}");
                }
            }
        }
    }
    check_what_stays(&mut random);
}

/// Batch after batch of one kernel, from one place and from another, with memory taken in between.
fn check_what_stays(random: &mut Random) {
    let device = persistent::open(0);
    let model = common::model(random, &[40, 30, 10], || Activation::Tanh);
    let executable = load(&*device, &model, &PlanOptions::default());
    let mut context = executable.create_context().expect("there is room for one");
    let place = 5 * 40;
    let block = device.alloc_host(2 * place * 4).expect("there is memory");
    for batch in 0..2000 {
        let values = random.values((1 + batch % 5) * 40);
        // SAFETY: there is room for five rows at each place, and no batch is in flight.
        let rows = unsafe {
            let to = block.as_ptr().cast::<f32>().add(batch % 2 * place);
            to.copy_from(values.as_ptr(), values.len());
            std::slice::from_raw_parts(to, values.len())
        };
        context.submit(Rows::F32(rows)).expect("it is taken");
        context.wait(soon()).expect("it runs");
        for (got, want) in context.scores().iter().zip(oracle(&model, Rows::F32(&values))) {
            assert!((f64::from(*got) - want).abs() < 1e-5, "batch {batch}: {got}, {want}");
        }
        if batch % 500 == 0 {
            device.alloc_host(1).expect("there is memory");
        }
    }
}
