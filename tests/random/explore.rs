//! Running a scenario in many orders, and knowing what happened in them.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

use crate::RUNS;

/// Executions of a round.
const ROUND: u64 = 20;
/// Steps that no execution takes unless a thread turns in circles. A look at the metrics alone
/// takes thousands, one for each bucket of a histogram.
const STEPS: usize = 1_000_000;
/// How many times the usual number of executions it may take to find a planted bug.
const FINDING: u64 = 5;
/// How often the order of priorities changes in the course of an execution, at most.
const CHANGES: u64 = 8;

/// Who chooses the thread that goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// Chance, at every step.
    Uniform,
    /// Chance, few times: threads have priorities, which change now and then.
    Priorities,
}

/// How often things came to pass in a number of executions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Seen {
    pub(crate) fn note(&self, what: &'static str, times: u64) {
        // Nothing panics while this is held.
        *self.0.lock().unwrap().entry(what).or_default() += times;
    }
}

/// A scenario: what happens in one execution. Of what it notes, everything is to happen.
pub(crate) type Scenario = fn(&Seen);

/// Runs a scenario as often as is asked for.
pub(crate) fn explore(order: Order, scenario: Scenario) {
    let seen = Seen::default();
    let chosen = variable("FUSEWIRE_SEED");
    let rounds = variable("FUSEWIRE_RANDOM_RUNS").unwrap_or(RUNS).div_ceil(ROUND);
    let began = Instant::now();
    for seed in chosen.map_or(0..rounds, |seed| seed..seed + 1) {
        if round(order, seed, scenario, &seen).is_err() {
            panic!("seed {seed} fails; FUSEWIRE_SEED={seed} makes it fail again");
        }
    }
    let seen = seen.0.lock().unwrap();
    println!("{:?}: {seen:?}", began.elapsed());
    // A scenario in which nothing happens proves nothing.
    assert!(chosen.is_some() || seen.values().all(|times| *times > 0), "{seen:?}");
}

/// Runs a scenario with a bug until it fails, which it is to do.
pub(crate) fn finds(scenario: Scenario) {
    let orders = [Order::Uniform, Order::Priorities];
    let mut rounds =
        (0..FINDING * RUNS.div_ceil(ROUND)).flat_map(|seed| orders.map(|order| (order, seed)));
    let seen = Seen::default();
    let found = rounds.find(|(order, seed)| round(*order, *seed, scenario, &seen).is_err());
    println!("{found:?}");
    assert!(found.is_some(), "chance does not find the planted bug");
}

fn round(order: Order, seed: u64, scenario: Scenario, seen: &Seen) -> std::thread::Result<usize> {
    let mut config = Config::new();
    config.stack_size = 1 << 18;
    config.failure_persistence = FailurePersistence::None;
    config.max_steps = MaxSteps::FailAfter(STEPS);
    config.silence_warnings = true;
    let (runs, seen) = (ROUND as usize, seen.clone());
    let body = move || {
        seen.note("executions", 1);
        scenario(&seen);
    };
    catch_unwind(AssertUnwindSafe(|| match order {
        Order::Uniform => Runner::new(RandomScheduler::new_from_seed(seed, runs), config).run(body),
        Order::Priorities => {
            let changes = (1 + seed % CHANGES) as usize;
            Runner::new(PctScheduler::new_from_seed(seed, 1 + changes, runs), config).run(body)
        }
    }))
}

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is to be a number, not {value:?}")))
}
