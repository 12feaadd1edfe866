//! `fusewire eval`: how often the model is right, and at which rate it answers.

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;

use super::input::{self, Wanted};
use super::options::{ModelArgs, RunArgs};
use super::output;
use crate::Classifier;
use crate::backend::{Rows, arg_max};

const EXAMPLES: &str = "\
Examples:
  fusewire eval model.onnx --images images-idx3-ubyte.gz --labels labels-idx1-ubyte.gz
  fusewire eval model.onnx --images rows.npy --labels labels.npy --input u8 --precision bf16

rows/s is one caller handing over one batch after the other (a closed loop).";

/// Measure accuracy on labelled images.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Eval {
    #[command(flatten)]
    model: ModelArgs,
    /// The rows: idx (with or without gzip), npy, or raw values.
    #[arg(long, value_name = "FILE")]
    images: String,
    /// The class of each row: idx (with or without gzip) or npy.
    #[arg(long, value_name = "FILE")]
    labels: String,
    #[command(flatten)]
    run: RunArgs,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document {
    model: String,
    content_hash: String,
    backend: &'static str,
    device: String,
    precision: &'static str,
    input: &'static str,
    batch: usize,
    rows: usize,
    correct: usize,
    accuracy: f64,
    rows_per_s: f64,
    classes: Vec<Class>,
    /// Rows of the class in the first index that were answered with the class in the second.
    confusion: Vec<Vec<usize>>,
}

/// How one class fared.
#[derive(Serialize)]
struct Class {
    class: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    rows: usize,
    /// The share of its rows that were recognised; null where it has none.
    recall: Option<f64>,
}

impl Eval {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<ExitCode> {
        let classifier = self.run.classifier(self.model.load()?)?;
        let wanted = Wanted::new(classifier.model(), self.run.plan.input);
        let images = input::read_rows(&self.images, &wanted)?;
        let labels = input::read_labels(&self.labels)?;
        self.check(&classifier, images.as_rows(), &labels)?;

        let (scores, rows_per_s) = score(&classifier, images.as_rows(), self.run.batch)?;
        let confusion = confusion(&scores, &labels, classifier.model().classes());
        let document = Document::new(&classifier, confusion, rows_per_s);
        if self.json {
            output::json(out, &document)?;
        } else {
            document.write(out)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn check(&self, classifier: &Classifier, images: Rows<'_>, labels: &[usize]) -> Result<()> {
        let (rows, classes) =
            (images.values() / classifier.model().inputs(), classifier.model().classes());
        ensure!(
            labels.len() == rows,
            "{}: expected {rows} labels, one for each row of {}, got {}",
            self.labels,
            self.images,
            labels.len()
        );
        if let Some(index) = labels.iter().position(|label| *label >= classes) {
            anyhow::bail!(
                "{}: label {index}: expected a class below {classes}, got {}",
                self.labels,
                labels[index]
            );
        }
        Ok(())
    }
}

/// The scores of all rows, batch after batch, and the rate; the first batch is run once before.
fn score(classifier: &Classifier, rows: Rows<'_>, batch: usize) -> Result<(Vec<f32>, f64)> {
    let (inputs, classes) = (classifier.model().inputs(), classifier.model().classes());
    let count = rows.values() / inputs;
    let mut scores = vec![0.0; count * classes];
    let warm_up = batch.min(count);
    classifier.scores_into(rows.slice(0..warm_up, inputs), &mut scores[..warm_up * classes])?;

    let start = Instant::now();
    for first in (0..count).step_by(batch) {
        let end = count.min(first + batch);
        let scores = &mut scores[first * classes..end * classes];
        classifier.scores_into(rows.slice(first..end, inputs), scores)?;
    }
    Ok((scores, count as f64 / start.elapsed().as_secs_f64()))
}

/// Rows by true class, then by answer.
fn confusion(scores: &[f32], labels: &[usize], classes: usize) -> Vec<Vec<usize>> {
    let mut confusion = vec![vec![0; classes]; classes];
    for (scores, label) in scores.chunks_exact(classes).zip(labels) {
        confusion[*label][arg_max(scores)] += 1;
    }
    confusion
}

impl Document {
    fn new(classifier: &Classifier, confusion: Vec<Vec<usize>>, rows_per_s: f64) -> Document {
        let (model, plan) = (classifier.model(), classifier.plan());
        let class = |(class, answers): (usize, &Vec<usize>)| {
            let rows: usize = answers.iter().sum();
            let recall = (rows > 0).then(|| answers[class] as f64 / rows as f64);
            let label = model.labels().map(|labels| labels[class].clone());
            Class { class, label, rows, recall }
        };
        let classes: Vec<Class> = confusion.iter().enumerate().map(class).collect();
        let rows: usize = classes.iter().map(|class| class.rows).sum();
        let correct: usize = confusion.iter().enumerate().map(|(c, answers)| answers[c]).sum();
        Document {
            model: model.name().to_owned(),
            content_hash: model.content_hash().to_string(),
            backend: classifier.device().backend.name(),
            device: classifier.device().name.clone(),
            precision: plan.precision().name(),
            input: plan.input().name(),
            batch: plan.rows_max(),
            rows,
            correct,
            accuracy: correct as f64 / rows as f64,
            rows_per_s,
            classes,
            confusion,
        }
    }

    fn write(&self, out: &mut dyn Write) -> Result<()> {
        let count = |number: usize| output::thousands(number as u64);
        let (correct, rows) = (count(self.correct), count(self.rows));
        writeln!(out, "accuracy {} ({correct} of {rows} rows)", self.accuracy)?;
        let rate = output::figure(self.rows_per_s);
        writeln!(out, "{rate} rows/s on {} ({}), closed loop", self.backend, self.device)?;
        let settings = (self.input, self.precision, self.batch);
        writeln!(out, "{} rows, {} weights, batches of {}", settings.0, settings.1, settings.2)?;
        writeln!(out, "\nrows by true class (down) and answer (across)")?;
        // Past this many classes the matrix is for programs to read: --json.
        if self.classes.len() <= 32 {
            writeln!(out, "{}", self.matrix())?;
        } else {
            writeln!(out, "{} classes; --json shows them", self.classes.len())?;
        }
        Ok(())
    }

    fn matrix(&self) -> String {
        let numbers: Vec<String> = (0..self.classes.len()).map(|class| class.to_string()).collect();
        let mut header = vec!["class"];
        header.extend(numbers.iter().map(String::as_str));
        header.push("recall");
        let row = |(class, answers): (&Class, &Vec<usize>)| {
            let name = output::one_line(class.label.as_deref().unwrap_or_default());
            let mut cells = vec![format!("{} {name}", class.class)];
            cells.extend(answers.iter().map(usize::to_string));
            cells.push(class.recall.map_or(String::from("-"), |recall| format!("{recall:.3}")));
            cells
        };
        output::table(
            &header,
            &["class"],
            self.classes.iter().zip(&self.confusion).map(row).collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confusion_counts_truth_down_and_answers_across() {
        let scores = [1.0, 0.0, 0.0, 1.0, 1.0, 0.0];
        assert_eq!(confusion(&scores, &[0, 0, 1], 2), [[1, 1], [1, 0]]);
    }
}
