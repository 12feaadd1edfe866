//! `fusewire eval`: how often the model is right, and at which rate it answers.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;

use super::input::{self, FileArgs, Wanted};
use super::options::{ModelArgs, Ran, RunArgs};
use super::output;
use super::rounding::{self, RoundingPart};
use crate::Classifier;
use crate::backend::{Rows, arg_max, cpu};
use crate::bench::agreement::{Agreement, rows_affordable};

const EXAMPLES: &str = "\
Examples:
  fusewire eval model.onnx --images images-idx3-ubyte.gz --labels labels-idx1-ubyte.gz
  fusewire eval model.onnx --images rows.npy --labels labels.npy --input u8 --precision bf16
  fusewire eval model.onnx --data iris.csv --label-column species
  fusewire eval model.onnx --data train.csv --label-column 0 --columns 1-784 --input u8

The scores of the first rows are compared with those in double precision: the error is a share of
a row's largest score, or of 1.
rows/s is one caller handing over one batch after the other (a closed loop).";

/// Multiplications in double precision to compare scores with: a second or so.
const ORACLE_PRODUCTS_MAX: usize = 500_000_000;
/// The most classes that a confusion matrix is counted for.
const CONFUSION_MAX: usize = 1024;
/// The most classes whose matrix is readable in a terminal.
const SHOWN_MAX: usize = 32;

/// Measure accuracy on labelled images.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Eval {
    #[command(flatten)]
    model: ModelArgs,
    /// The rows: idx (with or without gzip), npy, CSV, or raw values.
    #[arg(long, visible_alias = "data", value_name = "FILE")]
    images: String,
    /// The class of each row: idx (with or without gzip), npy, or CSV of one column; numbers from
    /// 0 or the model's labels.
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "label_column",
        conflicts_with = "label_column"
    )]
    labels: Option<String>,
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    run: RunArgs,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    ran: Ran,
    /// What is to be said of bytes, for people.
    #[serde(skip)]
    remark: Option<String>,
    rows: usize,
    correct: usize,
    accuracy: f64,
    rows_per_s: f64,
    /// The first rows' scores against those in double precision.
    agreement: Agreement,
    rounding: Vec<RoundingPart>,
    classes: Vec<Class>,
    /// Rows of the class in the first index that were answered with the class in the second; null
    /// past [`CONFUSION_MAX`] classes.
    confusion: Option<Vec<Vec<usize>>>,
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
        let classifier = self.run.classifier(self.model.load_for(&self.run.plan)?)?;
        let wanted = Wanted::new(classifier.model(), self.run.plan.input);
        let images = input::read_rows(&self.images, &wanted, &self.files)?;
        let labels = match (&self.labels, images.labels) {
            (Some(path), _) => input::read_labels(path, &wanted)?,
            (None, labels) => labels.unwrap_or_default(),
        };
        let rows = images.rows.as_rows();
        self.check(&classifier, rows, &labels)?;

        let tally = self.tally(&classifier, rows, &labels)?;
        let agreement = self.agreement(&classifier, rows)?;
        let remark = images.bytes.remark(classifier.model().u8_scale());
        let document = Document::new(&classifier, tally, agreement, remark);
        if self.json {
            output::json(out, &document)?;
        } else {
            document.write(out)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn tally(&self, classifier: &Classifier, rows: Rows<'_>, labels: &[usize]) -> Result<Tally> {
        let (inputs, classes) = (classifier.model().inputs(), classifier.model().classes());
        let warm_up = rows.slice(0..self.run.batch.min(labels.len()), inputs);
        self.run.score(classifier, warm_up, |_| Ok(()))?;

        let mut tally = Tally::new(classes);
        let mut labels = labels.iter();
        tally.took = self.run.score(classifier, rows, |scores| {
            for (scores, label) in scores.chunks_exact(classes).zip(&mut labels) {
                tally.add(*label, arg_max(scores));
            }
            Ok(())
        })?;
        Ok(tally)
    }

    /// Compares the scores of as many rows as double precision is quick enough for.
    fn agreement(&self, classifier: &Classifier, rows: Rows<'_>) -> Result<Agreement> {
        let (model, tolerance) = (classifier.model(), classifier.plan().precision().tolerance());
        let count = rows_affordable(model, ORACLE_PRODUCTS_MAX);
        let count = count.min(rows.values() / model.inputs());
        let rows = rows.slice(0..count, model.inputs());
        let mut got = Vec::with_capacity(count * model.classes());
        self.run.score(classifier, rows, |scores| {
            got.extend_from_slice(scores);
            Ok(())
        })?;
        Ok(Agreement::of(&got, &cpu::oracle(model, rows), model.classes(), tolerance))
    }

    fn check(&self, classifier: &Classifier, images: Rows<'_>, labels: &[usize]) -> Result<()> {
        let (rows, classes) =
            (images.values() / classifier.model().inputs(), classifier.model().classes());
        let (images, got) = (&self.images, labels.len());
        let file = self.labels.as_ref().unwrap_or(images);
        ensure!(
            got == rows,
            "{file}: expected {rows} labels, one for each row of {images}, got {got}"
        );
        if let Some(index) = labels.iter().position(|label| *label >= classes) {
            let got = labels[index];
            anyhow::bail!("{file}: label {index}: expected a class below {classes}, got {got}");
        }
        Ok(())
    }
}

