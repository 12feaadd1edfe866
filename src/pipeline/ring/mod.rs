//! The host ring: where requests wait, are answered, and are read, each in its own row.
//!
//! Many producers, one dispatcher at a time, any answerer, one ticket per request. It descends from
//! Vyukov's bounded queue (a lap number per row, a compare-and-swap on the tail), with these
//! differences: the request is written in place, it stays in its row until its answer is read, and
//! rows need not become free in order.
//!
//! 1. A producer *claims* rows: finds the row at the tail free for this lap and moves the tail.
//!    A full ring consumes nothing. A row that is still taken sits out a lap (see [`word`]), so
//!    a reply nobody reads, or a guard that leaked, costs its own row and nothing else.
//! 2. It writes the request and *commits*, which publishes it, or *discards*, which leaves a
//!    tombstone. A request of several rows has one word that matters, its first row's.
//! 3. The dispatcher *visits* rows in order, steps over those that are not committed yet, comes
//!    back to them first the next time, and takes what is ready.
//! 4. Whoever holds a taken row *answers* it; the last answer of a request completes it.
//! 5. The ticket reads the answers and *releases* the rows; where it was dropped before, whoever
//!    completes the request does.
//!
//! `Q` is what a producer writes about a request, `A` what an answerer writes about a row. The
//! rows' values and scores lie elsewhere, under the same row numbers and the same protocol.

#![allow(unsafe_code)]

mod answer;
mod claim;
mod visit;

use crossbeam::utils::CachePadded;

use super::super::sync::{AtomicU32, AtomicU64, Mutex, Ordering, UnsafeCell};
use super::waiter::Waiter;
use super::word;

pub(crate) use answer::Answered;
pub(crate) use claim::Refused;
pub(crate) use visit::{Reader, Visited};

/// Rows and the lanes they lie in.
#[derive(Debug)]
pub(crate) struct Ring<Q, A> {
    lanes: Box<[Lane]>,
    rows: Box<[Row<Q, A>]>,
}

/// One class of requests: a ring of its own over a span of the rows.
#[derive(Debug)]
struct Lane {
    /// The next claim; [`CLOSED`] is set once and for all. Written by producers.
    tail: CachePadded<AtomicU64>,
    /// The next claim to visit. Written by the dispatcher.
    head: CachePadded<AtomicU64>,
    /// The lane's first row.
    first_row: u32,
    /// Its number of rows, a power of two, as a shift.
    shift: u32,
}

/// In a tail: nothing may be claimed any more.
const CLOSED: u64 = 1 << 63;

#[derive(Debug)]
#[repr(align(64))]
struct Row<Q, A> {
    /// See [`word`].
    word: AtomicU64,
    /// Rows of the request that begins here that are not answered yet; unused for one row alone.
    unanswered: AtomicU32,
    /// Written with the claim.
    link: UnsafeCell<Link>,
    /// Written between claim and commit, in the first row of a request.
    request: UnsafeCell<Q>,
    /// Written by the answerer.
    answer: UnsafeCell<A>,
    /// Whom to wake, and for which claim.
    waiter: Mutex<Option<(u64, Waiter)>>,
}

/// A row's place in its request.
#[derive(Clone, Copy, Debug, Default)]
struct Link {
    /// The number of the claim, which no other request ever has.
    claim: u64,
    /// The request's first row.
    first: u32,
    /// The request's next row; its first where there is none.
    next: u32,
    /// Rows in the request.
    rows: u32,
}

// SAFETY: the protocol of the module's documentation gives every cell one writer at a time, and no
// reader while there is a writer; the models check it.
unsafe impl<Q: Send + Sync, A: Send + Sync> Sync for Ring<Q, A> {}

