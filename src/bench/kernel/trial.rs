//! One device at work: each batch size checked, then timed by the caller and by the device.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::agreement::Agreement;
use super::super::compare::{ROWS_WALKED, rows_that_fit};
use super::super::energy::{Energy, Meter, NoEnergy};
use super::super::load::Durations;
use super::super::measure::{Budget, Measurement};
use super::super::record::merged;
use super::super::report::DeviceReport;
use super::fed::{self, Feeding};
use super::pattern::{Block, Pattern};
use super::report::{Achieved, Ceilings, InFlight, KernelCell};
use super::taken::{Taken, TakenCell};
use super::{KernelOptions, ROUNDS};
use crate::Error;
use crate::backend::{BackendError, Device, DeviceInfo, Executable, ExecutionContext};
use crate::plan::{Cost, Link, Peak, Plan, PlanOptions};

/// Bytes of rows that a block holds at most: more than the caches of any device, some times over.
const BLOCK_BYTES_MAX: usize = 1 << 30;
/// Contexts that are busy in turn: one is computed while rows come for another, and a third waits.
const IN_FLIGHT: usize = 3;
/// How long a batch may take on a device that lives.
const LIMIT: Duration = Duration::from_secs(60);

/// A device, opened twice, and what it is to do.
pub(super) struct Trial<'a> {
    pub(super) pattern: &'a Pattern<'a>,
    pub(super) options: &'a KernelOptions,
    pub(super) budget: Budget,
    pub(super) device: &'a dyn Device,
    /// The same with its clock.
    pub(super) timed: Option<&'a dyn Device>,
    /// What counts its energy, or why nothing does.
    pub(super) meter: Result<Meter, NoEnergy>,
}

impl Trial<'_> {
    pub(super) fn run(
        &mut self,
        report: &mut DeviceReport,
        found: &mut Taken,
        step: &mut dyn FnMut(&str),
    ) -> Result<(), Error> {
        let info = self.device.info();
        found.energy = self.no_energy();
        let mut plain = Batches::new(self.device, self)?;
        report.plan = Some(plain.plan.to_string());
        report.kernels = plain.executable.kernels();
        let fitting = |batch: &&usize| **batch <= plain.plan.rows_max();
        let batches: Vec<usize> = self.options.batches.iter().filter(fitting).copied().collect();
        let mut trips = Vec::new();
        for batch in &batches {
            step(&format!("{} {}, batch {batch}", report.backend, info.name));
            let trip = plain.measure(*batch, &self.budget, self.meter.as_mut().ok())?;
            // Where there is no way to the device, nothing can be under way on it.
            let peak = self.device.peak(plain.plan.cost().bytes(*batch));
            let in_flight = match peak.and_then(|peak| peak.link) {
                Some(link) => Some(plain.measure_in_flight(*batch, &self.budget, &link)?),
                None => None,
            };
            trips.push((trip, in_flight, peak));
        }
        if let Some(link) = trips.first().and_then(|(_, _, peak)| peak.as_ref()?.link) {
            // Its contexts need no more memory than its batches.
            let largest = plain.plan.rows_max().min(fed::BATCH_ROWS);
            let executable = &self.device.load(self.plan(self.device, largest)?)?;
            let feeding = Feeding { executable, pattern: self.pattern, block: &plain.block };
            found.pipeline = Some(feeding.measure(self.options.figure_time, &link)?);
        }
        let plan = Arc::clone(&plain.plan);
        drop(plain);
        // Its memory is given back before as much is taken again.
        let mut timed = self.timed.map(|device| Batches::new(device, self)).transpose()?;
        if let Some(batches) = &mut timed
            && !batches.are_timed()?
        {
            timed = None;
        }
        for (batch, (trip, in_flight, peak)) in batches.into_iter().zip(trips) {
            let computed = timed.as_mut().map(|timed| timed.measure(batch, &self.budget, None));
            let computed = computed.transpose()?;
            let seen = SeenAll { trip, computed, in_flight, peak };
            let agreement = seen.agreement();
            report.agreement = Some(report.agreement.map_or(agreement, |all| all.and(agreement)));
            found.cells.push(seen.taken(batch, info, plan.cost()));
        }
        Ok(())
    }

    /// Why nothing will be said of energy, where nothing will.
    fn no_energy(&self) -> Option<String> {
        match &self.meter {
            Ok(meter) => meter.why_not(self.budget.time),
            Err(reason) => Some(reason.to_string()),
        }
    }

    /// The largest batch that is asked for, and that there is memory for.
    fn largest(&self) -> usize {
        let fitting = rows_that_fit(self.pattern.model, self.options.plan.input, BLOCK_BYTES_MAX);
        self.options.batches.iter().copied().max().unwrap_or(1).min(fitting)
    }

    /// The plan for batches of so many rows.
    fn plan(&self, device: &dyn Device, rows_max: usize) -> Result<Arc<Plan>, Error> {
        let options = PlanOptions { rows_max, ..self.options.plan };
        Ok(Plan::new(self.pattern.model, device.limits(), &options)?)
    }
}

