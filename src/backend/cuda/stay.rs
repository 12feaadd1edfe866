//! Kernels that stay on the device, and the calls that must not find one there.
//!
//! Where the driver takes memory, gives it back or loads code, it may wait until the device has
//! nothing to do: with a kernel that stays, for as long as that one does. So all of them are asked
//! to leave before such a call, and none is launched before it has ended. Calls for another opening
//! of the same device do not know of them, and wait until they leave by themselves.

#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::driver::Address;

/// Whether kernels may stay on a device, and the word that has them leave.
#[derive(Debug, Default)]
pub(super) struct Stays {
    word: OnceLock<StopWord>,
    /// Read while one is launched, written while none may be there.
    gate: RwLock<()>,
}

/// A word of pinned memory that every kernel that stays looks at: it leaves once it changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct StopWord {
    pub(super) start: NonNull<u8>,
    pub(super) device: Address,
}

// SAFETY: an address, which whoever has it goes through atomics for.
unsafe impl Send for StopWord {}

// SAFETY: as above.
unsafe impl Sync for StopWord {}

/// Leave to launch a kernel that stays, until it is dropped.
#[derive(Debug)]
pub(super) struct Leave<'a> {
    /// Where the kernel finds the stop word.
    pub(super) stop: Address,
    /// What it holds now.
    pub(super) now: u32,
    _gate: RwLockReadGuard<'a, ()>,
}

impl Stays {
    /// Kernels may stay from now on. The word is pinned and holds four bytes of zeros.
    pub(super) fn allow(&self, word: StopWord) {
        // A second one would be given back with the first in use: there is none.
        let _ = self.word.set(word);
    }

    /// Whether they may.
    pub(super) fn are_allowed(&self) -> bool {
        self.word.get().is_some()
    }

    /// Leave to launch one; `None` where none may stay, or none now.
    pub(super) fn leave(&self) -> Option<Leave<'_>> {
        let word = self.word.get()?;
        let gate = self.gate.try_read().ok()?;
        Some(Leave { stop: word.device, now: word.value().load(Ordering::Relaxed), _gate: gate })
    }

    /// Has all of them leave, and none come until the guard is dropped; `None` where none may stay.
    pub(super) fn clear(&self) -> Option<RwLockWriteGuard<'_, ()>> {
        let word = self.word.get()?;
        let gate = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        word.value().fetch_add(1, Ordering::Release);
        Some(gate)
    }

    /// Takes the word back, at the end.
    pub(super) fn take(&mut self) -> Option<StopWord> {
        self.word.take()
    }
}

impl StopWord {
    fn value(&self) -> &AtomicU32 {
        // SAFETY: pinned memory begins on a page, and holds the word as long as `Stays` does; the
        // device only reads it.
        unsafe { AtomicU32::from_ptr(self.start.as_ptr().cast()) }
    }
}
