//! The atomics and locks that the layers above share, named in one place so that a test can put
//! a model checker's in their stead.

#![allow(unused_imports, reason = "which of them are used depends on the layers above")]

pub(crate) use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};
pub(crate) use std::sync::{Arc, Mutex};
