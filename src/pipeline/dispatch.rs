//! Which rows make the next batch, and with which weights they run. Pure bookkeeping under the
//! pipeline's one dispatcher lock; workers take turns at holding it.
//!
//! A request of several rows is taken from its first row to its last before its lane goes on, over
//! as many batches as it needs, and with the same weights throughout: a lane changes to a new
//! version only between two requests.

#![allow(unsafe_code)]

use std::collections::VecDeque;

use super::super::sync::Arc;
use super::clock::NEVER;
use super::flight::Batch;
use super::gauges::SharedTally;
use super::generation::Generation;
use super::policy::{Share, start_by_ns};
use super::records::{Aftermath, Outcome, Rows, turn_away};
use super::ring::{Reader, Visited};

/// Spans of neighbouring rows that one batch may consist of.
pub(crate) const PIECES_MAX: usize = 64;

/// The lanes: see [`Priority`](super::config::Priority).
const INTERACTIVE: usize = 0;
const BULK: usize = 1;

/// A batch of this pipeline.
pub(crate) type RowBatch = Batch<Arc<Generation>>;

/// How far every lane has come, and what has to run again.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    lanes: Vec<Lane>,
    retries: VecDeque<RowBatch>,
    /// What the bulk lane has a claim to.
    share: Share,
    /// The version that lanes change to.
    current: Arc<Generation>,
}

#[derive(Debug)]
struct Lane {
    reader: Reader,
    /// What is left of the request that the lane is in the middle of: its next row, and how many.
    open: Option<(u32, u32)>,
    /// The version of that request, and of those after it until the lane changes.
    generation: Arc<Generation>,
}

/// What forming batches needs to know about its surroundings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) ring: &'a Rows,
    pub(crate) tally: &'a SharedTally,
    pub(crate) now_ns: u64,
}

impl Dispatcher {
    /// At the beginning of every lane; `None` where memory runs out.
    pub(crate) fn new(ring: &Rows, lanes: usize, current: Arc<Generation>) -> Option<Dispatcher> {
        let lane = |lane| {
            let (reader, generation) = (Reader::new(ring, lane)?, Arc::clone(&current));
            Some(Lane { reader, open: None, generation })
        };
        let lanes = (0..lanes).map(lane).collect::<Option<_>>()?;
        let (retries, share) = (VecDeque::new(), Share::default());
        Some(Dispatcher { lanes, retries, share, current })
    }

    /// The version that new requests run with.
    pub(crate) fn current(&self) -> &Arc<Generation> {
        &self.current
    }

    /// Lets every request that is not begun run with another version.
    pub(crate) fn change(&mut self, generation: Arc<Generation>) {
        self.current = generation;
    }

    /// Has a batch run again, before anything else.
    pub(crate) fn retry(&mut self, batch: RowBatch) {
        self.retries.push_back(batch);
    }

    /// Rows that wait, or a few more: claims that are not committed count, too.
    pub(crate) fn waiting(&self, ring: &Rows) -> u64 {
        let retries: usize = self.retries.iter().map(|batch| batch.rows.len()).sum();
        retries as u64 + (0..self.lanes.len()).map(|lane| self.waiting_in(lane, ring)).sum::<u64>()
    }

    fn waiting_in(&self, number: usize, ring: &Rows) -> u64 {
        let lane = &self.lanes[number];
        let open = lane.open.map_or(0, |(_, left)| u64::from(left));
        ring.waiting(number) + open + lane.reader.late() as u64
    }

    /// Rows that are committed and in no batch.
    pub(crate) fn queued(&self, ring: &Rows) -> u64 {
        let retries: usize = self.retries.iter().map(|batch| batch.rows.len()).sum();
        let lanes = self.lanes.iter().map(|lane| {
            let open = lane.open.map_or(0, |(_, left)| u64::from(left));
            // SAFETY: only the dispatcher, which is locked, takes what waits.
            let rows = |first| u64::from(unsafe { ring.first_of(first) }.1);
            open + lane.reader.waiting(ring).map(rows).sum::<u64>()
        });
        retries as u64 + lanes.sum::<u64>()
    }

    /// Looks again at rows that were not committed when they were passed. Returns the rows freed.
    pub(crate) fn revisit(&mut self, ring: &Rows) -> u32 {
        self.lanes.iter_mut().map(|lane| lane.reader.revisit(ring)).sum()
    }

    /// When the oldest row that waits was submitted, one of every lane; 0 for what has to go on at
    /// once, [`NEVER`] where nothing waits.
    pub(crate) fn oldest_ns(&self, ring: &Rows) -> u64 {
        let urgent = !self.retries.is_empty() || self.lanes.iter().any(|lane| lane.open.is_some());
        let submitted = self.lanes.iter().filter_map(|lane| {
            let first = lane.reader.waiting(ring).next()?;
            // SAFETY: the request is committed, and only the dispatcher, which is locked, takes it.
            Some(unsafe { ring.request(first) }.submitted_ns)
        });
        if urgent { 0 } else { submitted.min().unwrap_or(NEVER) }
    }