impl<Q: Default, A: Default> Ring<Q, A> {
    /// Lanes of so many rows each, each a power of two; `None` where memory runs out.
    pub(crate) fn new(capacities: &[u32]) -> Option<Ring<Q, A>> {
        let mut lanes = Vec::new();
        let mut rows = 0;
        for capacity in capacities {
            assert!(capacity.is_power_of_two(), "a lane's rows are a power of two");
            lanes.push(Lane {
                tail: CachePadded::new(AtomicU64::new(0)),
                head: CachePadded::new(AtomicU64::new(0)),
                first_row: rows,
                shift: capacity.trailing_zeros(),
            });
            rows += capacity;
        }
        let mut memory = room(rows as usize)?;
        memory.extend((0..rows).map(|_| Row {
            word: AtomicU64::new(word::free(0)),
            unanswered: AtomicU32::new(0),
            link: UnsafeCell::new(Link::default()),
            request: UnsafeCell::new(Q::default()),
            answer: UnsafeCell::new(A::default()),
            waiter: Mutex::new(None),
        }));
        Some(Ring { lanes: lanes.into(), rows: memory.into() })
    }
}

/// An empty list with room for so many; `None` where memory runs out.
pub(crate) fn room<T>(count: usize) -> Option<Vec<T>> {
    let mut list = Vec::new();
    list.try_reserve_exact(count).ok()?;
    Some(list)
}

impl<Q, A> Ring<Q, A> {
    /// Rows in all lanes.
    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Rows in one lane.
    pub(crate) fn capacity(&self, lane: usize) -> usize {
        1 << self.lanes[lane].shift
    }

    /// The lane of a row.
    pub(crate) fn lane_of(&self, row: u32) -> usize {
        // The first lane begins with row 0.
        self.lanes.iter().rposition(|lane| row >= lane.first_row).unwrap_or(0)
    }

    /// Claims of a lane that were not visited yet: about what waits there.
    pub(crate) fn waiting(&self, lane: usize) -> u64 {
        let lane = &self.lanes[lane];
        let head = lane.head.load(Ordering::Acquire);
        lane.claimed().saturating_sub(head)
    }

    /// What the producer wrote about the request that begins at `first`.
    ///
    /// # Safety
    /// The caller holds the request: as its producer before the commit, as the dispatcher or the
    /// answerer between taking and completing it, or as its ticket.
    pub(crate) unsafe fn request(&self, first: u32) -> &Q {
        // SAFETY: as the caller promises, nobody writes the request now.
        self.row(first).request.with(|request| unsafe { &*request })
    }

    /// What the answerer wrote about a row.
    ///
    /// # Safety
    /// The caller is the ticket of a completed request that the row belongs to.
    pub(crate) unsafe fn answer_of(&self, row: u32) -> &A {
        // SAFETY: the request is complete, so nobody writes the answer any more.
        self.row(row).answer.with(|answer| unsafe { &*answer })
    }

    /// The rows of a request and which of them is its first.
    ///
    /// # Safety
    /// As for [`Ring::request`]; also whoever holds a taken row of it.
    pub(crate) unsafe fn first_of(&self, row: u32) -> (u32, u32) {
        // SAFETY: links are written by claims alone, and the caller holds the row.
        let link = unsafe { self.link(row) };
        (link.first, link.rows)
    }

    /// The request's row after this one; its first after the last.
    ///
    /// # Safety
    /// As for [`Ring::first_of`].
    pub(crate) unsafe fn next_of(&self, row: u32) -> u32 {
        // SAFETY: links are written by claims alone, and the caller holds the row.
        unsafe { self.link(row) }.next
    }

    /// # Safety
    /// The caller holds the row.
    unsafe fn link(&self, row: u32) -> Link {
        // SAFETY: links are written by claims alone, and the caller holds the row.
        self.row(row).link.with(|link| unsafe { *link })
    }

    fn row(&self, row: u32) -> &Row<Q, A> {
        &self.rows[row as usize]
    }
}

impl Lane {
    /// The row that a claim falls on.
    fn row_of(&self, claim: u64) -> u32 {
        self.first_row + (claim & (self.capacity() - 1)) as u32
    }

    /// The lap that a claim belongs to.
    fn lap_of(&self, claim: u64) -> u64 {
        claim >> self.shift
    }

    fn capacity(&self) -> u64 {
        1 << self.shift
    }

    /// How far claims have gone.
    fn claimed(&self) -> u64 {
        // Acquire: whoever sees a claim made sees its rows no earlier than the claim found them.
        self.tail.load(Ordering::Acquire) & !CLOSED
    }
}
