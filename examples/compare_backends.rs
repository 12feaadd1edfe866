//! One model on every device that is there: check the answers, then take the time.
//!
//! `cargo run --release --example compare_backends [MODEL]`; software adapters take part, so
//! that there is something to compare without a GPU. `fusewire compare` does this with more care.

use std::time::{Duration, Instant};

use anyhow::Result;
use fusewire::backend::{self, Device, Executable, Finding, OpenOptions, cpu};
use fusewire::{Model, Plan, PlanOptions, Rows};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/fashion-mnist.safetensors");
const ROWS: usize = 256;

fn main() -> Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| SHIPPED.to_owned());
    let model = Model::load(path)?;
    let values: Vec<f32> =
        (0..ROWS * model.inputs()).map(|i| (i * 7919 % 256) as f32 / 255.0).collect();
    let rows = Rows::F32(&values);
    let expected = cpu::oracle(&model, rows);
    for finding in backend::survey() {
        match finding {
            Finding::Found(info) => {
                let mut options = OpenOptions::default();
                options.backend = info.backend;
                options.adapter = Some(info.name);
                options.software = true;
                try_device(&*backend::open_with(&options)?, &model, rows, &expected)?;
            }
            Finding::Missing { backend, looked_for, advice } => {
                println!("{}: {looked_for}; {advice}", backend.name());
            }
            _ => {}
        }
    }
    Ok(())
}

fn try_device(device: &dyn Device, model: &Model, rows: Rows<'_>, expected: &[f64]) -> Result<()> {
    let plan = Plan::new(model, device.limits(), &PlanOptions::default())?;
    let executable = device.load(plan)?;
    let mut scores = vec![0.0; expected.len()];
    executable.run(rows, &mut scores)?;
    let errors = scores.iter().zip(expected).map(|(got, want)| (f64::from(*got) - want).abs());
    let error = errors.fold(0.0, f64::max);
    let rate = ROWS as f64 / seconds_a_batch(&*executable, rows, &mut scores)?;
    let info = device.info();
    println!(
        "{} {} ({}): largest error {error:.1e}, {rate:.0} rows/s in batches of {ROWS}",
        info.backend.name(),
        info.name,
        info.detail
    );
    Ok(())
}

/// The mean over half a second of one batch after the other.
fn seconds_a_batch(executable: &dyn Executable, rows: Rows<'_>, scores: &mut [f32]) -> Result<f64> {
    let start = Instant::now();
    let mut batches = 0;
    while start.elapsed() < Duration::from_millis(500) {
        executable.run(rows, scores)?;
        batches += 1;
    }
    Ok(start.elapsed().as_secs_f64() / f64::from(batches))
}
