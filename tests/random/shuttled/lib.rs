//! The whole pipeline, compiled from the crate's own files over shuttle's primitives.
//!
//! The files name theirs by a path that leads to `sync` beside `pipeline`, so each module tree here
//! brings a `sync` of its own; model, plan and backend share nothing between threads, and are there
//! once. Further trees have one bug planted each (see `planted` in `src/sync.rs`), which the tests
//! have to find.

#![allow(clippy::duplicate_mod, dead_code, unused_imports, missing_docs)]

mod primitives;

#[path = "../../../src/backend/mod.rs"]
pub mod backend;
#[path = "../../../src/model/mod.rs"]
pub mod model;
#[path = "../../../src/plan/mod.rs"]
pub mod plan;

#[path = "../../../src/sync.rs"]
mod plain;

macro_rules! tree {
    ($name:ident $(, $planted:ident: $type:ty = $value:expr)?) => {
        #[path = "../../../src"]
        pub mod $name {
            pub(crate) use crate::{backend, model, plan};

            pub(crate) mod sync {
                pub(crate) use crate::primitives::*;

                pub(crate) mod planted {
                    use super::Ordering;
                    pub(crate) use crate::plain::planted::*;
                    $(pub(crate) const $planted: $type = $value;)?
                }
            }

            pub mod pipeline;
        }
    };
}

tree!(right);
tree!(unchecked_attempt, CHECKS_ATTEMPT: bool = false);
tree!(forgotten_wake, WAKES: bool = false);
