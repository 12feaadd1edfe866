//! The highest rate that a backend keeps up with.

use super::super::error::BenchError;
use super::super::load::{Kept, Schedule, Search};
use super::super::stream::Outcome;
use super::Lab;

/// A rate is sustained where so much of it comes out.
pub(in crate::bench) const SUSTAINED_SHARE: f64 = 0.99;
/// Where searches begin, and end.
pub(in crate::bench) const SEARCH: Search =
    Search { first_per_s: 5e4, most_per_s: 1e8, within: 1.05 };
/// A rate is tried until one verdict was given so often, so that one pause of the machine does not
/// decide.
pub(in crate::bench) const VERDICTS: usize = 2;

/// Whether a rate came out as it went in.
pub(in crate::bench) fn is_sustained(kept: &Kept, rate: f64) -> bool {
    kept.unsent == 0 && kept.answered_per_s() >= SUSTAINED_SHARE * rate
}

/// Rates that were tried on a subject with one operator and one row a request, and what came of
/// them.
#[derive(Debug, Default)]
pub(in crate::bench) struct Probes {
    /// By rate, in the order they were tried first.
    pub(in crate::bench) tried: Vec<(f64, Kept)>,
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
                let kept = self.probe(lab, subject, rate)?;
                said[usize::from(is_sustained(&kept, rate) && bound(&kept))] += 1;
            }
            Ok(said[1] >= VERDICTS)
        })
    }

    fn probe(&mut self, lab: &Lab<'_>, subject: usize, rate: f64) -> Result<Kept, BenchError> {
        let schedule = Schedule::new(rate, lab.options.probe_time).after(lab.options.warm_up);
        let Outcome { kept, .. } = lab.job(subject, 1).open_loop(&schedule, 1)?;
        match self.tried.iter_mut().find(|(known, _)| *known == rate) {
            Some((_, all)) => all.add(&kept),
            None => self.tried.push((rate, kept.clone())),
        }
        Ok(kept)
    }
}