    /// When the first row that waits has to start for its deadline, where a batch takes `run_ns`;
    /// [`NEVER`] where none has a deadline.
    pub(crate) fn start_by_ns(&self, ring: &Rows, run_ns: u64) -> u64 {
        let firsts = self.lanes.iter().flat_map(|lane| lane.reader.waiting(ring));
        let start_by = firsts.map(|first| {
            // SAFETY: the request is committed, and only the dispatcher, which is locked, takes it.
            let request = unsafe { ring.request(first) };
            start_by_ns(request.submitted_ns, request.deadline_ns, run_ns)
        });
        start_by.min().unwrap_or(NEVER)
    }

    /// The version of something that waits and was begun with an older one than runs now.
    pub(crate) fn older(&self) -> Option<&Arc<Generation>> {
        let retries = self.retries.iter().map(|batch| &batch.generation);
        let open = self.lanes.iter().filter(|lane| lane.open.is_some());
        let mut begun = retries.chain(open.map(|lane| &lane.generation));
        begun.find(|generation| generation.version != self.current.version)
    }

    /// Answers what waits and was begun with a version that nobody can run.
    pub(crate) fn give_up_version(
        &mut self,
        scene: Scene<'_>,
        version: u64,
        aftermath: &mut Aftermath,
    ) {
        let (given_up, kept): (VecDeque<_>, _) =
            self.retries.drain(..).partition(|batch| batch.generation.version == version);
        self.retries = kept;
        given_up.into_iter().for_each(|batch| self.give_up(scene, batch, aftermath));
        for lane in self.lanes.iter_mut().filter(|lane| lane.generation.version == version) {
            if let Some(open) = lane.open.take() {
                // SAFETY: the rest of a taken request, in no batch yet.
                unsafe { scene.turn_away(open, Outcome::Failed, aftermath) };
            }
        }
    }

    /// Fills `batch` with up to `max_rows` rows: what has to run again, else the share of the bulk
    /// lane, and then what waits longest, lane by lane. Rows whose ticket is gone, or whose
    /// deadline has passed, are answered instead.
    pub(crate) fn form(
        &mut self,
        scene: Scene<'_>,
        max_rows: usize,
        batch: &mut RowBatch,
        aftermath: &mut Aftermath,
    ) {
        batch.rows.clear();
        batch.pieces = 0;
        batch.tried = 0;
        batch.formed_ns = scene.now_ns;
        while let Some(retry) = self.retries.pop_front() {
            self.form_again(scene, max_rows, retry, batch, aftermath);
            if !batch.rows.is_empty() {
                return;
            }
        }
        if self.lanes.len() <= BULK {
            self.fill(INTERACTIVE, scene, max_rows, batch, aftermath);
            return;
        }
        let mut bulk = self.fill(BULK, scene, self.share.due().min(max_rows), batch, aftermath);
        let interactive = self.fill(INTERACTIVE, scene, max_rows, batch, aftermath);
        bulk += self.fill(BULK, scene, max_rows, batch, aftermath);
        let waits = self.waiting_in(BULK, scene.ring) > 0;
        self.share.note(interactive, bulk, waits, max_rows);
    }

    /// Adds rows of one lane to a batch, until it has `rows` or nothing waits in the lane. Returns
    /// the number added.
    fn fill(
        &mut self,
        number: usize,
        scene: Scene<'_>,
        rows: usize,
        batch: &mut RowBatch,
        aftermath: &mut Aftermath,
    ) -> usize {
        let (lane, before) = (&mut self.lanes[number], batch.rows.len());
        if lane.open.is_none() && lane.generation.version != self.current.version {
            lane.generation = Arc::clone(&self.current);
        }
        if before == 0 {
            batch.generation = Arc::clone(&lane.generation);
        } else if batch.generation.version != lane.generation.version {
            return 0;
        }
        let changes = lane.generation.version != self.current.version;
        lane.fill(scene, rows, changes, batch, aftermath);
        lane.reader.publish(scene.ring);
        batch.rows.len() - before
    }

    /// Forms a batch of rows that were tried before: as many as fit, those that are still wanted.
    fn form_again(
        &mut self,
        scene: Scene<'_>,
        max_rows: usize,
        mut retry: RowBatch,
        batch: &mut RowBatch,
        aftermath: &mut Aftermath,
    ) {
        batch.generation = Arc::clone(&retry.generation);
        batch.tried = retry.tried;
        let fits = retry.rows.len().min(max_rows).min(PIECES_MAX);
        for row in retry.rows.drain(..fits) {
            // SAFETY: the rows were taken from the attempt that failed, and nobody else has them.
            if unsafe { scene.is_expired(row) } {
                // SAFETY: as above.
                unsafe { scene.turn_away((row, 1), Outcome::Expired, aftermath) };
            } else {
                batch.push(row);
            }
        }
        if !retry.rows.is_empty() {
            self.retries.push_front(retry);
        }
    }

