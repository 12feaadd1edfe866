//! The whole pipeline under schedulers that choose what happens next by chance, by shuttle: its
//! real threads and callers, on rings so small that they wrap, fill and leave stragglers behind
//! all the time.
//!
//! `shuttled/` compiles the crate's own files over shuttle's primitives, under which one thread
//! runs at a time and every access to what threads share may be the last before another goes on.
//! A thread that waits for ever is found as a deadlock, one that turns in circles by its number of
//! steps. Orderings weaker than sequential consistency are for `tests/models/`.
//!
//! A *round* is a number of executions that follow from a seed. The seed of a round that fails is
//! printed, and fails again: `FUSEWIRE_SEED=7 cargo test --all-features --test random
//! serves::uniform`, with the test's own name. (What shuttle prints itself is the seed of the one
//! execution, by another numbering.) `FUSEWIRE_RANDOM_RUNS` says how many executions each test
//! makes, rather than [`RUNS`].

#![allow(clippy::duplicate_mod)]

mod explore;

macro_rules! tree {
    ($name:ident) => {
        #[path = "."]
        #[allow(dead_code)]
        mod $name {
            use fusewire_shuttled::$name::pipeline;

            mod caller;
            pub(crate) mod service;
        }
    };
}

tree!(right);

use explore::{Order, explore, finds};

/// Executions of each scenario under each scheduler.
const RUNS: u64 = 1200;

macro_rules! scenarios {
    ($($scenario:ident),*) => {
        $(mod $scenario {
            use super::*;

            #[test]
            fn uniform() {
                explore(Order::Uniform, right::service::$scenario);
            }

            #[test]
            fn by_priority() {
                explore(Order::Priorities, right::service::$scenario);
            }
        })*
    };
}

scenarios!(serves, laps, survives, ends);

// Each of these trees has one bug, and chance is to find it.
tree!(unchecked_attempt);
tree!(forgotten_wake);

macro_rules! planted {
    ($($tree:ident: $scenario:ident;)*) => {
        mod planted {
            use super::*;

            $(#[test]
            fn $tree() {
                finds($tree::service::$scenario);
            })*
        }
    };
}

planted! {
    unchecked_attempt: survives;
    forgotten_wake: serves;
}
