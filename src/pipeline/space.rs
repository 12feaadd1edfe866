//! Who waits for rows to become free, first come first served.
//!
//! The same argument as in [`bell`](super::bell): a waiter says that it waits and then tries once
//! more; whoever frees rows looks for waiters afterwards; fences between the two on both sides.

use std::collections::VecDeque;

use crossbeam::utils::CachePadded;

use super::super::sync::{AtomicU64, Mutex, Ordering, fence, lock};
use super::waiter::Waiter;

/// The queue of those who wait for room in one lane.
#[derive(Debug)]
pub(crate) struct Space {
    /// How many wait. Written under the lock.
    waiting: CachePadded<AtomicU64>,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    next_place: u64,
    /// In the order they came; without a waiter where it was woken and has not come back yet.
    places: VecDeque<(u64, Option<Waiter>)>,
}

impl Space {
    pub(crate) fn new() -> Space {
        let waiting = CachePadded::new(AtomicU64::new(0));
        Space { waiting, queue: Mutex::new(Queue::default()) }
    }

    /// Waits in line: at `place` where there is one, else behind the last. The caller has to try
    /// once more before it sleeps.
    pub(crate) fn wait(&self, place: Option<u64>, waiter: Waiter) -> u64 {
        let mut queue = lock(&self.queue);
        let found = queue.places.iter_mut().find(|(other, _)| Some(*other) == place);
        let (place, before) = match found {
            Some((place, before)) => (*place, before.replace(waiter)),
            None => {
                let place = queue.next_place;
                queue.next_place += 1;
                queue.places.push_back((place, Some(waiter)));
                self.waiting.store(queue.places.len() as u64, Ordering::Relaxed);
                (place, None)
            }
        };
        drop(queue);
        fence(Ordering::SeqCst);
        // Once the lock is free: a task that is let go of may do anything, such as leave this line.
        drop(before);
        place
    }

    /// Leaves the line, and lets the next one try: there may be room for more than one.
    pub(crate) fn leave(&self, place: u64) {
        let mut queue = lock(&self.queue);
        let found = queue.places.iter().position(|(other, _)| *other == place);
        let left = found.and_then(|index| queue.places.remove(index));
        self.waiting.store(queue.places.len() as u64, Ordering::Relaxed);
        drop(queue);
        drop(left);
        self.wake_first();
    }

    /// Lets the first in line try. To be called after rows were freed.
    pub(crate) fn freed(&self) {
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) != 0 {
            self.wake_first();
        }
    }

    /// Lets everybody in line try: there is something else than room to be told.
    pub(crate) fn wake_all(&self) {
        fence(Ordering::SeqCst);
        let mut queue = lock(&self.queue);
        let waiters: Vec<_> = queue.places.iter_mut().filter_map(|(_, it)| it.take()).collect();
        drop(queue);
        waiters.into_iter().for_each(Waiter::wake);
    }

    fn wake_first(&self) {
        let first = lock(&self.queue).places.front_mut().and_then(|(_, waiter)| waiter.take());
        if let Some(waiter) = first {
            waiter.wake();
        }
    }
}