    /// Answers every row whose deadline has passed, wherever it waits. Returns when the next one
    /// passes.
    pub(crate) fn expire(&mut self, scene: Scene<'_>, aftermath: &mut Aftermath) -> u64 {
        let mut next_ns = NEVER;
        for lane in &mut self.lanes {
            aftermath.freed += lane.reader.revisit(scene.ring);
            let expired = |deadline_ns: u64| deadline_ns <= scene.now_ns;
            let left = lane.reader.sweep(
                scene.ring,
                |request| (expired(request.deadline_ns), request.deadline_ns),
                // SAFETY: the reader took the request just now.
                |visited| unsafe { scene.turn_whole_away(visited, Outcome::Expired, aftermath) },
            );
            next_ns = next_ns.min(left);
        }
        next_ns
    }

    /// Answers a batch that was tried too often.
    pub(crate) fn give_up(&mut self, scene: Scene<'_>, batch: RowBatch, aftermath: &mut Aftermath) {
        for row in batch.rows {
            // SAFETY: the rows were taken from the attempt that failed, and nobody else has them.
            unsafe { scene.turn_away((row, 1), Outcome::Failed, aftermath) };
        }
    }

    /// Answers everything that waits.
    pub(crate) fn turn_all_away(
        &mut self,
        scene: Scene<'_>,
        outcome: Outcome,
        aftermath: &mut Aftermath,
    ) {
        for row in self.retries.drain(..).flat_map(|batch| batch.rows) {
            // SAFETY: the rows were taken from the attempt that failed, and nobody else has them.
            unsafe { scene.turn_away((row, 1), outcome, aftermath) };
        }
        for lane in &mut self.lanes {
            if let Some(open) = lane.open.take() {
                // SAFETY: the rest of a taken request, in no batch yet.
                unsafe { scene.turn_away(open, outcome, aftermath) };
            }
            aftermath.freed += lane.reader.revisit(scene.ring);
            while let Some(visited) = lane.reader.next(scene.ring, &mut aftermath.freed) {
                // SAFETY: the reader took the request just now.
                unsafe { scene.turn_whole_away(visited, outcome, aftermath) };
            }
            lane.reader.publish(scene.ring);
        }
    }
}

impl Lane {
    /// Adds the lane's rows to a batch, until it is full or nothing waits, or, where the lane is
    /// about to change to another version, its request is at its end.
    fn fill(
        &mut self,
        scene: Scene<'_>,
        max_rows: usize,
        changes: bool,
        batch: &mut RowBatch,
        aftermath: &mut Aftermath,
    ) {
        while batch.rows.len() < max_rows && batch.pieces < PIECES_MAX {
            let Some((row, left)) = self.open.take() else {
                if changes {
                    return;
                }
                let Some(visited) = self.reader.next(scene.ring, &mut aftermath.freed) else {
                    return;
                };
                // SAFETY: the reader took the request just now.
                self.open = unsafe { scene.admit(visited, aftermath) };
                continue;
            };
            // SAFETY: the row was taken with its request, and runs in no batch yet.
            if unsafe { scene.is_expired(row) } {
                // SAFETY: as above.
                unsafe { scene.turn_away((row, left), Outcome::Expired, aftermath) };
                continue;
            }
            let fits = left.min((max_rows - batch.rows.len()) as u32);
            let mut next = row;
            let mut taken = 0;
            while taken < fits && batch.pieces < PIECES_MAX {
                taken += 1;
                batch.push(next);
                // SAFETY: the row was taken with its request, and runs in no batch yet.
                next = unsafe { scene.ring.next_of(next) };
            }
            self.open = (taken < left).then_some((next, left - taken));
        }
    }
}

impl Scene<'_> {
    /// A request that is to be run, as its first row and number of rows; one whose ticket is gone
    /// is answered.
    ///
    /// # Safety
    /// The request was taken, and nobody else has it.
    unsafe fn admit(self, visited: Visited, aftermath: &mut Aftermath) -> Option<(u32, u32)> {
        if visited.abandoned {
            // SAFETY: as the caller promises.
            unsafe { self.turn_whole_away(visited, Outcome::Cancelled, aftermath) };
            return None;
        }
        // SAFETY: as the caller promises.
        Some(unsafe { self.ring.first_of(visited.first) })
    }

    /// Whether the deadline of a row's request has passed.
    ///
    /// # Safety
    /// The row was taken, and nobody else has it.
    unsafe fn is_expired(self, row: u32) -> bool {
        // SAFETY: as the caller promises.
        let (first, _) = unsafe { self.ring.first_of(row) };
        // SAFETY: as the caller promises.
        unsafe { self.ring.request(first) }.deadline_ns <= self.now_ns
    }

    /// # Safety
    /// The request was taken, and nobody else has it.
    unsafe fn turn_whole_away(self, visited: Visited, outcome: Outcome, aftermath: &mut Aftermath) {
        // SAFETY: as the caller promises.
        let rows = unsafe { self.ring.first_of(visited.first) };
        // SAFETY: as the caller promises.
        unsafe { self.turn_away(rows, outcome, aftermath) };
    }

    /// # Safety
    /// The rows were taken, and nobody else has them.
    unsafe fn turn_away(self, rows: (u32, u32), outcome: Outcome, aftermath: &mut Aftermath) {
        // SAFETY: as the caller promises.
        unsafe { turn_away(self.ring, self.tally, rows, outcome, aftermath) };
    }
}
