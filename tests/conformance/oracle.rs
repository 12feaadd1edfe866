//! Random networks and batches on every backend against the scalar oracle.

use std::collections::BTreeMap;

use fusewire::backend::cpu::oracle;
use fusewire::backend::{Device, arg_max};
use fusewire::model::PerInput;
use fusewire::{Activation, Head, InputTransform, InputType, Model, PlanOptions, Precision, Rows};

use crate::common::{self, Batch, Random};
use crate::devices::{devices, load, work_max};

const BATCHES: [usize; 10] = [1, 2, 3, 7, 16, 33, 64, 100, 1000, 4096];
const CASES: u64 = 120;

/// One network, one batch, one way to run it.
struct Case {
    model: Model,
    options: PlanOptions,
    rows: usize,
    batch: Batch,
}

impl Case {
    /// The case of a seed: every activation, head and batch size comes up within a few dozen seeds.
    fn new(seed: u64, work_max: usize, has_int8: bool) -> Case {
        let mut random = Random(seed);
        let layers = 1 + random.below(12);
        let widest = if random.below(2) == 0 { 3000 } else { 200 };
        let mut widths: Vec<usize> = (0..=layers).map(|_| random.width(widest)).collect();
        while work(&widths) > work_max {
            let largest = (0..widths.len()).max_by_key(|index| widths[*index]).unwrap_or(0);
            widths[largest] = widths[largest].div_ceil(2);
        }
        let mut next = seed as usize;
        let mut model = common::model(&mut random, &widths, || {
            next += 1;
            Activation::ALL[next % Activation::ALL.len()]
        });
        let heads = [Head::Logits, Head::Softmax, Head::LogSoftmax];
        model = model.with_head(heads[random.below(3)]);
        if random.below(3) == 0 {
            model = with_random_transform(model, &mut random);
        }
        let fitting = BATCHES.into_iter().filter(|rows| rows * work(&widths) <= work_max);
        let fitting: Vec<usize> = fitting.collect();
        let rows = fitting[seed as usize % fitting.len()];
        let input = InputType::ALL[random.below(4)];
        let precisions = [Precision::F32, Precision::F32, Precision::F16, Precision::Bf16];
        let precision = match has_int8 && seed.is_multiple_of(4) {
            true => Precision::Int8,
            false => precisions[random.below(4)],
        };
        let options = PlanOptions { input, precision, rows_max: 4096 };
        let batch = Batch::random(input, rows * widths[0], &mut random);
        Case { model, options, rows, batch }
    }

    fn rows(&self) -> Rows<'_> {
        self.batch.rows()
    }

    fn describe(&self) -> String {
        let (head, options) = (self.model.head(), self.options);
        format!("{} {head:?}, {} rows, {options:?}", self.model.architecture(), self.rows)
    }

    /// Runs the case and returns the largest error over tolerance among the rows looked at: all of
    /// a small batch; of a large one the first, the last and some between.
    fn worst(&self, device: &dyn Device) -> f64 {
        let executable = load(device, &self.model, &self.options);
        let classes = self.model.classes();
        let mut scores = vec![f32::NAN; self.rows * classes];
        executable.run(self.rows(), &mut scores).expect("the batch runs");
        let step = (self.rows / 40).max(1);
        let looked_at = (0..self.rows).step_by(step).chain([self.rows - 1]);
        let tolerance = self.options.precision.tolerance();
        let error = |row: usize| {
            let want = oracle(&self.model, self.rows().slice(row..row + 1, self.model.inputs()));
            error_of(&scores[row * classes..][..classes], &want) / tolerance
        };
        looked_at.map(error).fold(0.0, f64::max)
    }
}

fn with_random_transform(model: Model, random: &mut Random) -> Model {
    let scale = PerInput::Each(random.values(model.inputs()));
    let offset = PerInput::Each(random.values(model.inputs()));
    let model = model.with_transform(InputTransform { scale, offset }).expect("a sound transform");
    // Random numbers say nothing of bytes.
    model.with_u8_scale(Model::U8_SCALE).expect("a sound scale")
}

fn work(widths: &[usize]) -> usize {
    widths.windows(2).map(|pair| pair[0] * pair[1]).sum()
}

