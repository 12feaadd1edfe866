//! A figure while it is found, with the rounds behind it.

use super::super::load::{Durations, Kept, Rate};
use super::super::record::{merged, ratio_interval};
use super::report::{HandoffCell, Quantity, ScheduleFacts, SwapFacts};

/// A figure, and a number or some times for each of its rounds.
#[derive(Clone, Debug, Default)]
pub(super) struct Taken {
    pub(super) cell: HandoffCell,
    /// Times, where times were measured: from when requests were due, where there was a schedule.
    pub(super) times: Vec<Durations>,
    /// The same from when requests were sent.
    pub(super) called: Vec<Durations>,
    /// Rows a second, where those were counted.
    pub(super) rates: Vec<f64>,
    /// How long swaps took, where something was swapped.
    pub(super) swaps: Option<Durations>,
    /// Each round's ratio to that of the figure which it stands beside.
    pub(super) ratios: Vec<f64>,
    /// Where the ratio lies with 95 % confidence.
    pub(super) interval: Option<(f64, f64)>,
}

impl Taken {
    pub(super) fn timed(experiment: &'static str, times: Vec<Durations>) -> Taken {
        let cell = HandoffCell { experiment, ..HandoffCell::default() };
        let taken = Taken { cell, ..Taken::default() }.with_times(times);
        let requests = taken.times.iter().map(Durations::count).sum();
        Taken { cell: HandoffCell { requests, ..taken.cell }, ..taken }
    }

    /// Rows a second, and the requests they took.
    pub(super) fn rated(experiment: &'static str, rounds: &[(f64, u64)]) -> Taken {
        let (rates, requests): (Vec<f64>, Vec<u64>) = rounds.iter().copied().unzip();
        let (rate, requests) = (Some(Rate::of(rates.clone())), requests.iter().sum());
        let cell = HandoffCell { experiment, requests, rate, ..HandoffCell::default() };
        Taken { cell, rates, ..Taken::default() }
    }

    /// Requests of a schedule: so many a second, which is that share of the sustained rate.
    pub(super) fn scheduled(
        experiment: &'static str,
        rounds: Vec<Kept>,
        (offered_per_s, load): (f64, f64),
    ) -> Taken {
        let mut kept = Kept::default();
        rounds.iter().for_each(|round| kept.add(round));
        let (late, called) = (kept.late.percentiles(), kept.called.percentiles());
        let schedule = Some(ScheduleFacts {
            offered_per_s,
            load,
            late_p99_us: late.p99_us,
            late_max_us: late.max_us,
            called_p50_us: called.p50_us,
            called_p99_us: called.p99_us,
            full: kept.full,
            unsent: kept.unsent,
            kept: kept.is_kept(),
        });
        let (times, called) = rounds.into_iter().map(|kept| (kept.latency, kept.called)).unzip();
        let taken = Taken::timed(experiment, times);
        Taken { cell: HandoffCell { schedule, ..taken.cell }, called, ..taken }
    }

    pub(super) fn with_times(mut self, times: Vec<Durations>) -> Taken {
        self.cell.latency = Some(merged(&times).percentiles());
        Taken { times, ..self }
    }

    pub(super) fn with_swaps(mut self, swaps: Durations) -> Taken {
        let took = swaps.percentiles();
        self.cell.swaps = Some(SwapFacts {
            swaps: swaps.count(),
            swap_p50_us: took.p50_us,
            swap_max_us: took.max_us,
        });
        Taken { swaps: Some(swaps), ..self }
    }

    /// Which of its kind it is: the bytes of a row, and the threads that sent them.
    pub(super) fn of(
        mut self,
        variant: &'static str,
        (row_bytes, producers): (usize, usize),
    ) -> Taken {
        self.cell = HandoffCell { variant, row_bytes, producers, ..self.cell };
        self
    }

    /// The figure beside another one; unchanged where one of them lacks the quantity.
    pub(super) fn beside(self, other: &Taken, quantity: Quantity) -> Taken {
        let (own, others) = (self.rounds(quantity), other.rounds(quantity));
        let pairs = own.iter().zip(&others).filter(|(_, other)| **other > 0.0);
        Taken {
            ratios: pairs.map(|(own, other)| own / other).collect(),
            interval: ratio_interval(&others, &own),
            cell: self.cell.beside(&other.cell, quantity),
            ..self
        }
    }

    /// The quantity in each round.
    fn rounds(&self, quantity: Quantity) -> Vec<f64> {
        let times = self.times.iter().map(Durations::percentiles);
        match quantity {
            Quantity::P50 => times.map(|times| times.p50_us).collect(),
            Quantity::P99 => times.map(|times| times.p99_us).collect(),
            Quantity::Rate => self.rates.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(us: u64) -> Durations {
        let mut times = Durations::default();
        (0..100).for_each(|_| times.add_ns(us * 1_000));
        times
    }

    #[test]
    fn a_figure_keeps_its_rounds_and_their_ratios() {
        let floor = Taken::timed("floor", [10, 10, 11, 10].map(times).to_vec());
        let twice = Taken::timed("latency", [20, 20, 22, 20].map(times).to_vec());
        let beside = twice.beside(&floor, Quantity::P50);
        assert_eq!((beside.cell.requests, beside.times.len()), (400, 4));
        assert!(beside.ratios.iter().all(|ratio| (ratio - 2.0).abs() < 0.01), "{beside:?}");
        let (low, high) = beside.interval.unwrap();
        assert!(low < 2.0 && high > 2.0 && (beside.cell.beside.unwrap().ratio - 2.0).abs() < 0.01);
        // Too few rounds for an interval, and a quantity that neither has.
        let few = Taken::rated("a", &[(2.0, 1), (4.0, 2)]);
        let beside = few.clone().beside(&Taken::rated("b", &[(1.0, 1), (0.0, 1)]), Quantity::Rate);
        assert_eq!((beside.cell.requests, beside.ratios, beside.interval), (3, vec![2.0], None));
        assert!(few.clone().beside(&few, Quantity::P99).cell.beside.is_none());
    }
}
