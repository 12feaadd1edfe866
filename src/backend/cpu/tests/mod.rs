//! Every level that this processor has, against the oracle.

mod activations;
mod batches;
mod int8;
mod networks;
mod pairs;
mod subnormal;

use std::sync::Arc;

use super::blocks::{PLAIN_INTS, PLAIN_PAIRS};
use super::dots::Dots;
use super::kernels::Kernels;
use super::portable::Portable;
#[cfg(target_arch = "x86_64")]
use super::x86_64::without_vnni;
use super::{CpuDevice, Level, levels, open_level, oracle};
use crate::backend::{Device, Executable, Rows};
use crate::model::{Activation, Dense, Model};
use crate::plan::{InputType, Plan, PlanOptions, Precision};

/// Numbers that look random and are the same every time (splitmix64).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(super) fn between(&mut self, low: usize, high: usize) -> usize {
        low + (self.next() % (high - low + 1) as u64) as usize
    }

    /// From -1 to 1.
    pub(super) fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    pub(super) fn units(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.unit()).collect()
    }
}

/// A number, or 0 with its sign where it is subnormal.
pub(super) fn flushed(x: f32) -> f32 {
    if x.is_subnormal() { 0.0_f32.copysign(x) } else { x }
}

/// A network whose sums stay near 1: weights shrink with the width they read.
pub(super) fn network(random: &mut Random, widths: &[usize], activation: Activation) -> Model {
    let layer = |pair: &[usize]| {
        let reach = (3.0 / pair[0] as f32).sqrt();
        let weight = random.units(pair[0] * pair[1]).iter().map(|w| w * reach).collect();
        let bias = Some(random.units(pair[1]));
        Dense::new(pair[0], pair[1], weight, bias, activation).unwrap()
    };
    Model::from_layers(widths.windows(2).map(layer).collect()).unwrap()
}

/// The portable level with units that multiply blocks, in plain Rust: what is built on such is
/// tested wherever the tests run.
pub(super) fn stand_in() -> Kernels {
    let dots = Dots::plain().with_blocks(Some(PLAIN_INTS));
    let kernels = Kernels::new::<Portable<16>>(dots);
    kernels.with_pairs::<Portable<16>, Portable<16>>().with_blocks(Some(PLAIN_PAIRS))
}

#[cfg(not(target_arch = "x86_64"))]
fn without_vnni() -> Option<Kernels> {
    None
}

/// A device of each level, one with the stand-in for units that multiply blocks, and one that has
/// less than this processor.
pub(super) fn devices() -> Vec<Arc<dyn Device>> {
    let own = levels().into_iter().map(|level| open_level(level).unwrap());
    let more = [(Level::Portable, Some(stand_in())), (Level::Avx2, without_vnni())];
    let more = more.into_iter().filter_map(|(level, kernels)| Some((level, kernels?)));
    let more = more
        .map(|(level, kernels)| -> Arc<dyn Device> { Arc::new(CpuDevice::new(level, kernels)) });
    own.chain(more).collect()
}

pub(super) fn load(
    device: &dyn Device,
    model: &Model,
    options: &PlanOptions,
) -> Arc<dyn Executable> {
    device.load(Plan::new(model, device.limits(), options).unwrap()).unwrap()
}

pub(super) fn scores(executable: &dyn Executable, rows: Rows<'_>) -> Vec<f32> {
    let plan = executable.plan();
    // Poisoned, so that a score that is never written is seen.
    let mut scores = vec![f32::NAN; rows.values() / plan.inputs() * plan.classes()];
    executable.run(rows, &mut scores).unwrap();
    scores
}

/// Fails where a score is further from the oracle's than its precision allows.
pub(super) fn check(model: &Model, executable: &dyn Executable, rows: Rows<'_>) {
    let (got, expected) = (scores(executable, rows), oracle(model, rows));
    let classes = model.classes();
    let tolerance = executable.plan().precision().tolerance();
    for (row, (got, expected)) in
        got.chunks_exact(classes).zip(expected.chunks_exact(classes)).enumerate()
    {
        let largest = expected.iter().fold(1.0_f64, |most, score| most.max(score.abs()));
        for (class, (got, expected)) in got.iter().zip(expected).enumerate() {
            let off = (f64::from(*got) - expected).abs() / largest;
            assert!(
                off <= tolerance,
                "{}: row {row} class {class}: {got}, not {expected}",
                model.architecture()
            );
        }
    }
}

pub(super) fn options(input: InputType, precision: Precision) -> PlanOptions {
    PlanOptions { input, precision, ..PlanOptions::default() }
}
