//! One suite for every backend: whatever [`devices`](devices::devices) finds here is held to the
//! same contract, against the scalar oracle, with a tolerance typed by precision.

#[path = "../common/mod.rs"]
mod common;
mod contract;
mod devices;
mod families;
mod oracle;
mod paper;
mod spoilt_rows;
mod subnormal;