/// Answers, counted.
struct Tally {
    took: Duration,
    /// Rows and right answers of each class.
    classes: Vec<(usize, usize)>,
    /// Rows by true class, then by answer; where there are few enough classes.
    confusion: Option<Vec<Vec<usize>>>,
}

impl Tally {
    fn new(classes: usize) -> Tally {
        let confusion = (classes <= CONFUSION_MAX).then(|| vec![vec![0; classes]; classes]);
        Tally { took: Duration::ZERO, classes: vec![(0, 0); classes], confusion }
    }

    fn add(&mut self, label: usize, answer: usize) {
        self.classes[label].0 += 1;
        self.classes[label].1 += usize::from(answer == label);
        if let Some(confusion) = &mut self.confusion {
            confusion[label][answer] += 1;
        }
    }
}

impl Document {
    fn new(
        classifier: &Classifier,
        tally: Tally,
        agreement: Agreement,
        remark: Option<String>,
    ) -> Document {
        let model = classifier.model();
        let class = |(class, (rows, correct)): (usize, &(usize, usize))| {
            let recall = (*rows > 0).then(|| *correct as f64 / *rows as f64);
            let label = model.labels().map(|labels| labels[class].clone());
            Class { class, label, rows: *rows, recall }
        };
        let classes = tally.classes.iter().enumerate().map(class).collect();
        let rows: usize = tally.classes.iter().map(|(rows, _)| rows).sum();
        let correct: usize = tally.classes.iter().map(|(_, correct)| correct).sum();
        Document {
            ran: Ran::of(classifier),
            remark,
            rows,
            correct,
            accuracy: correct as f64 / rows as f64,
            rows_per_s: rows as f64 / tally.took.as_secs_f64(),
            agreement,
            rounding: rounding::of(classifier.plan()),
            classes,
            confusion: tally.confusion,
        }
    }

    fn write(&self, out: &mut dyn Write) -> Result<()> {
        let count = |number: usize| output::thousands(number as u64);
        let (correct, rows) = (count(self.correct), count(self.rows));
        writeln!(out, "accuracy {} ({correct} of {rows} rows)", self.accuracy)?;
        let rate = output::figure(self.rows_per_s);
        writeln!(out, "{rate} rows/s on {} ({}), closed loop", self.ran.backend, self.ran.device)?;
        let settings = (self.ran.input, self.ran.precision, self.ran.batch);
        writeln!(out, "{} rows, {} weights, batches of {}", settings.0, settings.1, settings.2)?;
        if let Some(remark) = &self.remark {
            writeln!(out, "{}", output::wrapped(remark))?;
        }
        let Agreement { rows, same_class, max_error_share, tolerance, agrees, .. } = self.agreement;
        let verdict = if agrees { "within" } else { "warning: past" };
        let (off, tolerance) = (max_error_share * 100.0, tolerance * 100.0);
        writeln!(
            out,
            "scores are at most {off:.3} % off double precision's, {verdict} the {tolerance} % of \
             {}; {} of {} rows have its class",
            self.ran.precision,
            count(same_class),
            count(rows)
        )?;
        if let Some(table) = rounding::table(&self.rounding) {
            writeln!(out, "\n{table}")?;
        }
        match &self.confusion {
            Some(confusion) if self.classes.len() <= SHOWN_MAX => {
                writeln!(out, "\nrows by true class (down) and answer (across)")?;
                writeln!(out, "{}", self.matrix(confusion))?;
            }
            _ => writeln!(out, "{} classes; --json shows each", self.classes.len())?,
        }
        Ok(())
    }

    fn matrix(&self, confusion: &[Vec<usize>]) -> String {
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
        output::table(&header, &["class"], self.classes.iter().zip(confusion).map(row).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confusion_counts_truth_down_and_answers_across() {
        let mut tally = Tally::new(2);
        for (label, answer) in [(0, 0), (0, 1), (0, 1), (1, 0)] {
            tally.add(label, answer);
        }
        assert_eq!(tally.confusion.unwrap(), [[1, 2], [1, 0]]);
        assert_eq!(tally.classes, [(3, 1), (1, 0)]);
    }

    #[test]
    fn a_million_classes_need_no_matrix() {
        let mut tally = Tally::new(crate::model::WIDTH_MAX);
        tally.add(7, 7);
        assert_eq!((tally.confusion, tally.classes[7]), (None, (1, 1)));
    }
}
