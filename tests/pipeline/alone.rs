//! What can only be measured in a process of its own.

use std::fs;
use std::mem::forget;
use std::thread;
use std::time::{Duration, Instant};

use fusewire::backend::cpu;
use fusewire::pipeline::Waiting;
use fusewire::{PipelineConfig, SubmitOptions};

use crate::support::*;

/// The process's threads; `None`, with a line that says so, where the system does not tell.
fn threads() -> Option<usize> {
    match fs::read_dir("/proc/self/task") {
        Ok(threads) => Some(threads.count()),
        Err(_) => {
            println!("skipped: the system does not list a process's threads");
            None
        }
    }
}

/// Processor time of the process, in the system's ticks of, as a rule, ten milliseconds.
fn ticks() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("there where threads are listed");
    // The name may have spaces; after it, user and system time are the 12th and 13th field.
    let fields = stat.rsplit_once(')').expect("a name in brackets").1.split_whitespace();
    fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
}

#[test]
fn pipelines_come_and_go_and_no_thread_stays() {
    let Some(_) = threads() else { return };
    if !is_alone("alone::pipelines_come_and_go_and_no_thread_stays") {
        return;
    }
    let before = threads().unwrap();
    for cycle in 0..2000 {
        let pipeline = start(&null(), PipelineConfig { workers: 1 + cycle % 3, ..small() });
        let ticket = pipeline.submit(&row(cycle)).unwrap();
        let clone = pipeline.clone();
        match cycle % 4 {
            0 => drop(pipeline),
            1 => assert!(pipeline.shutdown(LONG).drained),
            2 => assert!(pipeline.shutdown(Duration::ZERO).threads_left <= 4),
            _ => drop((pipeline, clone.reserve::<f32>())),
        }
        drop(clone);
        if cycle % 4 != 2 {
            check(&ticket.wait().unwrap(), [cycle]);
        }
    }
    until(|| threads().unwrap() == before);
}

#[test]
fn a_pipeline_with_nothing_to_do_does_nothing() {
    let Some(_) = threads() else { return };
    if !is_alone("alone::a_pipeline_with_nothing_to_do_does_nothing") {
        return;
    }
    let waiting = Waiting::spinning(Duration::from_micros(10));
    let config = PipelineConfig { workers: 4, bulk_capacity: 8, waiting, ..small() };
    let pipeline = start(&*cpu::open(), config.clone());
    let delayed =
        start(&fake("delayed"), PipelineConfig { max_delay: Duration::from_millis(5), ..config });
    pipeline.attach(load(&fake("second"))).unwrap();
    for id in 0..50 {
        let soon = Instant::now() + Duration::from_millis(1);
        drop(pipeline.submit_with(&row(id), &SubmitOptions::deadline(soon)));
        check(&pipeline.submit(&row(id)).unwrap().wait().unwrap(), [id]);
        check(&delayed.submit(&row(id)).unwrap().wait().unwrap(), [id]);
    }
    let ticket = pipeline.submit(&row(1)).unwrap();
    let held: Vec<_> = [&pipeline, &delayed]
        .map(|pipeline| {
            forget(pipeline.reserve::<f32>());
            let reply = pipeline.submit(&row(2)).unwrap().wait().unwrap();
            (reply, pipeline.reserve::<f32>().unwrap())
        })
        .into();
    // Until everybody has gone to sleep.
    thread::sleep(Duration::from_millis(500));
    let before = ticks();
    thread::sleep(Duration::from_secs(1));
    let spent = ticks() - before;
    assert!(spent <= 2, "{spent} ticks in a second of nothing to do");
    drop((ticket, held));
}

#[test]
fn a_backend_that_lets_another_go_first_does_not_spin_meanwhile() {
    let Some(_) = threads() else { return };
    if !is_alone("alone::a_backend_that_lets_another_go_first_does_not_spin_meanwhile") {
        return;
    }
    let (dear, cheap) = (Duration::from_millis(400), Duration::from_millis(80));
    let pipeline = start(&fake("dear").lasting(dear), narrow());
    pipeline.attach(load(&fake("cheap").lasting(cheap))).unwrap();
    let (begun, before) = (Instant::now(), ticks());
    let replies = pipeline.submit_many(&rows(0..64)).unwrap().wait().unwrap();
    let (passed, spent) = (begun.elapsed(), ticks() - before);
    check(&replies, 0..64);
    assert!(replies.rows().all(|row| row.device() == "cheap"));
    // A tick is ten milliseconds at least.
    assert!(u128::from(spent) * 20 < passed.as_millis(), "{spent} ticks in {passed:?}");
}
