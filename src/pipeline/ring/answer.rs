//! The answerers' and the tickets' side: answer, wait, read, release.

use super::super::super::sync::{Ordering, lock, planted};
use super::super::waiter::Waiter;
use super::super::word;
use super::Ring;

/// What answering a row led to.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    /// Whom to wake: the request is complete, and somebody waits for it.
    pub(crate) waiter: Option<Waiter>,
    /// Rows that became free because nobody will read their answers.
    pub(crate) freed: u32,
    /// Whether the ticket was dropped before this answer.
    pub(crate) abandoned: bool,
}

impl<Q, A> Ring<Q, A> {
    /// Answers a row: the last answer of a request completes it.
    ///
    /// # Safety
    /// The caller holds the row, taken and not answered yet, and answers it this once.
    pub(crate) unsafe fn answer(&self, row: u32, write: impl FnOnce(&mut A)) -> Answered {
        // SAFETY: the ticket reads answers only once the request is complete.
        self.row(row).answer.with_mut(|answer| write(unsafe { &mut *answer }));
        // SAFETY: the row is held by the caller.
        let link = unsafe { self.link(row) };
        let first = self.row(link.first);
        if link.rows > 1 {
            let abandoned = first.word.load(Ordering::Relaxed) & word::ABANDONED != 0;
            // AcqRel: whoever answers last passes on what the others wrote.
            if first.unanswered.fetch_sub(1, Ordering::AcqRel) > 1 {
                return Answered { abandoned, ..Answered::default() };
            }
        }
        self.complete(link.first)
    }

    /// Whether a request is complete.
    pub(crate) fn is_complete(&self, first: u32) -> bool {
        self.row(first).word.load(Ordering::Acquire) & word::COMPLETE != 0
    }

    /// Leaves word of whom to wake once the request is complete; only the last such word counts.
    /// Returns whether the request is complete already, in which case nobody may be woken.
    ///
    /// # Safety
    /// The caller is the request's ticket.
    pub(crate) unsafe fn wait(&self, first: u32, waiter: Waiter) -> bool {
        let row = self.row(first);
        // SAFETY: the request is held by its ticket.
        let claim = unsafe { self.link(first) }.claim;
        // Whoever completes the request takes the waiter after it set COMPLETE, so one of the two
        // sees the other.
        let before = lock(&row.waiter).replace((claim, waiter));
        drop(before);
        row.word.fetch_or(word::WAITED, Ordering::AcqRel) & word::COMPLETE != 0
    }

    /// Gives up a request's answer. Returns the rows freed: none where it is not complete yet, and
    /// whoever completes it will free them.
    ///
    /// # Safety
    /// The caller is the request's ticket, and does nothing with it after this.
    pub(crate) unsafe fn abandon(&self, first: u32) -> u32 {
        let word = self.row(first).word.fetch_add(word::ABANDONED, Ordering::AcqRel);
        if word & word::COMPLETE != 0 { self.free_request(first) } else { 0 }
    }

    /// Frees the rows of a complete request, whose answers were read, and returns their number.
    ///
    /// # Safety
    /// The caller is the request's ticket, saw it complete, and does nothing with it after this.
    pub(crate) unsafe fn release(&self, first: u32) -> u32 {
        self.free_request(first)
    }

    /// Keeps a taken row from being claimed again, even once it is released, until as many calls of
    /// [`Ring::unhold`] followed.
    pub(crate) fn hold(&self, row: u32) {
        if planted::HOLDS_WHILE_READ {
            self.row(row).word.fetch_add(word::HOLD, Ordering::AcqRel);
        }
    }

    /// Takes a hold back. Returns the rows freed by that, one or none.
    pub(crate) fn unhold(&self, row: u32) -> u32 {
        if !planted::HOLDS_WHILE_READ {
            return 0;
        }
        // Release: the reader is done before anybody claims the row.
        let word = self.row(row).word.fetch_sub(word::HOLD, Ordering::Release) - word::HOLD;
        u32::from(word::is_free(word))
    }

    /// Marks a request complete, which publishes its answers.
    fn complete(&self, first: u32) -> Answered {
        let row = self.row(first);
        // SAFETY: the request is held by its answerer until the next line.
        let claim = unsafe { self.link(first) }.claim;
        let word = row.word.fetch_add(word::COMPLETE, planted::ANSWER);
        if word & word::ABANDONED != 0 {
            return Answered { freed: self.free_request(first), abandoned: true, waiter: None };
        }
        if word & word::WAITED == 0 {
            return Answered::default();
        }
        // The ticket may have seen COMPLETE, and the row may be another request's by now, whose
        // waiter stays where it is.
        let mut waiter = lock(&row.waiter);
        let is_ours = waiter.as_ref().is_some_and(|(of, _)| *of == claim);
        let waiter = if is_ours { waiter.take().map(|(_, waiter)| waiter) } else { None };
        Answered { waiter, ..Answered::default() }
    }

    /// Frees all rows of a request that nobody holds any more.
    pub(super) fn free_request(&self, first: u32) -> u32 {
        // SAFETY: whoever calls is the last to hold the request.
        let rows = unsafe { self.link(first) }.rows;
        if self.row(first).word.load(Ordering::Relaxed) & word::WAITED != 0 {
            // Lets go of whoever was to be woken, once the lock is free: a task may do anything.
            let waiter = lock(&self.row(first).waiter).take();
            drop(waiter);
        }
        let mut row = first;
        for _ in 0..rows {
            // SAFETY: as above, and this row is not free yet.
            let next = unsafe { self.link(row) }.next;
            // Release: the last reader is done before anybody claims the row.
            self.row(row).word.fetch_and(!word::OWNED, Ordering::Release);
            row = next;
        }
        rows
    }
}
