//! The host ring alone: what a row costs from claim to release, on one thread, beside a queue that
//! is pushed to and popped from.
//!
//! The ring is the crate's own, compiled from its files, because it is nobody's to use but the
//! pipeline's. Every answer is checked inside the clock. Not measured: several producers, waking,
//! rows' values, which lie elsewhere; the bench `pipeline` has those.

#![allow(unsafe_code)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use crossbeam::queue::ArrayQueue;

use self::crate_files::pipeline::ring::{Reader, Ring};

#[path = "../src"]
#[allow(dead_code, unused_imports, missing_docs)]
mod crate_files {
    pub(crate) mod sync;

    pub(crate) mod pipeline {
        pub(crate) mod ring;
        pub(crate) mod waiter;
        pub(crate) mod word;
    }
}

const ROWS: u32 = 1024;
/// Requests under way at once.
const UNDER_WAY: [usize; 2] = [1, 256];
const MANY: u32 = 16;

/// A ring of one lane, and its dispatcher.
struct Alone {
    ring: Ring<u64, u64>,
    reader: Reader,
    firsts: Vec<u32>,
    number: u64,
}

impl Alone {
    fn new() -> Alone {
        let ring = Ring::new(&[ROWS]).unwrap();
        let reader = Reader::new(&ring, 0).unwrap();
        Alone { ring, reader, firsts: Vec::with_capacity(ROWS as usize), number: 0 }
    }

    /// Lets so many requests go through: claimed and committed, visited, answered, released.
    fn requests(&mut self, count: usize, rows: u32) {
        let first_number = self.number;
        for _ in 0..count {
            let number = self.number;
            let first = self.ring.claim(0, rows, 0, |request| *request = number);
            self.ring.commit(first.expect("the ring has room"));
            self.number += 1;
        }
        self.firsts.clear();
        let mut freed = 0;
        self.reader.revisit(&self.ring);
        while let Some(visited) = self.reader.next(&self.ring, &mut freed) {
            self.answer(visited.first, rows);
            self.firsts.push(visited.first);
        }
        self.reader.publish(&self.ring);
        assert_eq!(self.firsts.len(), count);
        for (number, first) in (first_number..).zip(&self.firsts) {
            self.take(*first, number);
        }
    }

    fn answer(&self, first: u32, rows: u32) {
        // SAFETY: the request was visited just now, and nobody else is there to answer it.
        let number = unsafe { *self.ring.request(first) };
        let mut row = first;
        for _ in 0..rows {
            // SAFETY: as above; a row that was answered is still held until it is released.
            let next = unsafe { self.ring.next_of(row) };
            // SAFETY: as above, and each row of the request is answered once.
            unsafe { self.ring.answer(row, |answer| *answer = !number) };
            row = next;
        }
    }

    fn take(&self, first: u32, number: u64) {
        assert!(self.ring.is_complete(first), "everything was answered");
        // SAFETY: the request is complete, and this is its only ticket.
        let answer = unsafe { *self.ring.answer_of(first) };
        assert_eq!(answer, !number);
        // SAFETY: as above; it is not touched again.
        unsafe { self.ring.release(first) };
    }
}

fn ring(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ring");
    for count in UNDER_WAY {
        group.throughput(Throughput::Elements(count as u64));
        let mut alone = Alone::new();
        group.bench_function(BenchmarkId::new("one_row", count), |bencher| {
            bencher.iter(|| alone.requests(black_box(count), 1));
        });
        let queues = [(); 2].map(|()| ArrayQueue::new(ROWS as usize));
        let mut number = 0;
        group.bench_function(BenchmarkId::new("floor: two queues", count), |bencher| {
            bencher.iter(|| exchange(&queues, &mut number, black_box(count)));
        });
    }
    group.throughput(Throughput::Elements(u64::from(MANY)));
    let mut alone = Alone::new();
    group.bench_function(BenchmarkId::new("sixteen_rows", 1), |bencher| {
        bencher.iter(|| alone.requests(black_box(1), MANY));
    });
}

/// The same there and back by two queues, which hold no rows and know no requests.
fn exchange([there, back]: &[ArrayQueue<u64>; 2], number: &mut u64, count: usize) {
    let first = *number;
    for _ in 0..count {
        there.push(*number).expect("the queue has room");
        *number += 1;
    }
    while let Some(request) = there.pop() {
        back.push(!request).expect("the queue has room");
    }
    for number in first..*number {
        assert_eq!(back.pop(), Some(!number));
    }
}

criterion_group! {
    name = rings;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = ring
}
criterion_main!(rings);
