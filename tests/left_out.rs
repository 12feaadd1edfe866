//! A comparison of devices of which some have no kernels for what is asked: they are left out, with
//! the reason, and the others are compared.

use std::sync::Arc;
use std::time::Duration;

use fusewire::backend::cpu;
use fusewire::backend::fake::FakeDevice;
use fusewire::bench::compare::{Candidate, CompareOptions, compare};
use fusewire::bench::report::{Report, State};
use fusewire::{Activation, BackendKind, Dense, Model, PlanOptions, Precision};

fn compared(candidates: &[Candidate], precision: Precision) -> Report {
    let weight = (0..32).map(|at| at as f32 / 32.0).collect();
    let layer = Dense::new(8, 4, weight, None, Activation::Relu).expect("a sound layer");
    let model = Model::from_layers(vec![layer]).expect("a sound chain");
    let options = CompareOptions {
        plan: PlanOptions { precision, ..PlanOptions::default() },
        batches: vec![1, 4],
        rows_checked: 8,
        cell_time: Duration::from_millis(5),
        ..CompareOptions::default()
    };
    compare(&model, candidates, &options, &mut |_| {}).expect("the batches are sound")
}

fn card() -> Candidate {
    let limits = *cpu::open().limits();
    Candidate::device(Arc::new(FakeDevice::named(BackendKind::Wgpu, "a card", limits)))
}

#[test]
fn a_card_is_left_out_of_int8_and_the_processor_measured() {
    let both = [card(), Candidate::device(cpu::open())];
    let report = compared(&both, Precision::Int8);
    let states: Vec<_> = report.devices.iter().map(|it| (it.backend, it.state)).collect();
    assert_eq!(states, [("wgpu", State::LeftOut), ("cpu", State::Found)]);
    let reason = report.devices[0].reason.as_deref().expect("a reason");
    assert!(reason.contains("a card") && reason.contains("int8"), "{reason}");
    assert_eq!(report.results.len(), 2);
    assert!(report.results.iter().all(|cell| cell.backend == "cpu"), "{:?}", report.results);
}

#[test]
fn who_takes_part_is_decided_by_the_precision() {
    let both = [card(), Candidate::device(cpu::open())];
    let report = compared(&both, Precision::Bf16);
    assert!(report.devices.iter().all(|it| it.state == State::Found), "{:?}", report.devices);
    assert_eq!(report.results.len(), 4);
}

/// Where it is the only device there is nothing to be left out of.
#[test]
fn a_card_alone_has_failed() {
    let report = compared(&[card()], Precision::Int8);
    assert_eq!((report.devices[0].state, report.results.len()), (State::Failed, 0));
}
