//! A pipeline inside an asynchronous service: many tasks submit rows one by one, the pipeline runs
//! them in batches, and the weights are replaced in between.
//!
//!     cargo run --release --example embed_tokio [MODEL]

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fusewire::pipeline::{Pipeline, PipelineOptions, ReplyError, SubmitOptions};
use fusewire::{Error, Model};

const TASKS: usize = 64;
const REQUESTS: usize = 500;
const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/fashion-mnist.safetensors");

#[tokio::main]
async fn main() -> Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| SHIPPED.to_owned());
    let model = Model::load(&path).with_context(|| path.clone())?;
    let pipeline = Pipeline::open(&model, &PipelineOptions::default())?;
    let began = Instant::now();

    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            // A handle of its own for each task: they share no cache line they write.
            let pipeline = pipeline.clone();
            tokio::spawn(async move { client(&pipeline, task).await })
        })
        .collect();

    // Replaced while all of them are at it: no request is lost, none sees both versions.
    let version = pipeline.swap(&model)?;
    println!("version {version} runs from now on");

    let mut answered = 0;
    for task in tasks {
        answered += task.await??;
    }
    let elapsed = began.elapsed();
    let rate = answered as f64 / elapsed.as_secs_f64();
    println!("{answered} of {} answered, {rate:.0} rows/s", TASKS * REQUESTS);
    println!("{}", pipeline.health());
    println!("{}", pipeline.metrics());
    let report = pipeline.shutdown(Duration::from_secs(5));
    println!("drained: {}", report.drained);
    Ok(())
}

/// One caller: a request at a time, each of no use after 50 ms. Returns how many were answered.
async fn client(pipeline: &Pipeline, task: usize) -> Result<usize, Error> {
    let mut answered = 0;
    let mut row = vec![0.0_f32; pipeline.inputs()];
    for request in 0..REQUESTS {
        let pixel = (task * REQUESTS + request) % row.len();
        row[pixel] = 1.0;
        let options = SubmitOptions::deadline(Instant::now() + Duration::from_millis(50));
        // Waits for room where the ring is full; `submit` would say `Full` at once.
        let ticket = pipeline.submit_async(&row, &options).await?;
        match ticket.await {
            Ok(reply) => {
                assert!(reply.class() < pipeline.classes());
                answered += 1;
            }
            Err(ReplyError::Expired) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(answered)
}
