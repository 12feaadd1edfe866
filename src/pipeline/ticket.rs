//! A ticket for rows that were taken, and the reply it turns into.

#![allow(unsafe_code)]

use std::cmp::Ordering;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::super::backend::{BackendKind, arg_max};
use super::super::model::ContentHash;
use super::super::plan::Precision;
use super::super::sync::{Arc, thread};
use super::clock::{NEVER, nanoseconds};
use super::error::ReplyError;
use super::records::{Answer, Outcome, Times};
use super::shard::Shard;
use super::threads::Patience;
use super::waiter::Waiter;

/// Rows that were taken: await it, or [`wait`](Ticket::wait) for it. Dropping it cancels them:
/// where they wait they are not run, and where they run nobody looks at the answer.
#[must_use = "dropping a ticket cancels its rows"]
pub struct Ticket {
    /// `None` once the reply has it.
    held: Option<Held>,
}

/// A request, by its first row, and the ring it lies in.
struct Held {
    shard: Arc<Shard>,
    first: u32,
}

impl Held {
    /// Whether there is nothing to wait for.
    fn is_settled(&self) -> bool {
        let core = &self.shard.core;
        core.is_forked() || core.ring.is_complete(self.first)
    }
}

impl Ticket {
    /// The ticket of a committed request.
    pub(crate) fn new(shard: Arc<Shard>, first: u32) -> Ticket {
        Ticket { held: Some(Held { shard, first }) }
    }

    /// Whether waiting would return at once.
    pub fn is_ready(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.is_settled())
    }

    /// Waits for the answer on the caller's thread.
    ///
    /// # Errors
    /// [`ReplyError`]: why the rows have no scores.
    pub fn wait(mut self) -> Result<Reply, ReplyError> {
        self.block_until(NEVER);
        self.reply()
    }

    /// Waits for the answer on the caller's thread, for so long at most; then the ticket comes back
    /// and is as good as before.
    ///
    /// # Errors
    /// The ticket itself, where there is no answer yet.
    pub fn wait_timeout(mut self, limit: Duration) -> Result<Result<Reply, ReplyError>, Ticket> {
        let now_ns = self.held.as_ref().map_or(0, |held| held.shard.core.clock.now());
        let then_ns = now_ns.saturating_add(nanoseconds(limit));
        if self.block_until(then_ns) { Ok(self.reply()) } else { Err(self) }
    }

    /// Has a task woken once the ticket is ready. Returns whether it has to wait for that.
    pub(crate) fn register(&self, context: &Context<'_>) -> bool {
        let Some(Held { shard, first }) = &self.held else { return true };
        let ring = &shard.core.ring;
        if shard.core.is_forked() {
            return false;
        }
        let waiter = || Waiter::Task(context.waker().clone());
        // SAFETY: this is the request's ticket.
        !ring.is_complete(*first) && !unsafe { ring.wait(*first, waiter()) }
    }

    /// Spins, yields and parks until the request is complete, or until then.
    fn block_until(&self, then_ns: u64) -> bool {
        let Some(Held { shard, first }) = &self.held else { return true };
        let core = &shard.core;
        if core.is_forked() {
            return true;
        }
        let is_complete = || core.ring.is_complete(*first);
        let mut patience = Patience::new(core.config.waiting);
        while !is_complete() && patience.is_left() {}
        // SAFETY: this is the request's ticket.
        if is_complete() || unsafe { core.ring.wait(*first, Waiter::Thread(thread::current())) } {
            return true;
        }
        while !is_complete() {
            if then_ns == NEVER {
                thread::park();
                continue;
            }
            let left = core.clock.until(then_ns);
            if left.is_zero() {
                return false;
            }
            thread::park_timeout(left);
        }
        true
    }

    /// The reply of a complete request; from here on it holds the rows.
    fn reply(&mut self) -> Result<Reply, ReplyError> {
        let Held { shard, first } = self.held.take().ok_or(ReplyError::Taken)?;
        let reply = Reply { shard, answers: Answers::Ring(first) };
        if reply.shard.core.is_forked() {
            return Err(ReplyError::Forked);
        }
        let mut outcomes = reply.rows().map(|row| row.answer().outcome);
        let wrong = outcomes.find(|outcome| *outcome != Outcome::Completed);
        drop(outcomes);
        match wrong {
            None => Ok(reply),
            Some(Outcome::Expired) => Err(ReplyError::Expired),
            Some(Outcome::ShutDown) => Err(ReplyError::ShutDown),
            Some(_) => Err(ReplyError::Failed { reason: reply.shard.core.reason() }),
        }
    }
}

/// Ready once the rows are answered. It belongs to no executor. Polled again after that, it stays
/// pending.
impl Future for Ticket {
    type Output = Result<Reply, ReplyError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.register(context) { Poll::Pending } else { Poll::Ready(self.reply()) }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(Held { shard, first }) = self.held.take() else { return };
        if shard.core.is_forked() {
            return;
        }
        // SAFETY: this is the request's ticket, at its end.
        let freed = unsafe { shard.core.ring.abandon(first) };
        if freed > 0 {
            shard.core.freed_beside(first, freed);
        }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = self.held.as_ref().map(|held| held.first);
        f.debug_struct("Ticket").field("row", &row).finish_non_exhaustive()
    }
}

/// The answer to one request, where it lies: one [`Prediction`] for each of its rows. The rows of
/// the ring are free again once it is dropped or [detached](Reply::detach).
pub struct Reply {
    shard: Arc<Shard>,
    answers: Answers,
}

