//! When a batch is formed: pure, with time as an argument.

/// What is known when a context is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Rows that wait, as far as known.
    pub(crate) rows: u64,
    /// When the row that waits longest was submitted.
    pub(crate) oldest_ns: u64,
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
/// a delay they gather for that long at most, or until a batch is full.
pub(crate) fn decide(
    now_ns: u64,
    waiting: Waiting,
    max_rows: usize,
    max_delay_ns: u64,
) -> Decision {
    let until_ns = waiting.oldest_ns.saturating_add(max_delay_ns);
    if waiting.closing || waiting.rows >= max_rows as u64 || now_ns >= until_ns {
        Decision::Take
    } else {
        Decision::WaitUntil(until_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_delay_rows_are_taken_at_once() {
        let waiting = Waiting { rows: 1, oldest_ns: 1_000, closing: false };
        assert_eq!(decide(1_000, waiting, 256, 0), Decision::Take);
        assert_eq!(decide(5_000, waiting, 256, 0), Decision::Take);
    }

    #[test]
    fn a_delay_ends_with_time_with_a_full_batch_and_with_the_pipeline() {
        let waiting = Waiting { rows: 3, oldest_ns: 1_000, closing: false };
        let decided = |now_ns, waiting| decide(now_ns, waiting, 4, 500);
        assert_eq!(decided(1_000, waiting), Decision::WaitUntil(1_500));
        assert_eq!(decided(1_499, waiting), Decision::WaitUntil(1_500));
        assert_eq!(decided(1_500, waiting), Decision::Take);
        assert_eq!(decided(1_000, Waiting { rows: 4, ..waiting }), Decision::Take);
        assert_eq!(decided(1_000, Waiting { closing: true, ..waiting }), Decision::Take);
    }

    #[test]
    fn a_delay_past_the_end_of_time_is_one_for_ever() {
        let waiting = Waiting { rows: 1, oldest_ns: 1_000, closing: false };
        assert_eq!(decide(u64::MAX - 1, waiting, 2, u64::MAX), Decision::WaitUntil(u64::MAX));
    }
}
