//! Values of a reserved row, borrowed as any slice may be. Miri judges how.

use super::*;

#[test]
fn a_reserved_row_is_read_by_many_at_once() {
    let config = PipelineConfig { capacity: 2, ..PipelineConfig::default() };
    let mut bench = Bench::new(&fake(BackendKind::Cpu, "fake"), 100.0, config);
    let mut guard = bench.pipeline.reserve::<f32>().unwrap();
    let mut other = bench.pipeline.reserve::<f32>().unwrap();
    guard.copy_from_slice(&[3.0, 1.0]);
    let (first, second): (&[f32], &[f32]) = (&guard, &guard);
    // The neighbouring row is written meanwhile.
    other.copy_from_slice(&[4.0, 1.0]);
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!(first, [3.0, 1.0]));
        assert_eq!(second, [3.0, 1.0]);
    });
    assert_eq!(first, second);
    guard[0] += 2.0;
    let tickets = [guard.commit().unwrap(), other.commit().unwrap()];
    while bench.workers[0].step() == super::super::worker::Step::Progress {}
    let scores = tickets.map(|ticket| ticket.wait().unwrap().scores().to_vec());
    assert_eq!(scores, [[5.0, 1.0], [4.0, 1.0]]);
}
