//! The pipeline from outside, with real threads: what it promises, proven by the values of its
//! answers. Rows carry their number, and models are such that every device gives it back.

#[path = "../common/mod.rs"]
mod common;
mod support;

mod cancelling;
mod deadlines;
mod failing;
mod full;
mod futures;
mod order;
mod refusals;
mod replies;
mod submitting;
