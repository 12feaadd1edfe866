//! When a batch is formed, and whose rows go first: pure, with time as an argument.

use super::clock::NEVER;

/// What is known when a context is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Rows that wait, as far as known.
    pub(crate) rows: u64,
    /// When the row that waits longest was submitted.
    pub(crate) oldest_ns: u64,
    /// When the first of them has to start for its deadline; [`NEVER`] where none has one.
    pub(crate) start_by_ns: u64,
    /// Whether no more rows will come.
    pub(crate) closing: bool,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Form a batch of what there is.
    Take,
    /// Let others join until then.
    WaitUntil(u64),
}

/// Batch-while-busy: a free context takes what waits, at once; rows gather while all are busy. With
/// a delay they gather for that long at most, or until a batch is full, or until a row has to start
/// for its deadline.
pub(crate) fn decide(
    now_ns: u64,
    waiting: Waiting,
    max_rows: usize,
    max_delay_ns: u64,
) -> Decision {
    let until_ns = waiting.oldest_ns.saturating_add(max_delay_ns).min(waiting.start_by_ns);
    if waiting.closing || waiting.rows >= max_rows as u64 || now_ns >= until_ns {
        Decision::Take
    } else {
        Decision::WaitUntil(until_ns)
    }
}

/// When a row has to start that takes `run_ns` and is to be done by its deadline. A quarter of the
/// time it has is left for threads that wake late.
pub(crate) fn start_by_ns(submitted_ns: u64, deadline_ns: u64, run_ns: u64) -> u64 {
    if deadline_ns == NEVER {
        return NEVER;
    }
    let spare_ns = deadline_ns.saturating_sub(submitted_ns) / 4;
    deadline_ns.saturating_sub(run_ns).saturating_sub(spare_ns)
}

/// Where interactive rows would fill every batch, bulk gets one row for this many of theirs.
pub(crate) const BULK_ONE_IN: usize = 16;

/// What bulk rows have a claim to. Interactive rows go first; those that do while bulk rows wait
/// are counted, and bulk rows begin the next batch with their share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    /// Interactive rows that went first and are not made up for.
    passed_by: usize,
}

impl Share {
    /// How many bulk rows the next batch begins with, where there are any.
    pub(crate) fn due(self) -> usize {
        self.passed_by / BULK_ONE_IN
    }

    /// Notes how many rows of either kind a batch of `max_rows` at most took, and whether bulk rows
    /// still wait. What is due never exceeds a sixteenth of a batch and one row.
    pub(crate) fn note(&mut self, interactive: usize, bulk: usize, waits: bool, max_rows: usize) {
        let passed_by = self.passed_by + interactive;
        let made_up = bulk.saturating_mul(BULK_ONE_IN);
        let most = max_rows.saturating_add(BULK_ONE_IN);
        self.passed_by = if waits { passed_by.saturating_sub(made_up).min(most) } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_ends_in_time_for_a_deadline() {
        let waiting =
            |start_by_ns| Waiting { rows: 1, oldest_ns: 1_000, start_by_ns, closing: false };
        let decided = |now_ns, start_by_ns| decide(now_ns, waiting(start_by_ns), 4, 500);
        assert_eq!(decided(1_000, 1_200), Decision::WaitUntil(1_200));
        assert_eq!(decided(1_200, 1_200), Decision::Take);
        assert_eq!(decided(1_000, 9_000), Decision::WaitUntil(1_500));
        assert_eq!(start_by_ns(1_000, NEVER, 10), NEVER);
        assert_eq!(start_by_ns(1_000, 5_000, 100), 3_900);
        assert_eq!(start_by_ns(1_000, 5_000, 9_000), 0, "too late in any case: at once");
        assert_eq!(start_by_ns(7_000, 5_000, 0), 5_000);
    }

    /// Batches of a full load of both kinds: what each of them takes of bulk rows.
    fn bulk_of_batches(max_rows: usize, batches: usize) -> Vec<usize> {
        let mut share = Share::default();
        let batch = |_| {
            let bulk = share.due();
            share.note(max_rows - bulk, bulk, true, max_rows);
            bulk
        };
        (0..batches).map(batch).collect()
    }

    #[test]
    fn bulk_rows_get_one_row_in_seventeen_of_a_full_load() {
        for max_rows in [1, 2, 7, 15, 16, 17, 32, 256, 1000] {
            let batches = 400;
            let taken = bulk_of_batches(max_rows, batches);
            let (sum, all) = (taken.iter().sum::<usize>(), batches * max_rows);
            assert!(sum * 20 >= all, "{sum} of {all} rows");
            assert!(sum * 16 <= all, "{sum} of {all} rows");
            let first = taken.iter().position(|rows| *rows > 0).unwrap();
            assert!(first <= BULK_ONE_IN.div_ceil(max_rows), "first in batch {first}");
        }
    }

    #[test]
    fn bulk_rows_that_do_not_wait_have_no_claim() {
        let mut share = Share::default();
        share.note(1_000, 0, true, 256);
        assert_eq!(share.due(), 17);
        share.note(256, 3, false, 256);
        assert_eq!(share.due(), 0);
        (0..1_000).for_each(|_| share.note(8, 0, true, 8));
        assert_eq!(share.due(), 1, "a claim does not grow for ever");
    }

    #[test]
    fn without_a_delay_rows_are_taken_at_once() {
        let waiting = Waiting { rows: 1, oldest_ns: 1_000, start_by_ns: NEVER, closing: false };
        assert_eq!(decide(1_000, waiting, 256, 0), Decision::Take);
        assert_eq!(decide(5_000, waiting, 256, 0), Decision::Take);
    }

    #[test]
    fn a_delay_ends_with_time_with_a_full_batch_and_with_the_pipeline() {
        let waiting = Waiting { rows: 3, oldest_ns: 1_000, start_by_ns: NEVER, closing: false };
        let decided = |now_ns, waiting| decide(now_ns, waiting, 4, 500);
        assert_eq!(decided(1_000, waiting), Decision::WaitUntil(1_500));
        assert_eq!(decided(1_499, waiting), Decision::WaitUntil(1_500));
        assert_eq!(decided(1_500, waiting), Decision::Take);
        assert_eq!(decided(1_000, Waiting { rows: 4, ..waiting }), Decision::Take);
        assert_eq!(decided(1_000, Waiting { closing: true, ..waiting }), Decision::Take);
    }

    #[test]
    fn a_delay_past_the_end_of_time_is_one_for_ever() {
        let waiting = Waiting { rows: 1, oldest_ns: 1_000, start_by_ns: NEVER, closing: false };
        assert_eq!(decide(u64::MAX - 1, waiting, 2, u64::MAX), Decision::WaitUntil(u64::MAX));
    }
}
