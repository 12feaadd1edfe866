//! Running a model, and knowing what happened in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::model::Builder;

use crate::primitives::prepare;

/// In how many orders of its threads' steps a model is run. In each of them a load gets every value
/// that it may see.
#[derive(Clone, Copy)]
pub(crate) enum Orders {
    /// In all that differ.
    All,
    /// In those where a thread that could go on is kept from it so often at most.
    Preempted(usize),
}

/// What is to happen in one execution of a model or another: a model in which nothing does proves
/// nothing.
pub(crate) struct Seen<const N: usize> {
    what: [&'static str; N],
    times: [AtomicUsize; N],
}

impl<const N: usize> Seen<N> {
    pub(crate) fn of(what: [&'static str; N]) -> Seen<N> {
        Seen { what, times: [const { AtomicUsize::new(0) }; N] }
    }

    pub(crate) fn note(&self, number: usize) {
        self.times[number].fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) fn check<const N: usize>(
    orders: Orders,
    seen: Seen<N>,
    model: impl Fn(&Seen<N>) + Send + Sync + 'static,
) {
    let seen = Arc::new(seen);
    let executions = Arc::new(AtomicUsize::new(0));
    let mut builder = Builder::new();
    builder.max_branches = 10_000;
    builder.preemption_bound = match orders {
        Orders::All => None,
        Orders::Preempted(times) => Some(times),
    };
    let began = std::time::Instant::now();
    builder.check({
        let (executions, seen) = (Arc::clone(&executions), Arc::clone(&seen));
        move || {
            prepare();
            executions.fetch_add(1, Ordering::Relaxed);
            model(&seen);
        }
    });
    println!("{executions:?} executions {:?}", began.elapsed());
    for (what, times) in seen.what.iter().zip(&seen.times) {
        println!("{what}: {times:?}");
        assert!(times.load(Ordering::Relaxed) > 0, "never happened: {what}");
    }
}