/// What was seen of batches of one size.
struct Seen {
    measurement: Measurement,
    /// The same by the device's clock, where it has one.
    computed: Option<Measurement>,
    /// The times of each round, by both clocks.
    trips: Vec<Durations>,
    computations: Vec<Durations>,
    energy: Option<Energy>,
    agreement: Agreement,
}

/// What was seen of batches in flight.
struct Flights {
    figures: InFlight,
    /// Rows a second of each round.
    rates: Vec<f64>,
    agreement: Agreement,
}

/// All that was seen of one batch size.
struct SeenAll {
    trip: Seen,
    /// On the device that was opened with its clock.
    computed: Option<Seen>,
    in_flight: Option<Flights>,
    peak: Option<Peak>,
}

impl SeenAll {
    fn agreement(&self) -> Agreement {
        let of_flights = self.in_flight.as_ref().map(|flights| flights.agreement);
        let others = self.computed.iter().map(|it| it.agreement).chain(of_flights);
        others.fold(self.trip.agreement, Agreement::and)
    }

    fn taken(self, batch: usize, info: &DeviceInfo, cost: &Cost) -> TakenCell {
        let agreement = self.agreement();
        let work = self.computed.as_ref().and_then(|it| it.computed.as_ref());
        let (clock, work) = match work {
            Some(work) => ("device", work),
            None => ("caller", &self.trip.measurement),
        };
        let trip_us = self.trip.measurement.p50_us;
        let link = self.peak.and_then(|peak| peak.link);
        let cell = KernelCell {
            backend: info.backend.name(),
            device: info.name.clone(),
            software: info.software,
            batch,
            measurement: self.trip.measurement,
            link_share: link.map(|link| cost.link_us(batch, &link).iter().sum::<f64>() / trip_us),
            in_flight: self.in_flight.as_ref().map(|flights| flights.figures),
            achieved: Achieved::of(clock, work, cost, batch, self.peak.as_ref()),
            energy: self.trip.energy,
            ceilings: self.peak.map(Ceilings::of),
            max_abs_error: agreement.max_abs_error,
            agrees: agreement.agrees,
        };
        TakenCell {
            cell,
            cost: *cost,
            peak: self.peak,
            trips: self.trip.trips,
            computed: self.computed.map_or_else(Vec::new, |it| it.computations),
            in_flight: self.in_flight.map_or_else(Vec::new, |flights| flights.rates),
        }
    }
}

/// The times of a round by both clocks, and how long it was.
type Round = ((Durations, Durations), Duration);

/// Batches of one context, each of the next rows of a block.
struct Batches<'a> {
    pattern: &'a Pattern<'a>,
    plan: Arc<Plan>,
    executable: Arc<dyn Executable>,
    context: Box<dyn ExecutionContext>,
    /// Those that are busy in turn, once they are needed.
    flights: Vec<Box<dyn ExecutionContext>>,
    block: Block,
    available: usize,
    /// The batch's first row.
    at: usize,
}

