//! Whole runs in no time, and what becomes of them on a device that lies.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::*;
use crate::backend::sealed::Sealed;
use crate::backend::{BackendError, DeviceInfo, Executable, ExecutionContext, Rows};
use crate::model::{Activation, Dense};
use crate::plan::{Limits, Peak, Plan};

/// A device whose contexts answer wrongly from its n-th batch on.
#[derive(Clone, Debug)]
struct Liar {
    honest: Arc<dyn Device>,
    lie: Lie,
    batches_left: Arc<AtomicU64>,
}

#[derive(Clone, Copy, Debug)]
enum Lie {
    /// The last score of a batch is one unit in the last place off.
    OneBit,
    /// The first two rows of a batch get each other's scores.
    Mixed,
    /// A row gets the scores that a row of another batch had before.
    Stale,
}

impl Liar {
    fn device(honest: Arc<dyn Device>, lie: Lie, batches: u64) -> Arc<dyn Device> {
        Arc::new(Liar { honest, lie, batches_left: Arc::new(AtomicU64::new(batches)) })
    }

    fn lies(&self) -> bool {
        let less = |left: u64| Some(left.saturating_sub(1));
        self.batches_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less) == Ok(0)
    }
}

impl Sealed for Liar {}

impl Device for Liar {
    fn info(&self) -> &DeviceInfo {
        self.honest.info()
    }

    fn limits(&self) -> &Limits {
        self.honest.limits()
    }

    fn peak(&self, _working_set_bytes: u64) -> Option<Peak> {
        None
    }

    fn load(&self, plan: Arc<Plan>) -> Result<Arc<dyn Executable>, BackendError> {
        Ok(Arc::new(LyingExecutable { device: self.clone(), honest: self.honest.load(plan)? }))
    }
}

#[derive(Debug)]
struct LyingExecutable {
    device: Liar,
    honest: Arc<dyn Executable>,
}

impl Sealed for LyingExecutable {}

impl Executable for LyingExecutable {
    fn plan(&self) -> &Plan {
        self.honest.plan()
    }

    fn device(&self) -> &dyn Device {
        &self.device
    }

    fn run(&self, rows: Rows<'_>, scores: &mut [f32]) -> Result<(), BackendError> {
        self.honest.run(rows, scores)
    }

    fn create_context(&self) -> Result<Box<dyn ExecutionContext>, BackendError> {
        Ok(Box::new(LyingContext {
            device: self.device.clone(),
            classes: self.plan().classes(),
            honest: self.honest.create_context()?,
            scores: Vec::new(),
        }))
    }
}

#[derive(Debug)]
struct LyingContext {
    device: Liar,
    classes: usize,
    honest: Box<dyn ExecutionContext>,
    scores: Vec<f32>,
}

impl Sealed for LyingContext {}

impl ExecutionContext for LyingContext {
    fn submit_pieces(&mut self, pieces: &[Rows<'_>]) -> Result<(), BackendError> {
        self.honest.submit_pieces(pieces)?;
        let stale = std::mem::take(&mut self.scores);
        self.scores = self.honest.scores().to_vec();
        if !self.device.lies() {
            return Ok(());
        }
        match self.device.lie {
            Lie::OneBit => {
                let last = self.scores.last_mut().unwrap();
                *last = f32::from_bits(last.to_bits() + 1);
            }
            Lie::Mixed if self.scores.len() > self.classes => {
                let (first, second) = self.scores.split_at_mut(self.classes);
                first.swap_with_slice(&mut second[..self.classes]);
            }
            Lie::Mixed => {}
            Lie::Stale => {
                let alike = stale.len().min(self.classes);
                self.scores[..alike].copy_from_slice(&stale[..alike]);
            }
        }
        Ok(())
    }

    fn is_complete(&mut self) -> Result<bool, BackendError> {
        self.honest.is_complete()
    }

    fn wait(&mut self, deadline: Instant) -> Result<(), BackendError> {
        self.honest.wait(deadline)
    }

    fn scores(&self) -> &[f32] {
        &self.scores
    }
}

fn model() -> Model {
    let layer = |inputs: usize, outputs: usize| {
        let weight = (0..inputs * outputs).map(|i| (i % 7) as f32 - 3.0).collect();
        let bias = Some((0..outputs).map(|i| i as f32).collect());
        Dense::new(inputs, outputs, weight, bias, Activation::Tanh).unwrap()
    };
    Model::from_layers(vec![layer(16, 8), layer(8, 3)]).unwrap()
}

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
fn the_csv_has_a_line_a_figure_and_names_that_json_has() {
    let report = run(&model(), &tiny(), &mut |_| {}).unwrap();
    let csv = report.to_csv();
    let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(lines.len(), report.results.len() + 1);
    assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{csv}");
    for (column, name) in lines[0].iter().enumerate() {
        let filled = lines[1..].iter().any(|line| !line[column].is_empty());
        assert!(filled, "nothing has a value for {name}: {csv}");
    }
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
    let schedule = super::super::load::Schedule::new(1e4, Duration::from_millis(20));
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
