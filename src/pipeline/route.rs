//! Which backend takes the next batch: a pure decision.

use super::cost::CostTable;

/// A backend that could take a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'a> {
    /// When what it has been given is expected to be done.
    pub(crate) busy_until_ns: u64,
    /// Whether it has batches that are not done.
    pub(crate) in_flight: bool,
    /// What a batch costs on it.
    pub(crate) cost: &'a CostTable,
}

impl Candidate<'_> {
    /// When a batch handed over now would be done. A backend that is overdue is taken to need as
    /// long again as it is late.
    fn finish_ns(&self, rows: usize, now_ns: u64) -> u64 {
        let late = now_ns.saturating_sub(self.busy_until_ns);
        let start = match self.in_flight {
            true if late > 0 => now_ns.saturating_add(late),
            _ => now_ns.max(self.busy_until_ns),
        };
        start.saturating_add(self.cost.estimate_ns(rows))
    }
}

/// The candidate that would be done first with a batch of `rows`, the first of them on ties; `None`
/// where there are none. All times count from the same moment.
pub(crate) fn choose<'a>(
    rows: usize,
    now_ns: u64,
    candidates: impl IntoIterator<Item = Candidate<'a>>,
) -> Option<usize> {
    let finish_ns = candidates.into_iter().map(|candidate| candidate.finish_ns(rows, now_ns));
    finish_ns.enumerate().min_by_key(|(_, finish_ns)| *finish_ns).map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// One row in `ns`, and every further one in as much again.
    fn linear(ns: f64) -> CostTable {
        CostTable::from_points(&[(1, ns)])
    }

    fn busy(busy_until_ns: u64, cost: &CostTable) -> Candidate<'_> {
        Candidate { busy_until_ns, in_flight: true, cost }
    }

    fn idle(cost: &CostTable) -> Candidate<'_> {
        Candidate { busy_until_ns: 0, in_flight: false, cost }
    }

    #[test]
    fn the_earliest_finish_is_chosen() {
        let (fast, slow) = (linear(100.0), linear(300.0));
        assert_eq!(choose(1, 1000, []), None);
        assert_eq!(choose(1, 1000, [idle(&slow), idle(&fast)]), Some(1));
        assert_eq!(choose(1, 1000, [idle(&slow), busy(1199, &fast)]), Some(1));
        assert_eq!(choose(1, 1000, [idle(&slow), busy(1201, &fast)]), Some(0));
        // Ten rows are worth waiting for.
        assert_eq!(choose(10, 1000, [idle(&slow), busy(1201, &fast)]), Some(1));
    }

    #[test]
    fn ties_go_to_the_first() {
        let (fast, slow) = (linear(100.0), linear(300.0));
        assert_eq!(choose(1, 1000, [idle(&slow), busy(1200, &fast)]), Some(0));
        assert_eq!(choose(1, 1000, [busy(1200, &fast), idle(&slow)]), Some(0));
    }

    #[test]
    fn who_is_overdue_is_taken_to_need_as_long_again() {
        let (fast, slow) = (linear(100.0), linear(300.0));
        // Late by 150, so done at 1150 and 1250 with this batch; by 250, at 1350.
        assert_eq!(choose(1, 1000, [idle(&slow), busy(850, &fast)]), Some(1));
        assert_eq!(choose(1, 1000, [idle(&slow), busy(750, &fast)]), Some(0));
        // Late means nothing where all batches are done.
        assert_eq!(choose(1, 1000, [idle(&slow), idle(&fast)]), Some(1));
    }

    #[derive(Clone, Debug)]
    struct Drawn {
        busy_until_ns: u64,
        in_flight: bool,
        one_row_ns: f64,
        all_rows_ns: f64,
    }

    impl Drawn {
        fn table(&self) -> CostTable {
            CostTable::from_points(&[(1, self.one_row_ns), (32_768, self.all_rows_ns)])
        }
    }

    fn drawn() -> impl Strategy<Value = Vec<Drawn>> {
        let one = (0_u64..4000, any::<bool>(), 1.0..1000.0, 1.0..5000.0);
        let one = one.prop_map(|(busy_until_ns, in_flight, one_row_ns, all_rows_ns)| Drawn {
            busy_until_ns,
            in_flight,
            one_row_ns,
            all_rows_ns,
        });
        vec(one, 1..6)
    }

    fn choose_of(rows: usize, now_ns: u64, drawn: &[Drawn]) -> usize {
        let tables: Vec<CostTable> = drawn.iter().map(Drawn::table).collect();
        let candidate = |(drawn, cost): (&Drawn, _)| Candidate {
            busy_until_ns: drawn.busy_until_ns,
            in_flight: drawn.in_flight,
            cost,
        };
        let candidates: Vec<_> = drawn.iter().zip(&tables).map(candidate).collect();
        choose(rows, now_ns, candidates.iter().copied()).unwrap()
    }

    /// The rule in other words, on signed numbers.
    fn finish(rows: usize, now_ns: u64, drawn: &Drawn) -> i128 {
        let (now, until) = (i128::from(now_ns), i128::from(drawn.busy_until_ns));
        let waits = if drawn.in_flight { (until - now).abs() } else { (until - now).max(0) };
        now + waits + i128::from(drawn.table().estimate_ns(rows))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..<_>::default() })]

        #[test]
        fn nobody_would_finish_before_the_chosen(
            drawn in drawn(), rows in 1_usize..40_000, now_ns in 0_u64..4000,
        ) {
            let chosen = choose_of(rows, now_ns, &drawn);
            let of = finish(rows, now_ns, &drawn[chosen]);
            for (index, other) in drawn.iter().enumerate() {
                let other = finish(rows, now_ns, other);
                prop_assert!(of < other || of == other && chosen <= index);
            }
        }

        #[test]
        fn who_becomes_dearer_is_not_chosen_for_it(
            drawn in drawn(), rows in 1_usize..40_000, now_ns in 0_u64..4000,
            which in any::<proptest::sample::Index>(), factor in 1.0..3.0,
        ) {
            let which = which.index(drawn.len());
            let before = choose_of(rows, now_ns, &drawn);
            let mut dearer = drawn;
            dearer[which].one_row_ns *= factor;
            dearer[which].all_rows_ns *= factor;
            let after = choose_of(rows, now_ns, &dearer);
            prop_assert!(after != which || before == which);
            prop_assert!(after == before || before == which, "only the dearer one loses");
        }
    }
}
