//! Taking rows: every check is made here, once, before anything is claimed.

#![allow(unsafe_code)]

use std::future::poll_fn;
use std::task::Poll;

use super::super::backend::Rows;
use super::super::sync::{Arc, thread};
use super::clock::NEVER;
use super::config::{NotFinite, SubmitOptions};
use super::error::{ClassifyError, SubmitError};
use super::guard::{RowGuard, Value, commit, finite};
use super::handle::Pipeline;
use super::line::Line;
use super::records::Request;
use super::ring::Refused;
use super::store::Claimed;
use super::ticket::Ticket;
use super::waiter::Waiter;

impl Pipeline {
    /// Takes one row, copying it once; never blocks.
    ///
    /// # Errors
    /// [`SubmitError`]: `Full` where every row of the ring is taken, or what is wrong with the row.
    /// It stays the caller's, and nothing was taken.
    pub fn submit<'a>(&self, row: impl Into<Rows<'a>>) -> Result<Ticket, SubmitError> {
        self.submit_with(row, &SubmitOptions::default())
    }

    /// Takes one row as the options say; never blocks.
    ///
    /// # Errors
    /// As [`Pipeline::submit`]; also where the deadline has passed.
    pub fn submit_with<'a>(
        &self,
        row: impl Into<Rows<'a>>,
        options: &SubmitOptions,
    ) -> Result<Ticket, SubmitError> {
        let row = row.into();
        self.check_one(row)?;
        self.counted(1, self.take(apart(row, 1), None, options))
    }

    /// Takes one row for a caller that comes again where there is no room, which counts for
    /// nothing; `place` is its place in line, where it has one.
    pub(super) fn try_one<'a>(
        &self,
        row: impl Into<Rows<'a>>,
        place: Option<u64>,
    ) -> Result<Ticket, SubmitError> {
        let row = row.into();
        self.check_one(row)?;
        self.take(apart(row, 1), place, &SubmitOptions::default())
    }

    /// Takes many rows, `[n, inputs]` row-major, as one request: all of them or none; never blocks.
    /// They may run in several batches, but all with the same weights, and one ticket speaks for
    /// all. What shape the values had is not known: see [`Pipeline::submit_rows`].
    ///
    /// # Errors
    /// As [`Pipeline::submit`]; also where they are more than the ring has rows.
    pub fn submit_many<'a>(&self, rows: impl Into<Rows<'a>>) -> Result<Ticket, SubmitError> {
        self.submit_many_with(rows, &SubmitOptions::default())
    }

    /// Takes many rows as the options say; never blocks.
    ///
    /// # Errors
    /// As [`Pipeline::submit_many`].
    pub fn submit_many_with<'a>(
        &self,
        rows: impl Into<Rows<'a>>,
        options: &SubmitOptions,
    ) -> Result<Ticket, SubmitError> {
        let rows = rows.into();
        let count = self.check_many(rows, options)?;
        self.counted(count, self.take(apart(rows, count), None, options))
    }

    /// Takes many rows that are given one by one, such as `&Vec<Vec<f32>>` or `&[[f32; 784]]`, as
    /// [`Pipeline::submit_many`] does. Each is checked for its width.
    ///
    /// ```compile_fail
    /// # fn ask(pipeline: fusewire::Pipeline) {
    /// // Rows of rows are not a flat slice, whatever their widths.
    /// let ticket = pipeline.submit_many(&[[0.0_f32; 392]; 2]);
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Pipeline::submit_many`]; `WrongRow` names the first row of another width.
    pub fn submit_rows<'a, I>(&self, rows: I) -> Result<Ticket, SubmitError>
    where
        I: IntoIterator,
        I::Item: Into<Rows<'a>>,
    {
        self.submit_rows_with(rows, &SubmitOptions::default())
    }

    /// Takes many rows that are given one by one, as the options say.
    ///
    /// # Errors
    /// As [`Pipeline::submit_rows`].
    pub fn submit_rows_with<'a, I>(
        &self,
        rows: I,
        options: &SubmitOptions,
    ) -> Result<Ticket, SubmitError>
    where
        I: IntoIterator,
        I::Item: Into<Rows<'a>>,
    {
        let capacity = self.core().capacity(options)?;
        let mut rows = rows.into_iter();
        let taken: Vec<Rows<'a>> = rows.by_ref().take(capacity).map(Into::into).collect();
        if let Some(_one_more) = rows.next() {
            let rows = capacity.saturating_add(1).saturating_add(rows.size_hint().0);
            return Err(SubmitError::TooManyRows { capacity, rows });
        }
        self.check_rows(&taken)?;
        let bytes = taken.iter().map(Rows::bytes);
        self.counted(taken.len(), self.take(bytes, None, options))
    }

    /// Takes one row as the options say, waiting on the caller's thread while the ring is full.
    ///
    /// # Errors
    /// As [`Pipeline::submit_with`], but for `Full`; `DeadlinePassed` also where it passes
    /// meanwhile.
    pub fn submit_blocking<'a>(
        &self,
        row: impl Into<Rows<'a>>,
        options: &SubmitOptions,
    ) -> Result<Ticket, SubmitError> {
        let row = row.into();
        self.check_one(row)?;
        let core = self.core();
        let until_ns = self.deadline_ns(options)?;
        core.space(options)?;
        let mut line = Line::new(core, options.priority.lane());
        loop {
            for _ in 0..2 {
                match self.take(apart(row, 1), line.place(), options) {
                    Err(SubmitError::Full) => {}
                    taken => {
                        line.leave(taken.is_ok());
                        return taken;
                    }
                }
                // Says that it waits, and tries once more.
                line.join(Waiter::Thread(thread::current()));
            }
            match until_ns {
                NEVER => thread::park(),
                until_ns => thread::park_timeout(core.clock.until(until_ns)),
            }
        }
    }

    /// Takes one row as the options say, waiting while the ring is full. It belongs to no executor,
    /// and dropping it leaves nothing behind.
    ///
    /// # Errors
    /// As [`Pipeline::submit_blocking`], but for the deadline, which is looked at only when there
    /// is room.
    pub async fn submit_async<'a>(
        &self,
        row: impl Into<Rows<'a>>,
        options: &SubmitOptions,
    ) -> Result<Ticket, SubmitError> {
        let row = row.into();
        self.check_one(row)?;
        self.core().space(options)?;
        let mut line = Line::new(self.core(), options.priority.lane());
        poll_fn(|context| {
            for _ in 0..2 {
                match self.take(apart(row, 1), line.place(), options) {
                    Err(SubmitError::Full) => {}
                    taken => {
                        line.leave(taken.is_ok());
                        return Poll::Ready(taken);
                    }
                }
                // Says that it waits, and tries once more.
                line.join(Waiter::Task(context.waker().clone()));
            }
            Poll::Pending
        })
        .await
    }

    /// Submits one row, waits on the caller's thread, and returns its class.
    ///
    /// # Errors
    /// [`ClassifyError`]: as [`Pipeline::submit_blocking`], and then as [`Ticket::wait`].
    pub fn classify<'a>(&self, row: impl Into<Rows<'a>>) -> Result<usize, ClassifyError> {
        let ticket = self.submit_blocking(row, &SubmitOptions::default())?;
        Ok(ticket.wait()?.class())
    }

    /// Reserves a row, to be written where it will be run from: no copy is made.
    ///
    /// # Errors
    /// As [`Pipeline::submit`]; `WrongInput` where `T` is not the type of a row's values.
    pub fn reserve<T: Value>(&self) -> Result<RowGuard<T>, SubmitError> {
        self.reserve_with(&SubmitOptions::default())
    }

    /// Reserves a row for a request with these options.
    ///
    /// # Errors
    /// As [`Pipeline::reserve`].
    pub fn reserve_with<T: Value>(
        &self,
        options: &SubmitOptions,
    ) -> Result<RowGuard<T>, SubmitError> {
        let expected = self.input();
        if T::INPUT != expected {
            return Err(SubmitError::WrongInput { expected, got: T::INPUT });
        }
        let (first, deadline_ns) = self.counted(1, self.claim(1, None, options))?;
        // SAFETY: the row was claimed just now, and the guard commits or discards it.
        let claimed = unsafe { Claimed::new(first) };
        Ok(RowGuard::new(Arc::clone(&self.shard), claimed, deadline_ns))
    }

    /// Checks a single row.
    fn check_one(&self, row: Rows<'_>) -> Result<(), SubmitError> {
        let inputs = self.inputs();
        self.check_type(row)?;
        if row.values() != inputs {
            return Err(SubmitError::WrongWidth { inputs, values: row.values() });
        }
        self.check_finite(row)
    }

    /// Checks many rows, and counts them.
    fn check_many(&self, rows: Rows<'_>, options: &SubmitOptions) -> Result<usize, SubmitError> {
        let inputs = self.inputs();
        self.check_type(rows)?;
        if !rows.values().is_multiple_of(inputs) {
            return Err(SubmitError::WrongWidth { inputs, values: rows.values() });
        }
        let count = rows.values() / inputs;
        let capacity = self.core().capacity(options)?;
        match count {
            0 => Err(SubmitError::NoRows),
            _ if count > capacity => Err(SubmitError::TooManyRows { capacity, rows: count }),
            _ => self.check_finite(rows).map(|()| count),
        }
    }

    /// Checks rows that are given one by one.
    fn check_rows(&self, rows: &[Rows<'_>]) -> Result<(), SubmitError> {
        let inputs = self.inputs();
        if rows.is_empty() {
            return Err(SubmitError::NoRows);
        }
        for (row, values) in rows.iter().enumerate() {
            self.check_type(*values)?;
            if values.values() != inputs {
                return Err(SubmitError::WrongRow { row, inputs, values: values.values() });
            }
            self.check_finite(*values).map_err(|error| match error {
                SubmitError::NotFinite { column, .. } => SubmitError::NotFinite { row, column },
                error => error,
            })?;
        }
        Ok(())
    }

    fn check_type(&self, rows: Rows<'_>) -> Result<(), SubmitError> {
        let (expected, got) = (self.input(), rows.input());
        if expected == got { Ok(()) } else { Err(SubmitError::WrongInput { expected, got }) }
    }

    fn check_finite(&self, rows: Rows<'_>) -> Result<(), SubmitError> {
        match self.core().config.not_finite {
            NotFinite::Refuse => finite(rows, self.inputs()),
            NotFinite::Run => Ok(()),
        }
    }

    /// Claims rows for checked values, the bytes of one row each, copies them in, and commits.
    fn take<'a>(
        &self,
        rows: impl ExactSizeIterator<Item = &'a [u8]>,
        place: Option<u64>,
        options: &SubmitOptions,
    ) -> Result<Ticket, SubmitError> {
        let count = rows.len();
        // Checked: no more than the ring has rows.
        let (first, deadline_ns) = self.claim(count as u32, place, options)?;
        let core = self.core();
        let mut row = first;
        for values in rows {
            // SAFETY: this thread claimed the row, and does not touch it again.
            let mut claimed = unsafe { Claimed::new(row) };
            core.store.values_mut(&mut claimed).copy_from_slice(values);
            // SAFETY: the request is not committed yet.
            row = unsafe { core.ring.next_of(row) };
        }
        Ok(commit(&self.shard, (first, count as u64), deadline_ns))
    }

    /// Claims rows, where the pipeline takes any now. Returns the first and the deadline.
    fn claim(
        &self,
        rows: u32,
        place: Option<u64>,
        options: &SubmitOptions,
    ) -> Result<(u32, u64), SubmitError> {
        let core = self.core();
        if core.is_forked() {
            return Err(SubmitError::Forked);
        }
        let deadline_ns = self.deadline_ns(options)?;
        core.space(options)?;
        if core.is_deserted() && core.is_running() {
            return Err(SubmitError::Failed { reason: core.reason() });
        }
        let submitted_ns = core.clock.now();
        let request = Request { submitted_ns, deadline_ns };
        match core.claim(options.priority.lane(), rows, place, request) {
            Ok(first) => Ok((first, deadline_ns)),
            Err(Refused::Closed) => Err(SubmitError::ShutDown),
            Err(Refused::Full) => Err(SubmitError::Full),
        }
    }

    /// Counts rows for which there was no room.
    fn counted<T>(&self, rows: usize, taken: Result<T, SubmitError>) -> Result<T, SubmitError> {
        if let Err(SubmitError::Full) = taken {
            self.core().tally.rejected(rows as u64);
        }
        taken
    }

    /// The options' deadline, which has not passed.
    fn deadline_ns(&self, options: &SubmitOptions) -> Result<u64, SubmitError> {
        let Some(deadline) = options.deadline else { return Ok(NEVER) };
        let clock = &self.core().clock;
        let deadline_ns = clock.at(deadline);
        if deadline_ns <= clock.now() { Err(SubmitError::DeadlinePassed) } else { Ok(deadline_ns) }
    }
}

/// The bytes of each of `count` rows.
fn apart<'a>(rows: Rows<'a>, count: usize) -> impl ExactSizeIterator<Item = &'a [u8]> {
    let bytes = rows.bytes();
    bytes.chunks_exact(bytes.len() / count)
}
