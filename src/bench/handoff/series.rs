//! The experiments in turn.

use std::sync::Arc;
use std::time::Duration;

use super::super::compare::Progress;
use super::super::error::BenchError;
use super::super::load::{Durations, Schedule};
use super::super::machine::Machine;
use super::super::record::Environment;
use super::super::report::{DeviceReport, ModelFacts};
use super::flood::{self, Producer, WINDOW_ROWS};
use super::known::{Known, ROWS};
use super::memory::{Memory, resident_bytes};
use super::report::{HandoffMethod, HandoffReport, Quantity};
use super::rig::{SPINNING, empty, load, with_pipeline};
use super::taken::Taken;
use super::traffic::{Numbered, Way};
use super::{HandoffOptions, caller, floors, open, queues, record, swaps};
use crate::backend::{Device, Executable};
use crate::model::Model;
use crate::pipeline::{PipelineConfig, Waiting};

/// Bytes of a row on the device that computes nothing, and threads that send such rows.
const RATES: [(usize, usize); 4] = [(64, 1), (64, 2), (784, 1), (784, 2)];
/// Shares of the sustained rate that open loops offer.
const LOADS: [(&str, f64); 2] = [("half", 0.5), ("nine_tenths", 0.9)];
/// All experiments, on one device that computes nothing and one that runs a model.
pub(super) struct Series<'a> {
    model: &'a Model,
    options: &'a HandoffOptions,
    null: Arc<dyn Device>,
    processor: Arc<dyn Device>,
    progress: &'a mut dyn FnMut(Progress<'_>),
    done: usize,
    results: Vec<Taken>,
}

