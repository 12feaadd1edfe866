//! A pipeline inside a program of plain threads: each decodes its images straight into the memory
//! that the device reads, and keeps several requests under way.
//!
//!     cargo run --release --example embed_threads [MODEL]

use std::collections::VecDeque;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fusewire::pipeline::{Pipeline, PipelineConfig, SubmitError, Ticket};
use fusewire::{BackendKind, Error, InputType, Model, Plan, PlanOptions, backend};

const THREADS: usize = 2;
const REQUESTS: usize = 100_000;
/// Requests that one thread keeps under way.
const WINDOW: usize = 64;
const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/fashion-mnist.safetensors");

fn main() -> Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| SHIPPED.to_owned());
    let model = Model::load(&path).with_context(|| path.clone())?;
    let device = backend::open(BackendKind::Auto)?;
    let options = PlanOptions { input: InputType::U8, ..PlanOptions::default() };
    let plan = Plan::new(&model, device.limits(), &options)?;
    let pipeline = Pipeline::start(device.load(plan)?, PipelineConfig::default())?;
    println!("{}", pipeline.explain());

    let began = Instant::now();
    let threads: Vec<_> = (0..THREADS)
        .map(|seed| {
            let pipeline = pipeline.clone();
            thread::spawn(move || camera(&pipeline, seed as u8))
        })
        .collect();
    for thread in threads {
        let classes = thread.join().expect("cameras do not panic")?;
        println!("images by class: {classes:?}");
    }
    let rate = (THREADS * REQUESTS) as f64 / began.elapsed().as_secs_f64();
    println!("{rate:.0} rows/s");
    println!("{}", pipeline.metrics());
    let report = pipeline.shutdown(Duration::from_secs(5));
    println!("drained: {}", report.drained);
    Ok(())
}

/// One source of images. Returns how many it saw of each class.
fn camera(pipeline: &Pipeline, seed: u8) -> Result<Vec<usize>, Error> {
    let mut classes = vec![0; pipeline.classes()];
    let mut under_way: VecDeque<Ticket> = VecDeque::new();
    let mut taken = 0;
    while taken < REQUESTS || !under_way.is_empty() {
        if taken < REQUESTS && under_way.len() < WINDOW {
            match pipeline.reserve::<u8>() {
                Ok(mut row) => {
                    let first = seed.wrapping_add(taken as u8);
                    row.iter_mut().zip(0_usize..).for_each(|(pixel, at)| *pixel = first ^ at as u8);
                    under_way.push_back(row.commit()?);
                    taken += 1;
                    continue;
                }
                // The oldest answer makes room.
                Err(SubmitError::Full) => {}
                Err(error) => return Err(error.into()),
            }
        }
        match under_way.pop_front() {
            Some(ticket) => classes[ticket.wait()?.class()] += 1,
            None => thread::yield_now(),
        }
    }
    Ok(classes)
}
