//! The CUDA backend on a driver without a card (`tests/cuda_on_cpu`), which is built here, and
//! which fails in every way that is asked for.
//!
//! The program runs itself again with that driver in its library path; what a fault leaves behind
//! is a process's own, so each fault is ordered in one of its own.

#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

#[path = "../common/counting.rs"]
mod allocator;
mod ceilings;
#[path = "../common/mod.rs"]
mod common;
#[path = "../conformance/contract.rs"]
mod contract;
mod counting;
mod devices;
mod failing;
mod finding;
mod kernels;
mod loading;
mod mutants;
#[path = "../conformance/oracle.rs"]
mod oracle;
#[path = "../conformance/paper.rs"]
mod paper;
mod persistent;
mod pipelines;
mod planted;
mod reading;
mod special;
#[path = "../conformance/spoilt_rows.rs"]
mod spoilt_rows;
mod stub;