/// The largest difference as a share of the row's largest score or of 1; infinite for a NaN.
fn error_of(got: &[f32], want: &[f64]) -> f64 {
    let largest = want.iter().fold(1.0_f64, |most, score| most.max(score.abs()));
    let errors = got.iter().zip(want).map(|(got, want)| (f64::from(*got) - want).abs() / largest);
    errors.fold(0.0, |most, error| if error.is_nan() { f64::INFINITY } else { error.max(most) })
}

#[test]
fn random_networks_agree_with_the_oracle() {
    for (name, device) in devices() {
        let mut worst = BTreeMap::new();
        for seed in 0..CASES {
            let case = Case::new(seed, work_max(&*device), common::has_int8(&*device));
            let error = case.worst(&*device);
            assert!(error <= 1.0, "{name}, seed {seed}: {error} x tolerance: {}", case.describe());
            let types = (case.options.input.name(), case.options.precision.name());
            let known = worst.entry(types).or_insert(0.0);
            *known = error.max(*known);
        }
        println!("{name}: {CASES} networks, worst errors as shares of the tolerance: {worst:.4?}");
    }
}

/// Odd widths and even ones, few rows and many, fused layers and a wide one, in all types.
#[test]
fn rows_of_every_type_meet_weights_of_every_type() {
    let mut random = Random(17);
    for (name, device) in devices() {
        let precisions = common::precisions(&*device);
        for (index, inputs) in [1, 3, 7, 45, 10, 48, 2, 100].into_iter().enumerate() {
            let rows = if index & 1 == 0 { 3 } else { 35 };
            let widths = if index & 2 == 0 { vec![inputs, 20, 5] } else { vec![inputs, 200] };
            let model = common::model(&mut random, &widths, || Activation::Tanh);
            for (input, precision) in
                InputType::ALL.iter().flat_map(|i| precisions.iter().map(|p| (*i, *p)))
            {
                let options = PlanOptions { input, precision, ..PlanOptions::default() };
                let batch = Batch::random(input, rows * inputs, &mut random);
                let case = Case { model: model.clone(), options, rows, batch };
                let error = case.worst(&*device);
                assert!(error <= 1.0, "{name}: {error} x tolerance: {}", case.describe());
            }
        }
    }
}

/// The batch sizes of the contract on the paper's architecture, each row checked by its class.
#[test]
fn every_batch_size_gives_every_row_its_own_answer() {
    let widths = [784, 32, 32, 32, 32, 10];
    let mut random = Random(7);
    let model = common::model(&mut random, &widths, || Activation::Relu);
    let values = random.values(4096 * 784);
    let want = oracle(&model, Rows::F32(&values[..100 * 784]));
    for (name, device) in devices() {
        let executable = load(&*device, &model, &PlanOptions::default());
        let most = work_max(&*device) / work(&widths);
        for rows in BATCHES.into_iter().filter(|rows| *rows <= most) {
            let mut scores = vec![f32::NAN; rows * 10];
            executable.run(Rows::F32(&values[..rows * 784]), &mut scores).expect("the batch runs");
            for (row, got) in scores.chunks_exact(10).enumerate().take(100) {
                let error = error_of(got, &want[row * 10..][..10]);
                assert!(error < 1e-4, "{name}, row {row} of {rows}: off by {error}");
            }
            assert!(scores.iter().all(|score| score.is_finite()), "{name}: {rows} rows");
        }
    }
}

/// The class, too, is the oracle's, unless its two largest scores are closer than the tolerance.
#[test]
fn classes_agree_with_the_oracle() {
    let mut random = Random(11);
    let model = common::model(&mut random, &[100, 50, 20], || Activation::Tanh);
    let values = random.values(200 * 100);
    let want = oracle(&model, Rows::F32(&values));
    for (name, device) in devices() {
        let executable = load(&*device, &model, &PlanOptions::default());
        let mut scores = vec![0.0; 200 * 20];
        executable.run(Rows::F32(&values), &mut scores).expect("the batch runs");
        for (got, want) in scores.chunks_exact(20).zip(want.chunks_exact(20)) {
            let class = arg_max(got);
            let best = want.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            assert!(want[class] >= best - 1e-4, "{name}: class {class} of {want:?}");
        }
    }
}
