//! Every interleaving of small scenarios of the pipeline's lock-free parts, by loom.
//!
//! The same source files are compiled against loom's primitives: they name theirs by a path that
//! leads to `sync` beside `pipeline`, so each module tree here brings a `sync` of its own. Further
//! trees have one bug planted each (see `planted` in `src/sync.rs`), which a proof has to find. A
//! proof names the invariant it is for; where not all orders are run, those are with so many
//! preemptions at most.

#![allow(clippy::duplicate_mod, dead_code, unused_imports, unused_must_use)]

mod check;
mod primitives;

macro_rules! tree {
    ($name:ident $(, $planted:ident: $type:ty = $value:expr)?) => {
        #[path = "../../src"]
        #[allow(dead_code, unused_imports)]
        mod $name {
            pub(crate) mod sync {
                pub(crate) use crate::primitives::*;

                pub(crate) mod planted {
                    use super::Ordering;
                    pub(crate) use crate::plain::sync::planted::*;
                    $(pub(crate) const $planted: $type = $value;)?
                }
            }

            pub(crate) mod pipeline {
                pub(crate) mod bell;
                pub(crate) mod flight;
                pub(crate) mod ring;
                pub(crate) mod space;
                pub(crate) mod waiter;
                pub(crate) mod word;
            }

            #[path = "../tests/models/proofs/mod.rs"]
            pub(crate) mod proofs;
        }
    };
}

#[path = "../../src"]
#[allow(dead_code, unused_imports)]
mod plain {
    pub(crate) mod sync;

    pub(crate) mod pipeline {
        pub(crate) mod ring;
        pub(crate) mod waiter;
        pub(crate) mod word;
    }
}

tree!(right);

macro_rules! proofs {
    ($($room:ident: $($proof:ident),*;)*) => {
        $(mod $room {
            $(#[test]
            fn $proof() {
                crate::right::proofs::$room::$proof();
            })*
        })*
    };
}

proofs! {
    requests: are_answered_once, given_up_free_their_row_once, keep_their_row_while_it_is_read,
        are_seen_on_a_row_just_freed, get_the_last_row_one_at_a_time, end_with_the_ring,
        are_taken_out_of_turn_once;
    rows: given_up_are_freed_once, waited_for_are_complete_once, pass_a_straggler,
        are_claimed_together;
    stragglers: are_passed_by_two_at_once, are_passed_while_they_let_go, may_never_come,
        may_come_late, may_change_their_mind;
    tickets: are_woken_for_their_own, may_leave_before_they_are_woken;
    bell: wakes_one_worker, wakes_for_two_producers, wakes_one_of_two_workers,
        tells_that_nobody_is_left;
    space: is_not_missed, is_passed_on, is_left_to_the_next, may_never_come,
        is_not_denied_for_another, is_not_denied_after_it_came, is_kept_for_the_first,
        is_passed_over, is_taken_beside_a_turn;
    flight: lands_once, holds_what_is_read;
}

// Each of these trees has one bug, and the proofs are to find it.
tree!(relaxed_claim, CLAIM: Ordering = Ordering::Relaxed);
tree!(relaxed_publish, PUBLISH: Ordering = Ordering::Relaxed);
tree!(relaxed_answer, ANSWER: Ordering = Ordering::Relaxed);
tree!(frees_while_read, HOLDS_WHILE_READ: bool = false);
tree!(unchecked_attempt, CHECKS_ATTEMPT: bool = false);
tree!(forgotten_wake, WAKES: bool = false);
tree!(late_word, SAYS_IT_LOOKS: bool = false);
tree!(kept_turn, PASSES_TURNS: bool = false);
tree!(jumped_line, KEEPS_ROWS: bool = false);

macro_rules! planted {
    ($($tree:ident: $room:ident::$proof:ident;)*) => {
        mod planted {
            $(#[test]
            fn $tree() {
                let found = std::panic::catch_unwind(crate::$tree::proofs::$room::$proof);
                assert!(found.is_err(), "the proof does not see the planted bug");
            })*
        }
    };
}

planted! {
    relaxed_claim: requests::are_seen_on_a_row_just_freed;
    relaxed_publish: requests::are_answered_once;
    relaxed_answer: requests::are_answered_once;
    frees_while_read: flight::holds_what_is_read;
    unchecked_attempt: flight::lands_once;
    forgotten_wake: bell::wakes_one_worker;
    late_word: space::is_not_denied_after_it_came;
    kept_turn: space::is_left_to_the_next;
    jumped_line: space::is_kept_for_the_first;
}
