//! The experiments in turn.

use std::sync::Arc;
use std::time::Duration;

use super::super::compare::Progress;
use super::super::machine::Machine;
use super::super::report::ModelFacts;
use super::flood::{self, Producer, WINDOW_ROWS};
use super::known::{Known, ROWS};
use super::memory::{Memory, resident_bytes};
use super::report::{
    HandoffCell, HandoffMethod, HandoffReport, Quantity, ScheduleFacts, SwapFacts,
};
use super::rig::{SPINNING, empty, load, with_pipeline};
use super::schedule::{Kept, Schedule};
use super::stats::{Durations, Rate};
use super::traffic::{Numbered, Way};
use super::{HandoffError, HandoffOptions, caller, floors, open, queues, swaps};
use crate::backend::{Device, Executable};
use crate::model::Model;
use crate::pipeline::{PipelineConfig, Waiting};

/// Bytes of a row on the device that computes nothing.
const WIDTHS: [usize; 2] = [64, 784];
const PRODUCERS: [usize; 2] = [1, 2];
/// Shares of the sustained rate that open loops offer.
const LOADS: [(&str, f64); 2] = [("half", 0.5), ("nine_tenths", 0.9)];
/// Figures in all: floors, latencies, rates, the model's five, the swaps, and memory.
const STEPS: usize = 3 + 4 + 2 + 12 + 5 + 1 + 1;

/// All experiments, on one device that computes nothing and one that runs a model.
pub(super) struct Series<'a> {
    model: &'a Model,
    options: &'a HandoffOptions,
    null: Arc<dyn Device>,
    processor: Arc<dyn Device>,
    progress: &'a mut dyn FnMut(Progress<'_>),
    done: usize,
    results: Vec<HandoffCell>,
}

type Outcome<T> = Result<T, HandoffError>;

