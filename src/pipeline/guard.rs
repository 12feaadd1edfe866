//! A reserved row, written where it will be run from.

#![allow(unsafe_code)]

use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};

use super::super::backend::Rows;
use super::super::plan::InputType;
use super::super::sync::Arc;
use super::clock::NEVER;
use super::config::NotFinite;
use super::error::SubmitError;
use super::shard::Shard;
use super::store::Claimed;
use super::ticket::Ticket;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for u8 {}
    impl Sealed for half::f16 {}
    impl Sealed for half::bf16 {}
}

/// A type that rows may have: `f32`, `u8`, `f16` or `bf16`.
pub trait Value: sealed::Sealed + bytemuck::Pod {
    /// The type's name among those a plan takes.
    const INPUT: InputType;
}

impl Value for f32 {
    const INPUT: InputType = InputType::F32;
}

impl Value for u8 {
    const INPUT: InputType = InputType::U8;
}

impl Value for half::f16 {
    const INPUT: InputType = InputType::F16;
}

impl Value for half::bf16 {
    const INPUT: InputType = InputType::Bf16;
}

/// A reserved row, `[inputs]`: a slice of the memory that a device reads it from. What it holds at
/// first is unspecified, and may be what another caller wrote. Dropping it gives the row back;
/// leaking it costs the ring that one row.
#[must_use = "dropping a reserved row gives it back"]
pub struct RowGuard<T: Value> {
    shard: Arc<Shard>,
    row: Claimed,
    deadline_ns: u64,
    values: PhantomData<T>,
}

impl<T: Value> RowGuard<T> {
    /// A row that was claimed.
    pub(crate) fn new(shard: Arc<Shard>, row: Claimed, deadline_ns: u64) -> RowGuard<T> {
        RowGuard { shard, row, deadline_ns, values: PhantomData }
    }

    /// Submits the row as it is written now.
    ///
    /// # Errors
    /// [`SubmitError::NotFinite`], where the pipeline refuses such rows; it is given back then.
    /// [`SubmitError::Forked`] in a child of the process that reserved it.
    pub fn commit(self) -> Result<Ticket, SubmitError> {
        if self.shard.core.is_forked() {
            return Err(SubmitError::Forked);
        }
        if self.shard.core.config.not_finite == NotFinite::Refuse {
            let row = Rows::of_bytes(T::INPUT, bytemuck::cast_slice(&self));
            finite(row, self.len())?;
        }
        let guard = ManuallyDrop::new(self);
        // SAFETY: the guard is not dropped, so its part of the shard is moved out this once.
        let shard = unsafe { std::ptr::read(&guard.shard) };
        Ok(commit(&shard, (guard.row.row(), 1), guard.deadline_ns))
    }
}

impl<T: Value> Deref for RowGuard<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        bytemuck::cast_slice(self.shard.core.store.values(&self.row))
    }
}

impl<T: Value> DerefMut for RowGuard<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        bytemuck::cast_slice_mut(self.shard.core.store.values_mut(&mut self.row))
    }
}

impl<T: Value> Drop for RowGuard<T> {
    fn drop(&mut self) {
        let core = &self.shard.core;
        if core.is_forked() {
            return;
        }
        core.ring.discard(self.row.row());
        // A worker clears it away.
        core.announce();
    }
}

impl<T: Value> fmt::Debug for RowGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowGuard").field("row", &self.row.row()).finish_non_exhaustive()
    }
}

/// Commits a request of so many rows that were written.
pub(crate) fn commit(shard: &Arc<Shard>, (first, rows): (u32, u64), deadline_ns: u64) -> Ticket {
    let core = &shard.core;
    shard.admit(rows);
    core.ring.commit(first);
    if deadline_ns != NEVER {
        core.note_deadline(deadline_ns);
        core.watch.wake();
    }
    core.announce();
    Ticket::new(Arc::clone(shard), first)
}

/// Whether every value of rows of `inputs` is a number.
pub(crate) fn finite(rows: Rows<'_>, inputs: usize) -> Result<(), SubmitError> {
    let first = match rows {
        Rows::F32(values) => values.iter().position(|value| !value.is_finite()),
        Rows::F16(values) => values.iter().position(|value| !value.is_finite()),
        Rows::Bf16(values) => values.iter().position(|value| !value.is_finite()),
        Rows::U8(_) => None,
    };
    match first {
        None => Ok(()),
        Some(at) => Err(SubmitError::NotFinite { row: at / inputs, column: at % inputs }),
    }
}