impl<'a> Batches<'a> {
    fn new(device: &dyn Device, trial: &Trial<'a>) -> Result<Batches<'a>, Error> {
        let (pattern, plan) = (trial.pattern, trial.plan(device, trial.largest())?);
        let executable = device.load(Arc::clone(&plan))?;
        let context = executable.create_context()?;
        let fitting = rows_that_fit(pattern.model, plan.input(), BLOCK_BYTES_MAX);
        let available = ROWS_WALKED.min(fitting).max(plan.rows_max());
        let block = Block::new(device, pattern, available)?;
        let flights = Vec::new();
        Ok(Batches { pattern, plan, executable, context, flights, block, available, at: 0 })
    }

    /// Whether the device has a clock of its own.
    fn are_timed(&mut self) -> Result<bool, BackendError> {
        self.run_next(1)?;
        Ok(self.context.compute_time().is_some())
    }

    /// Checks the first batch and the last one, and times those between.
    fn measure(
        &mut self,
        batch: usize,
        budget: &Budget,
        mut meter: Option<&mut Meter>,
    ) -> Result<Seen, Error> {
        self.at = self.available;
        self.run_next(batch)?;
        let mut agreement = self.check();
        budget.warm_up().spend(|| self.run_next(batch))?;
        let mut look = || meter.as_mut().and_then(|meter| meter.joules().ok());
        let before = look();
        let rounds = budget.rounds(ROUNDS, |part| self.round(batch, part))?;
        let joules = look().zip(before).map(|(after, before)| after - before);
        agreement = agreement.and(self.check());
        let elapsed = rounds.iter().map(|(_, elapsed)| *elapsed).sum();
        let (trips, computations): (Vec<_>, Vec<_>) =
            rounds.into_iter().map(|(clocks, _)| clocks).unzip();
        let of = |times: Durations| Measurement::of(times.histogram(), batch, elapsed);
        let (measurement, computed) = (of(merged(&trips)), merged(&computations));
        let rows = measurement.batches * batch as u64;
        let told = meter.as_ref().zip(joules);
        let energy = told.and_then(|(meter, joules)| meter.energy(joules, rows, elapsed));
        Ok(Seen {
            measurement,
            computed: (computed.count() > 0).then(|| of(computed)),
            trips,
            computations,
            energy,
            agreement,
        })
    }

    /// Times batches for so long: the caller's clock, the device's, and all of it together.
    fn round(&mut self, batch: usize, part: &Budget) -> Result<Round, BackendError> {
        let (mut trips, mut computed) = (Durations::default(), Durations::default());
        let elapsed = part.spend(|| {
            let begun = Instant::now();
            self.run_next(batch)?;
            trips.add(begun.elapsed());
            if let Some(time) = self.context.compute_time() {
                computed.add(time);
            }
            Ok::<_, BackendError>(())
        })?;
        Ok(((trips, computed), elapsed))
    }

    /// Keeps some contexts busy in turn, and checks the last batch of each.
    fn measure_in_flight(
        &mut self,
        batch: usize,
        budget: &Budget,
        link: &Link,
    ) -> Result<Flights, Error> {
        while self.flights.len() < IN_FLIGHT {
            self.flights.push(self.executable.create_context()?);
        }
        let contexts = &mut self.flights;
        let places = (self.available / batch).max(1);
        let first = |number: usize| number % places * batch;
        let mut batches = 0;
        let begun = Instant::now();
        let mut next = |contexts: &mut [Box<dyn ExecutionContext>]| {
            let context = &mut contexts[batches % IN_FLIGHT];
            if batches >= IN_FLIGHT {
                context.wait(Instant::now() + LIMIT)?;
            }
            let at = first(batches);
            batches += 1;
            context.submit(self.block.rows(at..at + batch))
        };
        for _ in 1..IN_FLIGHT {
            next(contexts)?;
        }
        let rates = budget.rounds(ROUNDS, |part| {
            let mut batches = 0;
            let took = part.spend(|| {
                batches += 1;
                next(contexts)
            })?;
            Ok::<_, BackendError>((batches * batch) as f64 / took.as_secs_f64())
        })?;
        contexts.iter_mut().try_for_each(|context| context.wait(Instant::now() + LIMIT))?;
        let us = begun.elapsed().as_secs_f64() * 1e6 / batches as f64;
        let check = |number: usize| {
            let scores = contexts[number % IN_FLIGHT].scores();
            self.pattern.check(first(number), scores, &self.plan)
        };
        let last = batches - 1;
        let agreement = (batches - IN_FLIGHT..last).map(check).fold(check(last), Agreement::and);
        let figures = InFlight {
            contexts: IN_FLIGHT,
            rows_per_s: batch as f64 / us * 1e6,
            link_share: self.plan.cost().link_us(batch, link).into_iter().fold(0.0, f64::max) / us,
        };
        Ok(Flights { figures, rates, agreement })
    }

    fn run_next(&mut self, batch: usize) -> Result<(), BackendError> {
        let next = self.at + self.context.scores().len() / self.plan.classes();
        self.at = if next + batch <= self.available { next } else { 0 };
        self.context.submit(self.block.rows(self.at..self.at + batch))?;
        self.context.wait(Instant::now() + LIMIT)
    }

    fn check(&self) -> Agreement {
        self.pattern.check(self.at, self.context.scores(), &self.plan)
    }
}