impl<'a> Series<'a> {
    pub(super) fn new(
        model: &'a Model,
        options: &'a HandoffOptions,
        null: Arc<dyn Device>,
        processor: Arc<dyn Device>,
        progress: &'a mut dyn FnMut(Progress<'_>),
    ) -> Series<'a> {
        Series { model, options, null, processor, progress, done: 0, results: Vec::new() }
    }

    pub(super) fn run(mut self) -> Outcome<HandoffReport> {
        self.floors()?;
        self.latencies()?;
        for row_bytes in WIDTHS {
            self.rates(row_bytes)?;
        }
        let memory = self.memory()?;
        self.model()?;
        Ok(HandoffReport {
            model: ModelFacts::of(self.model),
            machine: Machine::here(),
            method: method(self.options),
            results: self.results,
            memory,
        })
    }

    fn step(&mut self, doing: &str) {
        (self.progress)(Progress { done: self.done, of: STEPS, doing });
        self.done += 1;
    }

    /// The figure so far, to stand others beside.
    fn found(&self, experiment: &str, variant: &str, of: (usize, usize)) -> Option<&HandoffCell> {
        let mut cells = self.results.iter();
        cells.find(|cell| {
            let (row_bytes, producers) = of;
            cell.experiment == experiment
                && cell.variant == variant
                && (cell.row_bytes, cell.producers) == (row_bytes, producers)
        })
    }

    /// Keeps a figure, beside another one where that was found.
    fn keep(&mut self, cell: HandoffCell, other: Option<HandoffCell>, quantity: Quantity) {
        self.results.push(match other {
            Some(other) => cell.beside(&other, quantity),
            None => cell,
        });
    }

    fn floors(&mut self) -> Outcome<()> {
        type Floor = fn(Duration) -> Durations;
        let all: [(&str, Floor); 3] =
            [("cache_line", floors::cache_line), ("queue", floors::queue), ("park", floors::park)];
        for (variant, floor) in all {
            self.step(&format!("floor: {variant}"));
            let trips = floor(self.options.figure_time);
            self.results.push(HandoffCell { variant, ..timed("floor", &trips) });
        }
        for producers in PRODUCERS {
            for row_bytes in WIDTHS {
                self.step(&format!("floor: queues, {producers} producers, {row_bytes} bytes"));
                let (time, rounds) = (self.options.figure_time, self.options.rounds);
                let (rate, requests) = match row_bytes {
                    64 => queues::rate::<64>(producers, time, rounds)?,
                    _ => queues::rate::<784>(producers, time, rounds)?,
                };
                let variant = "queues";
                let cell = rated("floor", rate, requests);
                self.results.push(HandoffCell { variant, row_bytes, producers, ..cell });
            }
        }
        Ok(())
    }

    /// One caller who waits for each answer.
    fn latencies(&mut self) -> Outcome<()> {
        let row_bytes = WIDTHS[0];
        let executable = empty(&*self.null, row_bytes)?;
        let variants = [("spinning", SPINNING, "queue"), ("parking", Waiting::PARKING, "park")];
        for (variant, waiting, floor) in variants {
            self.step(&format!("latency: {variant}"));
            let trips = with_pipeline(&executable, waiting, |pipeline| {
                let mut traffic = Numbered::new(Way::Submit, row_bytes, 0);
                caller::round_trips(pipeline, &mut traffic, self.options.figure_time)
            })?;
            let cell = timed("latency", &trips);
            let cell = HandoffCell { variant, row_bytes, producers: 1, ..cell };
            let floor = self.found("floor", floor, (0, 0)).cloned();
            self.keep(cell, floor, Quantity::P50);
        }
        Ok(())
    }

    /// Producers that keep a window of tickets.
    fn rates(&mut self, row_bytes: usize) -> Outcome<()> {
        let executable = empty(&*self.null, row_bytes)?;
        for way in Way::ALL {
            for producers in PRODUCERS {
                let (variant, time) = (way.name(), self.options.figure_time);
                self.step(&format!("{variant}, {producers} producers, {row_bytes} bytes"));
                let (rate, requests) =
                    with_pipeline(&executable, Waiting::default(), |pipeline| {
                        let mut producers = numbered(way, row_bytes, producers);
                        flood::rate(pipeline, &mut producers, time, self.options.rounds)
                    })?;
                let cell = rated("throughput", rate, requests);
                let cell = HandoffCell { variant, row_bytes, producers, ..cell };
                let floor = self.found("floor", "queues", (row_bytes, producers)).cloned();
                self.keep(cell, floor, Quantity::Rate);
            }
        }
        Ok(())
    }

    /// Memory after as many requests as every other figure has had, and after many more.
    fn memory(&mut self) -> Outcome<Option<Memory>> {
        self.step("memory");
        let row_bytes = WIDTHS[0];
        let executable = empty(&*self.null, row_bytes)?;
        with_pipeline(&executable, Waiting::default(), |pipeline| {
            let mut producers = numbered(Way::Submit, row_bytes, 2);
            flood::rate(pipeline, &mut producers, self.options.figure_time, 1)?;
            let before = resident_bytes();
            let wanted = self.options.memory_requests;
            let requests = flood::requests(pipeline, &mut producers, wanted)?;
            let looks = before.zip(resident_bytes());
            Ok(looks.map(|(before_bytes, after_bytes)| Memory {
                requests,
                before_bytes,
                after_bytes,
            }))
        })
    }

    fn model(&mut self) -> Outcome<()> {
        let twin = swaps::twin(self.model)?;
        let executable = load(&*self.processor, self.model, &self.options.plan)?;
        let mut known = Known::new(self.model, &self.options.plan);
        known.learn(self.model, &*executable)?;
        known.learn(&twin, &*load(&*self.processor, &twin, &self.options.plan)?)?;
        let row_bytes = self.model.inputs() * self.options.plan.input.bytes();
        self.direct(&*executable, &known, row_bytes)?;

        let sustained = self.sustained(&executable, &known, row_bytes)?;
        for (variant, load) in LOADS {
            self.step(&format!("open loop at {load} of what is sustained"));
            let schedule = Schedule::new(sustained * load, self.options.figure_time);
            let kept = with_pipeline(&executable, Waiting::default(), |pipeline| {
                open::keep(&schedule, pipeline, &mut known.clone(), &mut 0)
            })?;
            let cell = scheduled("open_loop", &kept, sustained * load, load);
            let cell = HandoffCell { variant, row_bytes, ..cell };
            let floor = self.found("model_floor", "one_row", (row_bytes, 1)).cloned();
            self.keep(cell, floor, Quantity::P50);
        }
        self.swaps(&executable, known, &twin, (sustained, row_bytes))
    }

    /// What the executable does when it is called directly: one row, and a full batch.
    fn direct(
        &mut self,
        executable: &dyn Executable,
        known: &Known,
        row_bytes: usize,
    ) -> Outcome<()> {
        let batches =
            [("one_row", 1), ("full_batch", PipelineConfig::default().max_rows.min(ROWS))];
        for (variant, batch) in batches {
            self.step(&format!("model called directly: {variant}"));
            let time = self.options.figure_time;
            let (calls, rate) = caller::direct_calls(executable, known, batch, time)?;
            let cell = HandoffCell { rate: Some(rate), ..timed("model_floor", &calls) };
            self.results.push(HandoffCell { variant, row_bytes, producers: 1, ..cell });
        }
        Ok(())
    }

    /// Rows a second from two producers of single rows.
    fn sustained(
        &mut self,
        executable: &Arc<dyn Executable>,
        known: &Known,
        row_bytes: usize,
    ) -> Outcome<f64> {
        self.step("model: two producers of single rows");
        let (rate, requests) = with_pipeline(executable, Waiting::default(), |pipeline| {
            let mut producers = [Producer::new(known.clone()), Producer::new(known.clone())];
            let time = self.options.figure_time;
            flood::rate(pipeline, &mut producers, time, self.options.rounds)
        })?;
        let cell = rated("model_throughput", rate, requests);
        let cell = HandoffCell { variant: "submit", row_bytes, producers: 2, ..cell };
        let floor = self.found("model_floor", "full_batch", (row_bytes, 1)).cloned();
        self.keep(cell, floor, Quantity::Rate);
        Ok(rate.rows_per_s)
    }

    fn swaps(
        &mut self,
        executable: &Arc<dyn Executable>,
        mut known: Known,
        twin: &Model,
        (sustained, row_bytes): (f64, usize),
    ) -> Outcome<()> {
        self.step("swaps at half of what is sustained");
        let load = LOADS[0].1;
        let schedule = Schedule::new(sustained * load, self.options.figure_time);
        let seen = with_pipeline(executable, Waiting::default(), |pipeline| {
            let models = [self.model, twin];
            let pairs = self.options.swap_windows;
            swaps::windows(pipeline, &mut known, models, &schedule, pairs)
        })?;
        let cell = |variant, kept| {
            let cell = scheduled("swap", kept, sustained * load, load);
            HandoffCell { variant, row_bytes, ..cell }
        };
        let quiet = cell("quiet", &seen.quiet);
        let took = seen.swaps.percentiles();
        let swaps = Some(SwapFacts {
            swaps: seen.swaps.count(),
            swap_p50_us: took.p50_us,
            swap_max_us: took.max_us,
        });
        let swapping = HandoffCell { swaps, ..cell("swapping", &seen.swapping) };
        self.results.push(quiet.clone());
        self.keep(swapping, Some(quiet), Quantity::P99);
        Ok(())
    }
}

