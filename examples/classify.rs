//! The shortest path from a model file to an answer.
//!
//! `cargo run --release --example classify [MODEL]`: without an argument the shipped model looks at
//! a pair of trousers that is drawn here.

use anyhow::{Result, ensure};
use fusewire::Classifier;

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/fashion-mnist.safetensors");
const SIDE: usize = 28;

fn main() -> Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| SHIPPED.to_owned());
    let classifier = Classifier::open(&path)?;
    let inputs = classifier.model().inputs();
    ensure!(inputs == SIDE * SIDE, "{path}: expected {} inputs, got {inputs}", SIDE * SIDE);

    let image = trousers();
    print(&image);
    let class = classifier.classify(&image)?;
    let label = classifier.label(class).unwrap_or("no label");
    println!("class {class} ({label}), says {}", classifier.device().name);

    // Many rows at once cost less each, and `scores_into` allocates nothing on the CPU.
    let many = image.repeat(100);
    let mut scores = vec![0.0; 100 * classifier.model().classes()];
    classifier.scores_into(&many, &mut scores)?;
    println!(
        "the scores of the first of 100 rows: {:.2?}",
        &scores[..classifier.model().classes()]
    );
    Ok(())
}

/// Two legs below a waist, as pixels from 0 to 1.
fn trousers() -> Vec<f32> {
    let pixel = |at: usize| {
        let (row, column) = (at / SIDE, at % SIDE);
        let waist = row < 8 && (9..19).contains(&column);
        let legs = row >= 8 && ((8..13).contains(&column) || (15..20).contains(&column));
        if waist || legs { 0.8 } else { 0.0 }
    };
    (0..SIDE * SIDE).map(pixel).collect()
}

fn print(image: &[f32]) {
    for line in image.chunks(SIDE).step_by(2) {
        let shades = line.iter().map(|pixel| if *pixel > 0.5 { '#' } else { '.' });
        println!("{}", shades.collect::<String>());
    }
}
