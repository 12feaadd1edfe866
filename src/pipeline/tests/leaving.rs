//! Workers leave a pipeline that drains, each once it finds nothing to do.

use super::super::worker::Step;
use super::*;

/// A row that was reserved before may be committed when some have left. Those that are there run
/// it, though a backend that has no worker any more would be done with it sooner.
#[test]
fn nobody_waits_for_a_backend_whose_workers_left() {
    let config = PipelineConfig { capacity: 2, ..PipelineConfig::default() };
    let mut bench = Bench::new(&fake(BackendKind::Cpu, "slow"), 1000.0, config);
    let fast = fake(BackendKind::Wgpu, "fast");
    bench.attach(load(&fast, &model(1)), 1.0);
    let mut guard = bench.pipeline.reserve::<f32>().unwrap();
    guard.copy_from_slice(&[3.0, 1.0]);
    bench.core.drain();
    let mut leaves = bench.workers.pop().unwrap();
    assert_eq!(leaves.step(), Step::Leave);
    leaves.backend.worker_left();
    bench.core.worker_left();

    let ticket = guard.commit().unwrap();
    assert_eq!(bench.workers[0].step(), Step::Progress);
    assert_eq!(ticket.wait().unwrap().scores(), [3.0, 1.0]);
}
