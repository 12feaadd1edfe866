//! Words that a kernel writes in the host's memory, one for each block that is done: what the
//! smallest batches are waited for by, because asking the driver takes longer than they do.

#![allow(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::driver::Address;
use super::gpu::Gpu;
use super::memory::Pinned;
use crate::backend::BackendError;

/// Looks at the words between two questions to the driver, who alone knows of failures.
const LOOKS: u32 = 16;

/// The words, and how many of this batch's were seen.
#[derive(Debug)]
pub(super) struct Reports {
    words: Pinned,
    /// The batch's number; words of earlier batches have others.
    number: u32,
    /// Blocks that report; none where the batch is waited for by the driver alone.
    expected: usize,
    seen: usize,
    looks: u32,
}

impl Reports {
    /// Room for so many blocks.
    pub(super) fn new(gpu: &Arc<Gpu>, blocks: usize) -> Result<Reports, BackendError> {
        let words = Pinned::new(gpu, blocks * 4)?;
        Ok(Reports { words, number: 0, expected: 0, seen: 0, looks: 0 })
    }

    /// A batch begins of which so many blocks report: where to, as the device sees it, and what
    /// they write. No earlier batch may be under way.
    pub(super) fn begin(&mut self, blocks: usize) -> (Address, u32) {
        self.number = self.number.wrapping_add(1);
        if self.number == 0 {
            // Numbers come round: no word is left that could pass for one of the next.
            (0..self.words.len() / 4)
                .for_each(|index| self.word(index).store(0, Ordering::Relaxed));
            self.number = 1;
        }
        (self.expected, self.seen, self.looks) = (blocks, 0, 0);
        let to = if blocks == 0 { 0 } else { self.words.device() };
        (to, self.number)
    }

    /// Whether every block has reported; what they wrote before is there then.
    pub(super) fn are_in(&mut self) -> bool {
        let number = self.number;
        // Acquire: scores were written before the word.
        while self.seen < self.expected && self.word(self.seen).load(Ordering::Acquire) == number {
            self.seen += 1;
        }
        self.expected > 0 && self.seen == self.expected
    }

    /// Whether it is time to ask the driver instead.
    pub(super) fn is_time_to_ask(&mut self) -> bool {
        self.looks = (self.looks + 1) % LOOKS;
        self.expected == 0 || self.looks == 0
    }

    fn word(&self, index: usize) -> &AtomicU32 {
        debug_assert!((index + 1) * 4 <= self.words.len());
        // SAFETY: the block begins on a page and holds the word; the device writes it as a whole,
        // and the host through atomics only.
        unsafe { AtomicU32::from_ptr(self.words.start().cast::<u32>().add(index)) }
    }
}
