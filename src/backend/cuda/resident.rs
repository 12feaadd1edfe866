//! A kernel that stays on the device and waits for a context's batches of few rows.
//!
//! A batch is a letter in pinned memory, which the kernel looks at all the time; its answer is a
//! word beside it, once the scores are there. `kernels/mail.cuh` says what lies where; the two
//! files are read together. The kernel leaves by itself, after a while without a letter or where
//! all are to leave ([`stay`](super::stay)), and says so; a letter that it has not answered by then
//! is there for the next one, which is launched with the number of the last that was.

#![allow(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::time::Duration;

use super::driver::Address;
use super::gpu::Live;
use super::memory::Pinned;
use super::program::{Arguments, Program};
use super::queue::Queue;
use crate::backend::BackendError;

/// Bytes of `Mail`, and where its words lie.
const MAIL_BYTES: usize = 192;
const WHERE: usize = 0;
const REQUEST: usize = 8;
const TERMS: usize = 64;
const ANSWERED: usize = 128;
const LEFT: usize = 132;
/// Bits of an address that leave room for the letter's number.
const ADDRESS_BITS: u32 = 48;
/// How long the kernel waits for a letter, and how long it stays: a device that also draws is taken
/// from kernels that run for seconds.
const IDLE: Duration = Duration::from_millis(100);
const STAY: Duration = Duration::from_secs(1);
/// Looks at the words between two questions to the driver, who alone knows of failures.
const LOOKS: u32 = 16;

/// The kernel of one context, there or not. Left behind where the device is lost.
#[derive(Debug)]
pub(super) struct Resident {
    program: Arc<Program>,
    queue: Queue,
    mail: Pinned,
    /// Where scores go.
    scores: Address,
    /// The last letter's number, and the last launch's, which is 0 before the first.
    number: u32,
    launch: u32,
    looks: u32,
}

impl Resident {
    /// Room for letters, where the program has a kernel that stays.
    pub(super) fn new(
        program: &Arc<Program>,
        scores: Address,
    ) -> Result<Option<Resident>, BackendError> {
        if program.persistent.is_none() {
            return Ok(None);
        }
        let gpu = &program.opened.gpu;
        Ok(Some(Resident {
            queue: Queue::new(gpu, false)?,
            mail: Pinned::new(gpu, MAIL_BYTES)?,
            scores,
            number: 0,
            launch: 0,
            looks: 0,
            program: Arc::clone(program),
        }))
    }

    /// Hands a batch to the kernel, launched first where it is not there; false where none may stay
    /// now. The rows, on a boundary of 16 bytes, stay as they are until they are answered.
    pub(super) fn post(
        &mut self,
        live: Live<'_>,
        rows: Address,
        count: usize,
    ) -> Result<bool, BackendError> {
        let has_room = rows >> ADDRESS_BITS == 0;
        if !has_room || (self.has_left() && !self.launch(live, self.number)?) {
            return Ok(false);
        }
        self.write(rows, count);
        Ok(true)
    }

    /// Whether the last letter is answered; scores are there then.
    pub(super) fn has_answered(&mut self) -> Result<bool, BackendError> {
        // In this order: what has left answers no more.
        let has_left = self.has_left();
        // Acquire: scores were written before the word.
        if self.word(ANSWERED).load(Ordering::Acquire) == self.number {
            return Ok(true);
        }
        self.looks = (self.looks + 1) % LOOKS;
        if has_left || self.looks == 0 {
            let program = Arc::clone(&self.program);
            let live = program.opened.gpu.enter()?;
            // A failure comes before the news that it has left.
            self.queue.is_done(live)?;
            if has_left {
                // Where none may stay, that is asked again.
                self.launch(live, self.number.wrapping_sub(1))?;
            }
        }
        Ok(false)
    }

    /// Has the kernel leave, whether or not it has answered; where it does not, the device is given
    /// up.
    pub(super) fn dismiss(&mut self) {
        if self.has_left() {
            return;
        }
        self.write(0, 0);
        self.queue.settle();
    }

    /// Whether no kernel is there, but for its last moment.
    fn has_left(&self) -> bool {
        self.launch == 0 || self.word(LEFT).load(Ordering::Acquire) == self.launch
    }

    /// Launches the kernel, for letters after the one of number `served`; false where none may stay
    /// now.
    fn launch(&mut self, live: Live<'_>, served: u32) -> Result<bool, BackendError> {
        let program = Arc::clone(&self.program);
        let gpu = &program.opened.gpu;
        let Some((persistent, leave)) = program.persistent.as_ref().zip(gpu.leave_to_stay()) else {
            return Ok(false);
        };
        let nanoseconds = |time: Duration| time.as_nanos() as u32;
        let is_on_chip = u32::from(persistent.is_on_chip);
        let terms = [leave.now, nanoseconds(IDLE), nanoseconds(STAY), is_on_chip];
        for (index, term) in terms.into_iter().enumerate() {
            self.word(TERMS + 4 * index).store(term, Ordering::Relaxed);
        }
        // Never 0, which is none.
        self.launch = self.launch.checked_add(1).unwrap_or(1);
        let mut arguments = Arguments {
            rows: self.mail.device(),
            stage: program.launches[0].stage,
            scores: self.scores,
            count: served,
            done: leave.stop,
            number: self.launch,
        };
        let (kernel, stream) = (&persistent.kernel, self.queue.stream());
        let block = (kernel.shape.threads, kernel.shape.shared as u32);
        let (handle, mut list) = (kernel.function.handle, arguments.list());
        // SAFETY: the kernel takes these arguments; the mail, the stage, the scores of `rows_max`
        // rows and the stop word outlive it, because it is dismissed before they are given back.
        let launched = unsafe { live.launch(handle, [1, 1], block, stream, &mut list) };
        let launched = launched.and_then(|()| self.queue.batch_ends(live));
        if launched.is_err() {
            // There is none that could leave.
            self.word(LEFT).store(self.launch, Ordering::Relaxed);
        }
        launched.map(|()| true)
    }

    /// Writes a letter: its number is in both of its words, so that they are taken for one letter
    /// only where they are.
    fn write(&mut self, rows: Address, count: usize) {
        self.number = self.number.wrapping_add(1);
        let number = u64::from(self.number);
        // What the rows hold was written before.
        fence(Ordering::Release);
        self.letter(WHERE).store(number << ADDRESS_BITS | rows, Ordering::Relaxed);
        self.letter(REQUEST).store(number << 32 | count as u64, Ordering::Release);
    }

    fn letter(&self, at: usize) -> &AtomicU64 {
        debug_assert!(at + 8 <= self.mail.len());
        // SAFETY: the block begins on a page and holds the word; the device reads it only.
        unsafe { AtomicU64::from_ptr(self.mail.start().add(at).cast()) }
    }

    fn word(&self, at: usize) -> &AtomicU32 {
        debug_assert!(at + 4 <= self.mail.len());
        // SAFETY: the block begins on a page and holds the word; the device writes it as a whole,
        // and the host through atomics only.
        unsafe { AtomicU32::from_ptr(self.mail.start().add(at).cast()) }
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        if !self.program.opened.gpu.is_anothers() {
            self.dismiss();
        }
    }
}
