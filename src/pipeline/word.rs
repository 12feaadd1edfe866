//! The state word of a row: who owns the row now, and for which lap.
//!
//! ```text
//! bits 0-2   phase      written by the row's owner of the moment
//! bit  3     COMPLETE   the request that begins here is answered; set by whoever answers last
//! bit  4     WAITED     somebody waits for the answer; set by the ticket
//! bit  5     ABANDONED  nobody will read the answer; set by the ticket
//! bits 8-15  holds      attempts that were revoked while they may still read the row
//! bits 16-63 lap        the first lap of the ring in which the row may be claimed (again)
//! ```
//!
//! A row may be claimed for a lap if its word is exactly [`free`] of that lap. A claim raises the
//! lap by one at once. Whoever finds the row still taken when the ring comes round raises the lap
//! by one more: the row sits out a lap, and nobody waits for it.

/// Nobody's: may be claimed, unless a bit above the phase says otherwise.
pub(crate) const FREE: u64 = 0;
/// A producer writes the request that begins here.
pub(crate) const CLAIMED: u64 = 1;
/// The request is written and waits for a batch.
pub(crate) const READY: u64 = 2;
/// The dispatcher has seen the request: it is in a batch, answered, or about to be.
pub(crate) const TAKEN: u64 = 3;
/// The producer gave the request up before it was written.
pub(crate) const TOMBSTONE: u64 = 4;
/// A row of a request that begins at another row, which speaks for all of them.
pub(crate) const MEMBER: u64 = 5;

const PHASE: u64 = 0b111;

/// The request is answered: its ticket owns the rows.
pub(crate) const COMPLETE: u64 = 1 << 3;
/// The ticket left word of whom to wake.
pub(crate) const WAITED: u64 = 1 << 4;
/// The ticket is gone.
pub(crate) const ABANDONED: u64 = 1 << 5;
/// One attempt that may still read the row.
pub(crate) const HOLD: u64 = 1 << 8;
/// One lap.
pub(crate) const LAP: u64 = 1 << 16;

/// What freeing a row clears: everything but laps and holds.
pub(crate) const OWNED: u64 = HOLD - 1;

/// The word of a row that may be claimed in `lap`.
pub(crate) const fn free(lap: u64) -> u64 {
    lap * LAP
}

/// The row's phase.
pub(crate) const fn phase(word: u64) -> u64 {
    word & PHASE
}

/// The first lap in which the row may be claimed.
pub(crate) const fn lap(word: u64) -> u64 {
    word / LAP
}

/// Whether the row is nobody's, in whatever lap.
pub(crate) const fn is_free(word: u64) -> bool {
    word.is_multiple_of(LAP)
}
