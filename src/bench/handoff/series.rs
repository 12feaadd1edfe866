//! The experiments in turn.

use std::sync::Arc;
use std::time::Duration;

use super::super::compare::Progress;
use super::super::error::BenchError;
use super::super::load::{Durations, Rate};
use super::super::load::{Kept, Schedule};
use super::super::machine::Machine;
use super::super::report::ModelFacts;
use super::flood::{self, Producer, WINDOW_ROWS};
use super::known::{Known, ROWS};
use super::memory::{Memory, resident_bytes};
use super::report::{
    HandoffCell, HandoffMethod, HandoffReport, Quantity, ScheduleFacts, SwapFacts,
};
use super::rig::{SPINNING, empty, load, with_pipeline};
use super::traffic::{Numbered, Way};
use super::{HandoffOptions, caller, floors, open, queues, swaps};
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
    results: Vec<HandoffCell>,
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
        self.latencies()?;
        for (row_bytes, producers) in RATES {
            self.rates(row_bytes, producers)?;
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
        let mut trips: [Durations; 5] = Default::default();
        for round in 1..=self.options.rounds {
            self.step(&format!("there and back, round {round}"));
            let time = self.options.round_time();
            for (trips, floor) in trips.iter_mut().zip(floors) {
                trips.merge(&floor(time));
            }
            for (trips, waiting) in trips[3..].iter_mut().zip([SPINNING, Waiting::PARKING]) {
                trips.merge(&with_pipeline(&executable, waiting, |pipeline| {
                    let mut traffic = Numbered::new(Way::Submit, row_bytes, 0);
                    caller::round_trips(pipeline, &mut traffic, time)
                })?);
            }
        }
        let floor = |variant, trips| HandoffCell { variant, ..timed("floor", trips) };
        let call = |variant, trips| HandoffCell {
            variant,
            row_bytes,
            producers: 1,
            ..timed("latency", trips)
        };
        let [line, queue, park, spinning, parking] = &trips;
        let (queue, park) = (floor("queue", queue), floor("park", park));
        let spinning = call("spinning", spinning).beside(&queue, Quantity::P50);
        let parking = call("parking", parking).beside(&park, Quantity::P50);
        self.results.extend([floor("cache_line", line), queue, park, spinning, parking]);
        Ok(())
    }

    /// Producers that keep a window of tickets, in turns with the same exchange by hand.
    fn rates(&mut self, row_bytes: usize, producers: usize) -> Outcome<()> {
        let executable = empty(&*self.null, row_bytes)?;
        let mut rates: [Rounds; 4] = Default::default();
        for round in 1..=self.options.rounds {
            self.step(&format!("{row_bytes} bytes, {producers} producers, round {round}"));
            let time = self.options.round_time();
            rates[0].add(match row_bytes {
                64 => queues::rate::<64>(producers, time)?,
                _ => queues::rate::<784>(producers, time)?,
            });
            for (rates, way) in rates[1..].iter_mut().zip(Way::ALL) {
                rates.add(with_pipeline(&executable, Waiting::default(), |pipeline| {
                    flood::rate(pipeline, &mut numbered(way, row_bytes, producers), time)
                })?);
            }
        }
        let [queues, ways @ ..] = rates;
        let queues =
            HandoffCell { variant: "queues", row_bytes, producers, ..queues.cell("floor") };
        self.results.push(queues.clone());
        for (rates, way) in ways.into_iter().zip(Way::ALL) {
            let cell = rates.cell("throughput");
            let cell = HandoffCell { variant: way.name(), row_bytes, producers, ..cell };
            self.results.push(cell.beside(&queues, Quantity::Rate));
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
        let sustained = submit.rate.map_or(0.0, |rate| rate.rows_per_s);
        let submit = submit.beside(&full_batch, Quantity::Rate);
        self.results.extend([one_row.clone(), full_batch, submit]);
        for (variant, load) in LOADS {
            self.step(&format!("open loop at {:.0} %", load * 100.0));
            let schedule = Schedule::new(sustained * load, self.options.figure_time);
            let kept = with_pipeline(&executable, Waiting::default(), |pipeline| {
                open::keep(&schedule, pipeline, &mut known.clone(), &mut 0)
            })?;
            let cell = scheduled("open_loop", &kept, sustained * load, load);
            let cell = HandoffCell { variant, row_bytes, ..cell };
            self.results.push(cell.beside(&one_row, Quantity::P50));
        }
        self.swaps(&executable, known, &twin, (sustained, row_bytes))
    }

    /// Direct calls of one row, and of a full batch, in turns with two producers of single rows.
    fn sustained(
        &mut self,
        executable: &Arc<dyn Executable>,
        known: &Known,
        row_bytes: usize,
    ) -> Outcome<[HandoffCell; 3]> {
        let full = PipelineConfig::default().max_rows.min(ROWS);
        let mut rates: [Rounds; 3] = Default::default();
        let mut times: [Durations; 2] = Default::default();
        for round in 1..=self.options.rounds {
            self.step(&format!("model, round {round}"));
            let time = self.options.round_time();
            for ((rates, times), batch) in rates.iter_mut().zip(&mut times).zip([1, full]) {
                let (calls, rate) = caller::direct_calls(&**executable, known, batch, time)?;
                rates.add((rate, calls.count()));
                times.merge(&calls);
            }
            rates[2].add(with_pipeline(executable, Waiting::default(), |pipeline| {
                let mut producers = [Producer::new(known.clone()), Producer::new(known.clone())];
                flood::rate(pipeline, &mut producers, time)
            })?);
        }
        let [one_row, full_batch, submit] = rates;
        let direct = |variant, rates: Rounds, times: &Durations| {
            let cell = HandoffCell { variant, row_bytes, ..rates.cell("model_floor") };
            HandoffCell { producers: 1, latency: Some(times.percentiles()), ..cell }
        };
        let submit = submit.cell("model_throughput");
        Ok([
            direct("one_row", one_row, &times[0]),
            direct("full_batch", full_batch, &times[1]),
            HandoffCell { variant: "submit", row_bytes, producers: 2, ..submit },
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
        let swapping = swapping.beside(&quiet, Quantity::P99);
        self.results.extend([quiet, swapping]);
        Ok(())
    }
}

/// Rows a second of some rounds, and the requests they took.
#[derive(Debug, Default)]
struct Rounds {
    rates: Vec<f64>,
    requests: u64,
}

impl Rounds {
    fn add(&mut self, (rate, requests): (f64, u64)) {
        self.rates.push(rate);
        self.requests += requests;
    }

    fn cell(self, experiment: &'static str) -> HandoffCell {
        let (rate, requests) = (Some(Rate::of(self.rates)), self.requests);
        HandoffCell { experiment, requests, rate, ..HandoffCell::default() }
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

fn scheduled(experiment: &'static str, kept: &Kept, per_s: f64, load: f64) -> HandoffCell {
    let (late, called) = (kept.late.percentiles(), kept.called.percentiles());
    let schedule = Some(ScheduleFacts {
        offered_per_s: per_s,
        load,
        late_p99_us: late.p99_us,
        late_max_us: late.max_us,
        called_p50_us: called.p50_us,
        called_p99_us: called.p99_us,
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
