//! One device at work: each batch size checked, then timed by the caller and by the device.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::agreement::Agreement;
use super::super::compare::{ROWS_WALKED, rows_that_fit};
use super::super::measure::{Budget, Measurement, nanoseconds, record};
use super::super::report::DeviceReport;
use super::KernelOptions;
use super::pattern::{Block, Pattern};
use super::report::{Achieved, Ceilings, KernelCell};
use crate::Error;
use crate::backend::{BackendError, Device, ExecutionContext};
use crate::plan::{Plan, PlanOptions};

/// Bytes of rows that a block holds at most: more than the caches of any device, some times over.
const BLOCK_BYTES_MAX: usize = 1 << 30;
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
}

impl Trial<'_> {
    pub(super) fn run(
        &self,
        report: &mut DeviceReport,
        cells: &mut Vec<KernelCell>,
        step: &mut dyn FnMut(&str),
    ) -> Result<(), Error> {
        let info = self.device.info();
        let mut plain = Batches::new(self.device, self)?;
        report.plan = Some(plain.plan.to_string());
        let fitting = |batch: &&usize| **batch <= plain.plan.rows_max();
        let batches: Vec<usize> = self.options.batches.iter().filter(fitting).copied().collect();
        let mut trips = Vec::new();
        for batch in &batches {
            step(&format!("{} {}, batch {batch}", report.backend, info.name));
            trips.push(plain.measure(*batch, &self.budget)?);
        }
        drop(plain);
        // Its memory is given back before as much is taken again.
        let mut timed = self.timed.map(|device| Batches::new(device, self)).transpose()?;
        if let Some(batches) = &mut timed
            && !batches.are_timed()?
        {
            timed = None;
        }
        let plan = self.plan(self.device)?;
        for (batch, trip) in batches.into_iter().zip(trips) {
            let computed = timed.as_mut().map(|timed| timed.measure(batch, &self.budget));
            let computed = computed.transpose()?;
            let agreement = computed.iter().fold(trip.agreement, |all, it| all.and(it.agreement));
            report.agreement = Some(report.agreement.map_or(agreement, |all| all.and(agreement)));
            let cost = plan.cost();
            let peak = self.device.peak(cost.bytes(batch));
            let (clock, work) = match computed.and_then(|it| it.computed) {
                Some(work) => ("device", work),
                None => ("caller", trip.measurement),
            };
            let link = peak.and_then(|peak| peak.link);
            cells.push(KernelCell {
                backend: info.backend.name(),
                device: info.name.clone(),
                software: info.software,
                batch,
                measurement: trip.measurement,
                link_share: link.map(|link| cost.link_us(batch, &link) / trip.measurement.p50_us),
                achieved: Achieved::of(clock, &work, cost, batch, peak.as_ref()),
                ceilings: peak.map(Ceilings::of),
                max_abs_error: agreement.max_abs_error,
                agrees: agreement.agrees,
            });
        }
        Ok(())
    }

    /// The plan for batches of any size that is asked for, as far as there is memory.
    fn plan(&self, device: &dyn Device) -> Result<Arc<Plan>, Error> {
        let largest = self.options.batches.iter().copied().max().unwrap_or(1);
        let fitting = rows_that_fit(self.pattern.model, self.options.plan.input, BLOCK_BYTES_MAX);
        let options = PlanOptions { rows_max: largest.min(fitting), ..self.options.plan };
        Ok(Plan::new(self.pattern.model, device.limits(), &options)?)
    }
}

/// What was seen of batches of one size.
struct Seen {
    measurement: Measurement,
    /// The same by the device's clock, where it has one.
    computed: Option<Measurement>,
    agreement: Agreement,
}

/// Batches of one context, each of the next rows of a block.
struct Batches<'a> {
    pattern: &'a Pattern<'a>,
    plan: Arc<Plan>,
    context: Box<dyn ExecutionContext>,
    block: Block,
    available: usize,
    /// The batch's first row.
    at: usize,
}

impl<'a> Batches<'a> {
    fn new(device: &dyn Device, trial: &Trial<'a>) -> Result<Batches<'a>, Error> {
        let (pattern, plan) = (trial.pattern, trial.plan(device)?);
        let context = device.load(Arc::clone(&plan))?.create_context()?;
        let fitting = rows_that_fit(pattern.model, plan.input(), BLOCK_BYTES_MAX);
        let available = ROWS_WALKED.min(fitting).max(plan.rows_max());
        let block = Block::new(device, pattern, available)?;
        Ok(Batches { pattern, plan, context, block, available, at: 0 })
    }

    /// Whether the device has a clock of its own.
    fn are_timed(&mut self) -> Result<bool, BackendError> {
        self.run_next(1)?;
        Ok(self.context.compute_time().is_some())
    }

    /// Checks the first batch and the last one, and times those between.
    fn measure(&mut self, batch: usize, budget: &Budget) -> Result<Seen, Error> {
        self.at = self.available;
        self.run_next(batch)?;
        let mut agreement = self.check();
        budget.warm_up().spend(|| self.run_next(batch))?;
        let (mut trips, mut computed) = (nanoseconds(), nanoseconds());
        let elapsed = budget.spend(|| {
            let begun = Instant::now();
            self.run_next(batch)?;
            record(&mut trips, begun.elapsed());
            if let Some(time) = self.context.compute_time() {
                record(&mut computed, time);
            }
            Ok::<_, BackendError>(())
        })?;
        agreement = agreement.and(self.check());
        Ok(Seen {
            measurement: Measurement::of(&trips, batch, elapsed),
            computed: (!computed.is_empty()).then(|| Measurement::of(&computed, batch, elapsed)),
            agreement,
        })
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
