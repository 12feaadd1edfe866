//! The pipeline from outside, with real threads: what it promises, proven by the values of its
//! answers. Rows carry their number, and models are such that every device gives it back.

#[path = "../common/mod.rs"]
mod common;
mod support;

mod alone;
mod cancelling;
mod deadlines;
mod failing;
mod full;
mod futures;
mod measuring;
mod opening;
mod order;
mod refusals;
mod replies;
mod routing;
mod slow;
mod stopping;
mod submitting;
mod swapping;
mod wakers;