type Outcome<T> = Result<T, BenchError>;

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
        let watch = Environment::watch();
        self.latencies()?;
        for (row_bytes, producers) in RATES {
            self.rates(row_bytes, producers)?;
        }
        let memory = self.memory()?;
        self.model()?;
        let (facts, method) = (ModelFacts::of(self.model), method(self.options));
        let environment = (watch, DeviceReport::found(self.processor.info()));
        let found = (&*self.results, memory.as_ref());
        let record = record::of(&facts, &method, found, environment);
        Ok(HandoffReport {
            model: facts,
            machine: Machine::here(),
            method,
            results: self.results.into_iter().map(|taken| taken.cell).collect(),
            memory,
            record,
        })
    }

    fn step(&mut self, doing: &str) {
        let of = self.steps();
        (self.progress)(Progress { done: self.done, of, doing });
        self.done += 1;
    }

    /// Steps in all: rounds, and one for memory, for each of the model's figures, and for swaps.
    fn steps(&self) -> usize {
        (1 + RATES.len() + 1) * self.options.rounds + 1 + LOADS.len() + 1
    }

    /// Round trips of two threads and of one caller who waits for each answer, in turns: what else
    /// the machine does meanwhile then meets all of them.
    fn latencies(&mut self) -> Outcome<()> {
        let row_bytes = RATES[0].0;
        let executable = empty(&*self.null, row_bytes)?;
        let floors: [fn(Duration) -> Durations; 3] =
            [floors::cache_line, floors::queue, floors::park];
        let mut trips: [Vec<Durations>; 5] = Default::default();
        for round in 1..=self.options.rounds {
            self.step(&format!("there and back, round {round}"));
            let time = self.options.round_time();
            for (trips, floor) in trips.iter_mut().zip(floors) {
                trips.push(floor(time));
            }
            for (trips, waiting) in trips[3..].iter_mut().zip([SPINNING, Waiting::PARKING]) {
                trips.push(with_pipeline(&executable, waiting, |pipeline| {
                    let mut traffic = Numbered::new(Way::Submit, row_bytes, 0);
                    caller::round_trips(pipeline, &mut traffic, time)
                })?);
            }
        }
        let floor = |variant, trips| Taken::timed("floor", trips).of(variant, (0, 0));
        let call = |variant, trips| Taken::timed("latency", trips).of(variant, (row_bytes, 1));
        let [line, queue, park, spinning, parking] = trips;
        let (queue, park) = (floor("queue", queue), floor("park", park));
        let spinning = call("spinning", spinning).beside(&queue, Quantity::P50);
        let parking = call("parking", parking).beside(&park, Quantity::P50);
        self.results.extend([floor("cache_line", line), queue, park, spinning, parking]);
        Ok(())
    }

    /// Producers that keep a window of tickets, in turns with the same exchange by hand.
    fn rates(&mut self, row_bytes: usize, producers: usize) -> Outcome<()> {
        let executable = empty(&*self.null, row_bytes)?;
        let mut rates: [Vec<(f64, u64)>; 4] = Default::default();
        for round in 1..=self.options.rounds {
            self.step(&format!("{row_bytes} bytes, {producers} producers, round {round}"));
            let time = self.options.round_time();
            rates[0].push(match row_bytes {
                64 => queues::rate::<64>(producers, time)?,
                _ => queues::rate::<784>(producers, time)?,
            });
            for (rates, way) in rates[1..].iter_mut().zip(Way::ALL) {
                rates.push(with_pipeline(&executable, Waiting::default(), |pipeline| {
                    flood::rate(pipeline, &mut numbered(way, row_bytes, producers), time)
                })?);
            }
        }
        let [queues, ways @ ..] = rates;
        let of = (row_bytes, producers);
        let queues = Taken::rated("floor", &queues).of("queues", of);
        self.results.push(queues.clone());
        for (rates, way) in ways.into_iter().zip(Way::ALL) {
            let rates = Taken::rated("throughput", &rates).of(way.name(), of);
            self.results.push(rates.beside(&queues, Quantity::Rate));
        }
        Ok(())
    }

    /// Memory after as many requests as every other figure has had, and after many more.
    fn memory(&mut self) -> Outcome<Option<Memory>> {
        self.step("memory");
        let row_bytes = RATES[0].0;
        let executable = empty(&*self.null, row_bytes)?;
        with_pipeline(&executable, Waiting::default(), |pipeline| {
            let mut producers = numbered(Way::Submit, row_bytes, 2);
            flood::rate(pipeline, &mut producers, self.options.round_time())?;
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
        let [one_row, full_batch, submit] = self.sustained(&executable, &known, row_bytes)?;
        let sustained = submit.cell.rate.map_or(0.0, |rate| rate.rows_per_s);
        let submit = submit.beside(&full_batch, Quantity::Rate);
        self.results.extend([one_row.clone(), full_batch, submit]);
        for (variant, load) in LOADS {
            self.step(&format!("open loop at {:.0} %", load * 100.0));
            let schedule = Schedule::new(sustained * load, self.options.round_time());
            let rounds = with_pipeline(&executable, Waiting::default(), |pipeline| {
                let (mut known, mut next) = (known.clone(), 0);
                let mut keep = |_| open::keep(&schedule, pipeline, &mut known, &mut next);
                (0..self.options.rounds.max(1)).map(&mut keep).collect::<Outcome<Vec<_>>>()
            })?;
            let taken = Taken::scheduled("open_loop", rounds, (sustained * load, load));
            let taken = taken.of(variant, (row_bytes, 1));
            self.results.push(taken.beside(&one_row, Quantity::P50));
        }
        self.swaps(&executable, known, &twin, (sustained, row_bytes))
    }

    /// Direct calls of one row, and of a full batch, in turns with two producers of single rows.
    fn sustained(
        &mut self,
        executable: &Arc<dyn Executable>,
        known: &Known,
        row_bytes: usize,
    ) -> Outcome<[Taken; 3]> {
        let full = PipelineConfig::default().max_rows.min(ROWS);
        let mut rates: [Vec<(f64, u64)>; 3] = Default::default();
        let mut times: [Vec<Durations>; 2] = Default::default();
        for round in 1..=self.options.rounds {
            self.step(&format!("model, round {round}"));
            let time = self.options.round_time();
            for ((rates, times), batch) in rates.iter_mut().zip(&mut times).zip([1, full]) {
                let (calls, rate) = caller::direct_calls(&**executable, known, batch, time)?;
                rates.push((rate, calls.count()));
                times.push(calls);
            }
            rates[2].push(with_pipeline(executable, Waiting::default(), |pipeline| {
                let mut producers = [Producer::new(known.clone()), Producer::new(known.clone())];
                flood::rate(pipeline, &mut producers, time)
            })?);
        }
        let [one_row, full_batch, submit] = &rates;
        let direct = |variant, rates, times| {
            Taken::rated("model_floor", rates).with_times(times).of(variant, (row_bytes, 1))
        };
        let [one_rows, full_batches] = times;
        Ok([
            direct("one_row", one_row, one_rows),
            direct("full_batch", full_batch, full_batches),
            Taken::rated("model_throughput", submit).of("submit", (row_bytes, 2)),
        ])
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
        let taken = |variant, kept| {
            let taken = Taken::scheduled("swap", kept, (sustained * load, load));
            taken.of(variant, (row_bytes, 1))
        };
        let quiet = taken("quiet", seen.quiet);
        let swapping = taken("swapping", seen.swapping).with_swaps(seen.swaps);
        let swapping = swapping.beside(&quiet, Quantity::P99);
        self.results.extend([quiet, swapping]);
        Ok(())
    }
}

fn numbered(way: Way, row_bytes: usize, producers: usize) -> Vec<Producer<Numbered>> {
    // There are two producers at most.
    (0..producers).map(|it| Producer::new(Numbered::new(way, row_bytes, it as u8))).collect()
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
