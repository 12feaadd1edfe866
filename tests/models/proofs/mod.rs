//! The models. They are compiled once for each tree, of whose pipeline they prove something.

#![allow(unsafe_code)]

pub(crate) mod bell;
pub(crate) mod flight;
pub(crate) mod requests;
pub(crate) mod rows;
pub(crate) mod space;
pub(crate) mod stragglers;
pub(crate) mod tickets;

use std::sync::Arc;

use super::pipeline::ring::{Answered, Reader, Refused, Ring, Visited};
use super::sync::{UnsafeCell, thread};

/// A number, each access to which is watched.
#[derive(Debug, Default)]
struct Value(UnsafeCell<u64>);

// SAFETY: loom reports every access that is concurrent to a write.
unsafe impl Sync for Value {}

impl Value {
    fn set(&self, value: u64) {
        // SAFETY: as above.
        self.0.with_mut(|cell| unsafe { *cell = value });
    }

    fn get(&self) -> u64 {
        // SAFETY: as above.
        self.0.with(|cell| unsafe { *cell })
    }
}

type Rows = Ring<Value, Value>;

/// Runs a part of a model in a thread of its own.
fn spawn<S, T>(shared: &Arc<S>, part: impl FnOnce(&S) -> T + 'static) -> thread::JoinHandle<T>
where
    S: 'static,
    T: 'static,
{
    let shared = Arc::clone(shared);
    thread::spawn(move || part(&shared))
}

/// A ring of one lane and its dispatcher; `begin` requests have been there and are gone.
fn ring(capacity: u32, begin: u64) -> (Arc<Rows>, Server) {
    let ring = Arc::new(Rows::new(&[capacity]).unwrap());
    let mut server = Server::new(&ring);
    for _ in 0..begin {
        let first = submit(&ring, 7).unwrap();
        server.serve(&ring);
        assert_eq!(read(&ring, first), Ok(71));
    }
    server.served.clear();
    (ring, server)
}

/// Claims one row and commits it.
fn submit(ring: &Rows, value: u64) -> Result<u32, Refused> {
    submit_rows(ring, 1, value)
}

/// Claims rows for one request and commits it.
fn submit_rows(ring: &Rows, rows: u32, value: u64) -> Result<u32, Refused> {
    let first = ring.claim(0, rows, 0, |request| request.set(value))?;
    ring.commit(first);
    Ok(first)
}

/// Reads the answers of a request, as their sum, and releases its rows; gives the ticket back where
/// there are none yet.
fn read(ring: &Rows, first: u32) -> Result<u64, u32> {
    if !ring.is_complete(first) {
        return Err(first);
    }
    // SAFETY: the caller has the ticket of a request that is complete.
    let (_, rows) = unsafe { ring.first_of(first) };
    let (mut sum, mut row) = (0, first);
    for _ in 0..rows {
        // SAFETY: as above.
        sum += unsafe { ring.answer_of(row) }.get();
        // SAFETY: as above.
        row = unsafe { ring.next_of(row) };
    }
    // SAFETY: as above, and nothing is done with it after this.
    unsafe { ring.release(first) };
    Ok(sum)
}

/// Drops a ticket.
fn abandon(ring: &Rows, first: u32) -> u32 {
    // SAFETY: the caller has the ticket, and does nothing with it after this.
    unsafe { ring.abandon(first) }
}

fn answer(ring: &Rows, row: u32, value: u64) -> Answered {
    // SAFETY: models answer the rows they took, once each.
    unsafe { ring.answer(row, |answer| answer.set(value)) }
}

/// Every row can be claimed, and no more than those.
fn assert_all_free(ring: &Rows) {
    for _ in 0..ring.rows() {
        assert!(submit(ring, 8).is_ok(), "a row was lost");
    }
    assert_eq!(submit(ring, 9), Err(Refused::Full));
}

/// Dispatcher and answerer of a ring. The answer to `n` is `10 * n + 1`, in each row.
struct Server {
    reader: Reader,
    /// Requests that were answered.
    served: Vec<u64>,
    /// Rows that were freed because nobody wants them.
    freed: u32,
}

impl Server {
    fn new(ring: &Rows) -> Server {
        Server { reader: Reader::new(ring, 0).unwrap(), served: Vec::new(), freed: 0 }
    }

    fn take(&mut self, ring: &Rows) -> Option<Visited> {
        self.freed += self.reader.revisit(ring);
        let visited = self.reader.next(ring, &mut self.freed);
        self.reader.publish(ring);
        visited
    }

    /// Answers the next request, if there is one.
    fn serve_one(&mut self, ring: &Rows) -> bool {
        let Some(visited) = self.take(ring) else { return false };
        self.answer_all(ring, visited.first);
        true
    }

    /// Answers everything that waits.
    fn serve(&mut self, ring: &Rows) {
        while self.serve_one(ring) {}
    }

    fn answer_all(&mut self, ring: &Rows, first: u32) {
        // SAFETY: the request was taken and is not answered.
        let (_, rows) = unsafe { ring.first_of(first) };
        // SAFETY: as above.
        let value = unsafe { ring.request(first) }.get();
        self.served.push(value);
        let mut row = first;
        for _ in 0..rows {
            // SAFETY: the row was taken and is not answered.
            let next = unsafe { ring.next_of(row) };
            let answered = answer(ring, row, 10 * value + 1);
            self.freed += answered.freed;
            if let Some(waiter) = answered.waiter {
                waiter.wake();
            }
            row = next;
        }
    }

    /// That these were answered, once each.
    fn assert_served(&mut self, values: &[u64]) {
        self.served.sort_unstable();
        assert_eq!(self.served, values);
    }
}
