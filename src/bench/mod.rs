//! Measuring backends against each other and against the oracle.
//!
//! A library for the command line, the benches and the examples: nothing here prints. Every
//! measurement checks its answers first ([`agreement`]), says what its clock covers ([`measure`]),
//! and repeats itself from a seed ([`images`]).

pub mod agreement;
pub mod compare;
pub mod energy;
pub mod error;
pub mod follow_up;
pub mod handoff;
pub mod images;
pub mod kernel;
pub mod lab;
pub mod load;
pub mod machine;
pub mod measure;
pub mod paper;
mod power;
pub mod record;
pub mod report;
pub mod stream;
#[cfg(test)]
mod tests;
