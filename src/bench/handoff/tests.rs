//! Whole runs in no time, and what becomes of them on a device that lies.

use super::super::tests::liar::{Liar, Lie, model};
use super::*;

fn tiny() -> HandoffOptions {
    HandoffOptions {
        figure_time: Duration::from_millis(4),
        rounds: 2,
        swap_windows: 1,
        memory_requests: 2_000,
        ..HandoffOptions::quick()
    }
}

fn devices() -> (Arc<dyn Device>, Arc<dyn Device>) {
    let processor = cpu::open();
    (Arc::new(NullDevice::new(*processor.limits())), processor)
}

fn run_on(null: Arc<dyn Device>, processor: Arc<dyn Device>) -> Result<HandoffReport, BenchError> {
    series::Series::new(&model(), &tiny(), null, processor, &mut |_| {}).run()
}

#[test]
fn a_run_has_every_figure_beside_its_floor() {
    let mut steps = Vec::new();
    let mut seen = |progress: Progress<'_>| steps.push((progress.done, progress.of));
    let report = run(&model(), &tiny(), &mut seen).unwrap();
    let of = steps.len();
    assert_eq!(steps, (0..of).map(|done| (done, of)).collect::<Vec<_>>());
    let count = |experiment| report.of(experiment).count();
    let counts = ["floor", "latency", "throughput", "model_floor", "model_throughput"].map(count);
    assert_eq!((counts, count("open_loop"), count("swap")), ([7, 2, 12, 2, 1], 2, 2));
    for cell in &report.results {
        let stands_alone = cell.experiment.ends_with("floor") || cell.variant == "quiet";
        assert_eq!(cell.beside.is_none(), stands_alone, "{cell:?}");
        assert!(cell.requests > 0, "{cell:?}");
        let own = cell.beside.as_ref().map(|beside| beside.ratio * beside.value);
        let figures = [
            cell.latency.map(|latency| latency.p50_us),
            cell.latency.map(|latency| latency.p99_us),
            cell.rate.map(|rate| rate.rows_per_s),
        ];
        let is_own = |own: f64| figures.iter().flatten().any(|it| (it - own).abs() <= 1e-6 * own);
        assert!(own.is_none_or(is_own), "{cell:?}");
    }
    assert!(report.of("swap").any(|cell| cell.swaps.is_some_and(|swaps| swaps.swaps > 0)));
    assert_eq!(report.memory.is_some(), cfg!(target_os = "linux"));
    assert!(report.memory.is_none_or(|memory| memory.requests == 2_000));
}

#[test]
fn the_record_has_every_figure_under_a_key_of_its_own_with_its_rounds() {
    let report = run(&model(), &tiny(), &mut |_| {}).unwrap();
    let record = &report.record;
    assert_eq!((record.experiment.as_str(), record.sections.len()), ("handoff", 6));
    let rounds = |key: &str| {
        let found: Vec<_> = record.figures.iter().filter(|figure| figure.key == key).collect();
        assert_eq!(found.len(), 1, "{key}");
        assert!(found[0].rounds.iter().all(|round| *round > 0.0), "{key}");
        found[0].rounds.len()
    };
    record.figures.iter().for_each(|figure| assert!(rounds(&figure.key) > 0));
    for key in [
        "floor.cache_line.p50_us",
        "floor.queues.bytes=784.producers=2.rows_per_s",
        "latency.parking.p99_us",
        "latency.spinning.p50_ratio",
        "throughput.submit_many.bytes=64.producers=1.rate_ratio",
        "model_floor.one_row.p50_us",
        "model_throughput.submit.rows_per_s",
        "open_loop.nine_tenths.from_due.p99_us",
        "open_loop.half.from_call.p50_us",
    ] {
        assert_eq!(rounds(key), tiny().rounds, "{key}");
    }
    assert_eq!((rounds("swap.swapping.p99_ratio"), rounds("swap.swapping.swap.p50_us")), (1, 1));
    // What was timed has its histogram, and each cell its line in a table.
    let timed = record.histograms.iter().find(|times| times.key == "latency.parking").unwrap();
    let parking = report.of("latency").find(|cell| cell.variant == "parking").unwrap();
    assert_eq!(timed.times.count(), parking.requests);
    assert_eq!(timed.times.percentiles(), parking.latency.unwrap());
    let lines: usize =
        record.sections.iter().flat_map(|section| &section.tables).map(|it| it.rows.len()).sum();
    assert_eq!(lines, report.results.len());
    let again = run(&model(), &tiny(), &mut |_| {}).unwrap();
    let diff = record.diff(&again.record, 1.5, false).unwrap();
    assert_eq!((diff.only_in_first, diff.only_in_second), (vec![], vec![]));
}

