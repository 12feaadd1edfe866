//! Slow is not lost.

use std::time::Duration;

use fusewire::backend::cpu;
use fusewire::pipeline::Health;
use fusewire::{Activation, Dense, Model, Pipeline, PipelineConfig, PlanOptions};

use crate::support::*;

/// The identity in this many layers of this width.
fn deep(width: usize, layers: usize) -> Model {
    let layer = |_| {
        let mut weight = vec![0.0; width * width];
        (0..width).for_each(|at| weight[at * width + at] = 1.0);
        Dense::new(width, width, weight, None, Activation::Identity).expect("sound")
    };
    Model::from_layers((0..layers).map(layer).collect()).expect("sound")
}

/// A batch of one row takes the processor far longer than any batch may take.
#[test]
fn the_processor_is_never_lost_for_being_slow() {
    let model = deep(2048, 3);
    let executable = load_as(&*cpu::open(), &model, PlanOptions::default());
    let batch_timeout = Duration::from_millis(1);
    for workers in [1, 2] {
        let config = PipelineConfig { batch_timeout, workers, ..PipelineConfig::default() };
        let pipeline = Pipeline::start(executable.clone(), config).unwrap();
        let row = |id: usize| (0..2048).map(move |at| (id * 3 + at) as f32).collect::<Vec<_>>();
        let tickets: Vec<_> = (0..40).map(|id| pipeline.submit(&row(id)).unwrap()).collect();
        for (id, ticket) in tickets.into_iter().enumerate() {
            assert_eq!(ticket.wait().unwrap().scores(), row(id), "{workers} workers");
        }
        assert_eq!(pipeline.health(), Health::Ready);
        assert_eq!(settled(&pipeline).completed, 40);
    }
}

/// What a batch costs is measured anew where another network's rows cost something else.
#[test]
fn a_swap_to_a_slower_network_is_known_to_be_slower() {
    let device = fake("device");
    let pipeline = start(&device, small());
    let one_row_ns = || pipeline.explain().backends[0].ns(1).unwrap();
    let slow = Duration::from_millis(20);
    let _ = device.clone().lasting(slow);
    pipeline.swap(&scaled(2.0)).unwrap();
    assert!(one_row_ns() < slow.as_nanos() as u64, "the same operations");
    pipeline.swap(&deep(WIDTH, 3)).unwrap();
    assert!(one_row_ns() >= slow.as_nanos() as u64, "three times as many");
    check(&pipeline.submit(&row(3)).unwrap().wait().unwrap(), [3]);
}
