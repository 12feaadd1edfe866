//! The highest rate that a backend keeps up with.

use std::time::Duration;

use super::super::error::BenchError;
use super::super::load::{Kept, Schedule, Search};
use super::super::stream::Outcome;
use super::Lab;

/// A rate is sustained where so much of it comes out ([`Schedule::comes_out`]).
pub(in crate::bench) const SUSTAINED_SHARE: f64 = 0.99;
/// Where searches begin, and end.
pub(in crate::bench) const SEARCH: Search =
    Search { first_per_s: 5e4, least_per_s: 20.0, most_per_s: 1e8, within: 1.05 };
/// A rate is tried until one verdict was given so often, so that one pause of the machine does not
/// decide.
pub(in crate::bench) const VERDICTS: usize = 2;

/// So many requests a try has at least, whatever its time, so that low rates can be told, too.
const REQUESTS_MIN: f64 = 20.0;

/// A rate that was tried, and what came of it.
#[derive(Debug)]
pub(in crate::bench) struct Probe {
    /// The rate.
    pub(in crate::bench) rate: f64,
    /// All tries together.
    pub(in crate::bench) kept: Kept,
    /// How often it was tried.
    pub(in crate::bench) tries: usize,
    /// In how many tries it was sustained.
    pub(in crate::bench) sustained: usize,
}

/// Rates that were tried on a subject with one operator and one row a request.
#[derive(Debug, Default)]
pub(in crate::bench) struct Probes {
    /// In the order they were tried first.
    pub(in crate::bench) tried: Vec<Probe>,
}

impl Probes {
    /// The highest rate that is sustained and meets `bound`, too.
    pub(in crate::bench) fn highest(
        &mut self,
        lab: &Lab<'_>,
        subject: usize,
        search: Search,
        bound: impl Fn(&Kept) -> bool,
    ) -> Result<Option<f64>, BenchError> {
        search.highest(|rate| {
            let mut said = [0; 2];
            while said.iter().all(|times| *times < VERDICTS) {
                let (kept, is_sustained) = self.probe(lab, subject, rate)?;
                said[usize::from(is_sustained && bound(&kept))] += 1;
            }
            Ok(said[1] >= VERDICTS)
        })
    }

    /// Tries a rate once: what came of it, and whether it was sustained.
    fn probe(
        &mut self,
        lab: &Lab<'_>,
        subject: usize,
        rate: f64,
    ) -> Result<(Kept, bool), BenchError> {
        let time = lab.options.probe_time.max(Duration::from_secs_f64(REQUESTS_MIN / rate));
        let schedule = Schedule::new(rate, time).after(lab.options.warm_up).in_quarters();
        let Outcome { kept, .. } = lab.job(subject, 1).open_loop(&schedule, 1)?;
        let is_sustained = schedule.comes_out(&kept, SUSTAINED_SHARE);
        let sustained = usize::from(is_sustained);
        match self.tried.iter_mut().find(|probe| probe.rate == rate) {
            Some(probe) => {
                probe.kept.add(&kept);
                probe.tries += 1;
                probe.sustained += sustained;
            }
            None => self.tried.push(Probe { rate, kept: kept.clone(), tries: 1, sustained }),
        }
        Ok((kept, is_sustained))
    }
}