#[test]
fn lies_of_the_device_that_computes_nothing_end_the_run() {
    for lie in [Lie::OneBit, Lie::Mixed, Lie::Stale] {
        let (null, processor) = devices();
        let outcome = run_on(Liar::device(null, lie, 400), processor);
        assert!(matches!(outcome, Err(BenchError::WrongAnswer { .. })), "{lie:?}: {outcome:?}");
    }
}

#[test]
fn lies_of_the_processor_end_the_run() {
    for lie in [Lie::OneBit, Lie::Mixed, Lie::Stale] {
        let (null, processor) = devices();
        let outcome = run_on(null, Liar::device(processor, lie, 100));
        assert!(matches!(outcome, Err(BenchError::WrongAnswer { .. })), "{lie:?}: {outcome:?}");
    }
}

#[test]
fn every_experiment_finds_a_lie_by_itself() {
    let (null, processor) = devices();
    let liar = |honest: &Arc<dyn Device>| Liar::device(Arc::clone(honest), Lie::OneBit, 0);
    let time = Duration::from_millis(20);
    let wrong = |outcome: Result<(), BenchError>, what: &str| {
        assert!(matches!(outcome, Err(BenchError::WrongAnswer { .. })), "{what}: {outcome:?}");
    };
    let nothing = rig::empty(&*liar(&null), 64).unwrap();
    for way in traffic::Way::ALL {
        let mut producer = [flood::Producer::new(traffic::Numbered::new(way, 64, 1))];
        let flooded = rig::with_pipeline(&nothing, rig::SPINNING, |pipeline| {
            flood::rate(pipeline, &mut producer, time)
        });
        wrong(flooded.map(drop), way.name());
        let called = rig::with_pipeline(&nothing, rig::SPINNING, |pipeline| {
            caller::round_trips(pipeline, &mut traffic::Numbered::new(way, 64, 1), time)
        });
        wrong(called.map(drop), "caller");
    }
    let (model, options) = (model(), PlanOptions::default());
    let twin = swaps::twin(&model).unwrap();
    let mut known = known::Known::new(&model, &options);
    for model in [&model, &twin] {
        known.learn(model, &*rig::load(&*processor, model, &options).unwrap()).unwrap();
    }
    let lying = rig::load(&*liar(&processor), &model, &options).unwrap();
    let schedule = super::super::load::Schedule::new(1e4, time);
    let opened = rig::with_pipeline(&lying, rig::SPINNING, |pipeline| {
        open::keep(&schedule, pipeline, &mut known.clone(), &mut 0)
    });
    wrong(opened.map(drop), "open loop");
    let swapped = rig::with_pipeline(&lying, rig::SPINNING, |pipeline| {
        swaps::windows(pipeline, &mut known.clone(), [&model, &twin], &schedule, 1)
    });
    wrong(swapped.map(drop), "swaps");
}

#[test]
fn a_model_that_nobody_knows_is_no_right_answer() {
    let (_, processor) = devices();
    let (model, options) = (model(), PlanOptions::default());
    let twin = swaps::twin(&model).unwrap();
    let executable = rig::load(&*processor, &model, &options).unwrap();
    let mut known = known::Known::new(&model, &options);
    known.learn(&model, &*executable).unwrap();
    let schedule = super::super::load::Schedule::new(1e4, Duration::from_millis(300));
    let seen = rig::with_pipeline(&executable, rig::SPINNING, |pipeline| {
        swaps::windows(pipeline, &mut known, [&model, &twin], &schedule, 1)
    });
    assert!(matches!(seen, Err(BenchError::WrongAnswer { .. })));
}

#[test]
fn scores_off_the_oracles_are_refused_before_anything_is_timed() {
    let (_, processor) = devices();
    let (model, options) = (model(), PlanOptions::default());
    let twin = swaps::twin(&model).unwrap();
    let executable = rig::load(&*processor, &twin, &options).unwrap();
    let learnt = known::Known::new(&model, &options).learn(&model, &*executable);
    assert!(matches!(learnt, Err(BenchError::Disagrees { .. })));
}

#[test]
fn a_shorter_figure_takes_fewer_requests_of_memory() {
    let quick = HandoffOptions::quick();
    let halved = quick.clone().with_figure_time(quick.figure_time / 2);
    assert_eq!(halved.memory_requests, quick.memory_requests / 2);
    assert_eq!(quick.with_figure_time(Duration::from_nanos(1)).memory_requests, 10_000);
}
