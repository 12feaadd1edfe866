//! Times fusewire beside ONNX Runtime's C API: the same model, the same rows, one thread each,
//! interleaved call by call in one process, so that both see the same clock.
//!
//! `ort-peer MODEL.onnx [MODEL]`: the first for ONNX Runtime, with a free batch dimension; the
//! second, by default the same file, for fusewire. `ORT_DYLIB_PATH` names the library.

mod measure;
mod peers;

use std::env;

use anyhow::{Context, Result, ensure};
use fusewire::{InputType, Model, Precision};

use measure::{Times, interleaved};
use peers::{Fusewire, OnnxRuntime};

const BATCHES: [usize; 5] = [1, 10, 100, 1000, 4096];
/// Rows that the inputs of all rounds hold together: no batch is read from the nearest cache only
/// because it was just used.
const ROWS: usize = 8192;

fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let onnx = arguments.next().context("usage: ort-peer MODEL.onnx [MODEL]")?;
    let model = Model::load(arguments.next().unwrap_or_else(|| onnx.clone()))?;
    let mut ort = OnnxRuntime::open(&onnx)?;
    let floats = Fusewire::load(&model, InputType::F32, Precision::F32)?;
    let bytes = Fusewire::load(&model, InputType::U8, Precision::F32)?;
    let halves = Fusewire::load(&model, InputType::F32, Precision::F16)?;

    let images = random_bytes(ROWS * model.inputs());
    let pixels: Vec<f32> = images.iter().map(|byte| f32::from(*byte) * model.u8_scale()).collect();
    println!("{} on {}", model.architecture(), floats.device());
    if let Some((gigaflops, read_us)) = floats.ceilings() {
        println!("at most {gigaflops:.0} GFLOP/s; reading the parameters takes {read_us:.2} us");
    }
    println!("one thread; us a call; x: times faster than onnxruntime, best and p50");
    println!("batch  peer              best       p50       p99    best     p50  GFLOP/s");
    for batch in BATCHES {
        let scores = batch * model.classes();
        let [mut theirs, mut ours, mut ours_u8, mut ours_f16] = [(); 4].map(|()| vec![0.0; scores]);
        let mut calls: [&mut dyn FnMut(usize) -> Result<()>; 4] = [
            &mut |at| ort.run(window(&pixels, at, batch, model.inputs()), batch, &mut theirs),
            &mut |at| floats.run(window(&pixels, at, batch, model.inputs()), &mut ours),
            &mut |at| bytes.run(window(&images, at, batch, model.inputs()), &mut ours_u8),
            &mut |at| halves.run(window(&pixels, at, batch, model.inputs()), &mut ours_f16),
        ];
        let times = interleaved(&mut calls, batch)?;
        check(&theirs, &ours, Precision::F32, "f32 rows")?;
        check(&theirs, &ours_u8, Precision::F32, "u8 rows")?;
        check(&theirs, &ours_f16, Precision::F16, "f16 weights")?;
        report(&model, batch, &times);
    }
    Ok(())
}

/// Batch number `at` of `batch` rows, wrapping around at the end of all rows.
fn window<T>(rows: &[T], at: usize, batch: usize, inputs: usize) -> &[T] {
    let start = at % (ROWS / batch) * batch;
    &rows[start * inputs..(start + batch) * inputs]
}

/// Both saw the same rows last, and have to agree on them.
fn check(theirs: &[f32], ours: &[f32], precision: Precision, what: &str) -> Result<()> {
    let largest = theirs.iter().fold(1.0_f32, |most, score| most.max(score.abs()));
    for (theirs, ours) in theirs.iter().zip(ours) {
        let off = (theirs - ours).abs() / largest;
        ensure!(
            f64::from(off) <= precision.tolerance(),
            "{what}: onnxruntime says {theirs}, fusewire {ours}"
        );
    }
    Ok(())
}

/// A line for each peer, ONNX Runtime first.
fn report(model: &Model, batch: usize, times: &[Times; 4]) {
    let weights: usize = model.layers().iter().map(|layer| layer.weight().len()).sum();
    let gigaflop = 2.0 * (weights * batch) as f64 / 1e9;
    let reference = &times[0];
    let names = ["onnxruntime", "fusewire", "fusewire u8", "fusewire f16"];
    for (name, times) in names.into_iter().zip(times) {
        println!(
            "{batch:>5}  {name:<12} {:>9.2} {:>9.2} {:>9.2}  {:>6.2}x {:>6.2}x  {:>7.1}",
            times.best_us,
            times.p50_us,
            times.p99_us,
            reference.best_us / times.best_us,
            reference.p50_us / times.p50_us,
            gigaflop / (times.p50_us / 1e6),
        );
    }
}

/// Bytes that look random and are the same every time (splitmix64).
fn random_bytes(count: usize) -> Vec<u8> {
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z >> 56) as u8
    };
    (0..count).map(|_| next()).collect()
}
