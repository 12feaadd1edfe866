//! Loading: the classifier of the papers from ONNX, and 100 MB of safetensors beside a floor, which
//! maps the same file and reads every number of it once. Loading copies the file, with all
//! processors up to four, and looks at every number of the copy.
//!
//! Files are in the system's cache. Not measured: reading from a disk, packing.

use std::fs::File;
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fusewire::{Activation, Dense, Model};
use memmap2::Mmap;

const PAPER: [usize; 6] = [784, 32, 32, 32, 32, 10];
/// 25 million weights: 100 MB.
const LARGE: [usize; 6] = [2500, 2500, 2500, 2500, 2500, 10];

fn loading(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a folder for files");
    let onnx = directory.path().join("paper.onnx");
    let large = directory.path().join("large.safetensors");
    model(&PAPER).save_onnx(&onnx).expect("the folder is writable");
    model(&LARGE).save(&large).expect("the folder is writable");

    let mut group = criterion.benchmark_group("loading");
    group.bench_function("onnx/paper", |bencher| {
        bencher.iter(|| black_box(Model::load(&onnx).expect("a sound file")));
    });
    let bytes = large.metadata().expect("the file is there").len();
    group.throughput(Throughput::Bytes(bytes));
    group.bench_function("safetensors/100 MB", |bencher| {
        bencher.iter(|| black_box(Model::load(&large).expect("a sound file")));
    });
    group.bench_function("floor/100 MB", |bencher| {
        bencher.iter(|| black_box(largest_word(&large)));
    });
}

/// Maps the file and reads it once.
fn largest_word(path: &Path) -> u32 {
    let file = File::open(path).expect("the file is there");
    // SAFETY: nobody writes to the file while the benchmark runs.
    let map = unsafe { Mmap::map(&file) }.expect("the file can be mapped");
    let words = map.as_chunks().0;
    words.iter().map(|word| u32::from_le_bytes(*word)).fold(0, u32::max)
}

/// Weights that differ, all finite.
fn model(widths: &[usize]) -> Model {
    let layer = |pair: &[usize]| {
        let weight = (0..pair[0] * pair[1]).map(|i| (i % 1013) as f32 / 1013.0 - 0.5).collect();
        let bias = Some(vec![0.25; pair[1]]);
        Dense::new(pair[0], pair[1], weight, bias, Activation::Relu).expect("a sound layer")
    };
    Model::from_layers(widths.windows(2).map(layer).collect()).expect("widths chain")
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(3));
    targets = loading
}
criterion_main!(benches);