/// Where a reply's answers are.
enum Answers {
    /// In the rows of the request that begins at this one; the reply holds it.
    Ring(u32),
    /// With the reply, one row behind the other.
    Copied { answers: Vec<Answer>, scores: Vec<f32> },
}

impl Reply {
    /// The class of the first row, or of the only one, by its index; see
    /// [`arg_max`](super::super::backend::arg_max) for ties and NaN.
    pub fn class(&self) -> usize {
        self.first().class()
    }

    /// The scores of the first row, or of the only one, `[classes]`.
    pub fn scores(&self) -> &[f32] {
        self.first().scores()
    }

    /// What is known of the first row, or of the only one.
    pub fn first(&self) -> Prediction<'_> {
        Prediction { reply: self, row: self.first_row() }
    }

    /// The same reply with a copy of its answers: the rows of the ring are free at once. For
    /// replies that are kept for long, or of which more are kept than the ring has rows.
    pub fn detach(mut self) -> Reply {
        if let Answers::Ring(first) = self.answers {
            let answers = self.rows().map(|row| *row.answer()).collect();
            let mut scores = Vec::with_capacity(self.len() * self.shard.core.store.shape().classes);
            self.rows().for_each(|row| scores.extend_from_slice(row.scores()));
            self.answers = Answers::Copied { answers, scores };
            self.release(first);
        }
        self
    }

    /// What is known of every row, in the order they were submitted.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = Prediction<'_>> {
        let mut row = self.first_row();
        (0..self.len()).map(move |_| {
            let prediction = Prediction { reply: self, row };
            row = match &self.answers {
                // SAFETY: the reply holds the request.
                Answers::Ring(_) => unsafe { self.shard.core.ring.next_of(row) },
                Answers::Copied { .. } => row + 1,
            };
            prediction
        })
    }

    /// The number of rows, one or more.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        match &self.answers {
            // SAFETY: the reply holds the request.
            Answers::Ring(first) => unsafe { self.shard.core.ring.first_of(*first) }.1 as usize,
            Answers::Copied { answers, .. } => answers.len(),
        }
    }

    /// A prediction's row: one of the ring, or its number in the reply.
    fn first_row(&self) -> u32 {
        match self.answers {
            Answers::Ring(first) => first,
            Answers::Copied { .. } => 0,
        }
    }

    /// Gives the rows of the ring back.
    fn release(&self, first: u32) {
        let core = &self.shard.core;
        if core.is_forked() {
            return;
        }
        // SAFETY: the request is complete; the reply held it alone, and does so no more.
        let freed = unsafe { core.ring.release(first) };
        core.freed_beside(first, freed);
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Answers::Ring(first) = self.answers {
            self.release(first);
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.rows()).finish()
    }
}

/// What a pipeline says about one row.
#[derive(Clone, Copy)]
pub struct Prediction<'a> {
    reply: &'a Reply,
    row: u32,
}

impl<'a> Prediction<'a> {
    /// The class, by its index; see [`arg_max`] for ties and NaN.
    pub fn class(&self) -> usize {
        arg_max(self.scores())
    }

    /// The scores, `[classes]`.
    pub fn scores(&self) -> &'a [f32] {
        let store = &self.reply.shard.core.store;
        match &self.reply.answers {
            // SAFETY: the reply holds the completed request that the row belongs to.
            Answers::Ring(_) => unsafe { store.scores(self.row) },
            Answers::Copied { scores, .. } => {
                let classes = store.shape().classes;
                &scores[self.row as usize * classes..][..classes]
            }
        }
    }

    /// The `k` classes with the largest scores, the largest first, the lower index first among
    /// equals; a NaN counts as larger than any number.
    pub fn top_k(&self, k: usize) -> Vec<(usize, f32)> {
        let mut ranked: Vec<_> = self.scores().iter().copied().enumerate().collect();
        // Stable, so that the lower index stays first. Of two that cannot be compared, one is NaN.
        ranked.sort_by(|a, b| {
            let by_nan = b.1.is_nan().cmp(&a.1.is_nan());
            by_nan.then(b.1.partial_cmp(&a.1).unwrap_or(Ordering::Equal))
        });
        ranked.truncate(k);
        ranked
    }

    /// The backend that ran it.
    pub fn backend(&self) -> BackendKind {
        self.reply.shard.core.backend_info(self.answer().backend).0
    }

    /// The name of the device that ran it.
    pub fn device(&self) -> String {
        self.reply.shard.core.backend_info(self.answer().backend).1
    }

    /// What the weights were rounded to.
    pub fn precision(&self) -> Precision {
        self.answer().precision
    }

    /// Which model ran: 1 for the first, and one more with each swap.
    pub fn version(&self) -> u64 {
        self.answer().version
    }

    /// The content hash of the model that ran.
    pub fn content_hash(&self) -> Option<ContentHash> {
        self.answer().hash
    }

    /// Where the time went.
    pub fn times(&self) -> Times {
        self.answer().times
    }

    fn answer(&self) -> &'a Answer {
        match &self.reply.answers {
            // SAFETY: the reply holds the completed request that the row belongs to.
            Answers::Ring(_) => unsafe { self.reply.shard.core.ring.answer_of(self.row) },
            Answers::Copied { answers, .. } => &answers[self.row as usize],
        }
    }
}

impl fmt::Debug for Prediction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Prediction");
        fields.field("class", &self.class()).field("scores", &self.scores());
        fields.field("backend", &self.backend()).field("version", &self.version());
        fields.finish_non_exhaustive()
    }
}
