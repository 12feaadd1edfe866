//! `fusewire classify`: the class of every row of some files.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::input::{self, FileArgs, Wanted};
use super::options;
use super::options::{ModelArgs, Ran, RunArgs};
use super::output::{self, Scored};
use crate::Classifier;

const EXAMPLES: &str = "\
Inputs:
  .png .jpg    one grey picture of the model's size
  .npy         rows of f2, f4, f8 or u1 values, in C order, rounded to what --input says
  idx, idx.gz  unsigned bytes, as MNIST and its successors come
  .raw .bin    nothing but values, of the type --input says, little-endian
  .f32 .f16 .bf16 .u8
               the same; the name does not say the type, --input does
  -            the same, from standard input; there, text is CSV unless --input is u8
  .csv .tsv .txt
               numbers between commas, semicolons, tabs or spaces, a row a line, with or without a
               line of names; as they are, so that 0 to 255 are bytes with --input u8 alone
A file is told by its content; names count for raw values alone. --raw takes any file as those.

Examples:
  fusewire classify model.onnx image.png
  fusewire classify model.onnx rows.npy --top-k 3 --json
  fusewire classify model.onnx images-idx3-ubyte.gz --input u8 --precision f16
  fusewire classify model.onnx rows.csv --columns 1-784 --input u8
  fusewire classify model.onnx iris.csv --label-column species
  head -c 784 images.u8 | fusewire classify model.onnx - --input u8";

/// Classify the rows of files.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Classify {
    #[command(flatten)]
    model: ModelArgs,
    /// Files of rows, or - for raw values from standard input.
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<String>,
    /// Classes to show for each row, best first.
    #[arg(long, value_name = "COUNT", default_value = "1", value_parser = options::parse_batch)]
    top_k: usize,
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
    rows: usize,
    results: Vec<Answer>,
}

/// The answer to one row.
#[derive(Serialize)]
struct Answer {
    file: String,
    row: usize,
    #[serde(flatten)]
    best: Scored,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    top: Vec<Scored>,
}

impl Classify {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<ExitCode> {
        let classifier = self.run.classifier(self.model.load_for(&self.run.plan)?)?;
        let mut document = Document::new(&classifier);
        let mut remarks = Vec::new();
        for file in &self.inputs {
            let remark = self.answer(&classifier, file, |answer| {
                if self.json {
                    document.results.push(answer);
                    return Ok(());
                }
                answer.write(out)
            })?;
            remarks.extend(remark.filter(|remark| !remarks.contains(remark)));
        }
        if self.json {
            document.rows = document.results.len();
            output::json(out, &document)?;
            return Ok(ExitCode::SUCCESS);
        }
        // Standard error, because each line of the answer is a row.
        out.flush()?;
        remarks.iter().for_each(|remark| output::note(remark));
        Ok(ExitCode::SUCCESS)
    }

    /// Hands the answer to each row of `file` to `each`, and returns what is to be said of bytes.
    fn answer(
        &self,
        classifier: &Classifier,
        file: &str,
        mut each: impl FnMut(Answer) -> Result<()>,
    ) -> Result<Option<String>> {
        let model = classifier.model();
        let wanted = Wanted::new(model, self.run.plan.input);
        let read = input::read_rows(file, &wanted, &self.files)?;
        let mut row = 0;
        self.run.score(classifier, read.rows.as_rows(), |scores| {
            for scores in scores.chunks_exact(model.classes()) {
                let mut top = output::best(scores, self.top_k, model.labels());
                let best = top[0].clone();
                if self.top_k == 1 {
                    top.clear();
                }
                each(Answer { file: file.to_owned(), row, best, top })?;
                row += 1;
            }
            Ok(())
        })?;
        Ok(read.bytes.remark(model.u8_scale()))
    }
}

impl Document {
    fn new(classifier: &Classifier) -> Document {
        Document { ran: Ran::of(classifier), rows: 0, results: Vec::new() }
    }
}

impl Answer {
    fn write(&self, out: &mut dyn Write) -> Result<()> {
        write!(out, "{} {}:", output::one_line(&self.file), self.row)?;
        let shown = if self.top.is_empty() { std::slice::from_ref(&self.best) } else { &self.top };
        for (index, scored) in shown.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(out, "{comma} {} ({:.4})", scored.name(), scored.score)?;
        }
        Ok(writeln!(out)?)
    }
}