fn numbered(way: Way, row_bytes: usize, producers: usize) -> Vec<Producer<Numbered>> {
    // There are two producers at most.
    (0..producers).map(|it| Producer::new(Numbered::new(way, row_bytes, it as u8))).collect()
}

fn timed(experiment: &'static str, times: &Durations) -> HandoffCell {
    let (requests, latency) = (times.count(), Some(times.percentiles()));
    HandoffCell { experiment, requests, latency, ..HandoffCell::default() }
}

fn rated(experiment: &'static str, rate: Rate, requests: u64) -> HandoffCell {
    HandoffCell { experiment, requests, rate: Some(rate), ..HandoffCell::default() }
}

fn scheduled(experiment: &'static str, kept: &Kept, per_s: f64, load: f64) -> HandoffCell {
    let late = kept.late.percentiles();
    let schedule = Some(ScheduleFacts {
        offered_per_s: per_s,
        load,
        late_p99_us: late.p99_us,
        late_max_us: late.max_us,
        full: kept.full,
        unsent: kept.unsent,
        kept: kept.is_kept(),
    });
    HandoffCell { schedule, producers: 1, ..timed(experiment, &kept.latency) }
}

fn method(options: &HandoffOptions) -> HandoffMethod {
    let config = PipelineConfig::default();
    HandoffMethod {
        figure_s: options.figure_time.as_secs_f64(),
        rounds: options.rounds,
        window_rows: WINDOW_ROWS,
        capacity: config.capacity,
        max_rows: config.max_rows,
        workers: config.workers,
        spin_us: config.waiting.spin.as_secs_f64() * 1e6,
        input: options.plan.input.name(),
        precision: options.plan.precision.name(),
    }
}
