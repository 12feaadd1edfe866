//! Rows and labels as text: numbers between commas, semicolons, tabs or spaces, a row a line.

use std::collections::HashMap;
use std::io::{Read, Take};

use anyhow::{Context, Result, bail, ensure};
use csv::{Reader, ReaderBuilder, StringRecord, Trim};
use half::{bf16, f16};

use super::columns::{Columns, shown};
use super::{FileArgs, ROWS_MAX, Wanted};
use crate::bench::images::OwnedRows;
use crate::model::WIDTH_MAX;
use crate::plan::InputType;

/// The longest record: the widest row in numbers of 32 characters.
const RECORD_BYTES_MAX: u64 = 32 << 20;

/// The most fields of a record: the widest row, and as many that are not read.
const FIELDS_MAX: usize = 2 * WIDTH_MAX;

/// Whether the bytes are text, in UTF-8 and without control characters.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    let is_control = |byte: &u8| byte.is_ascii_control() && !b"\t\r\n".contains(byte);
    !bytes.iter().any(is_control) && std::str::from_utf8(bytes).is_ok()
}

/// The rows, and the labels where a column of them is asked for.
pub(super) fn rows(
    bytes: &[u8],
    wanted: &Wanted<'_>,
    args: &FileArgs,
) -> Result<(OwnedRows, Option<Vec<usize>>)> {
    let mut lines = Lines::new(bytes)?;
    let mut record = StringRecord::new();
    ensure!(lines.next(&mut record)?, "CSV: no lines; expected rows");
    let columns = Columns::of(&record.iter().collect::<Vec<_>>(), args).context("CSV")?;
    columns.check(wanted.inputs).context("CSV")?;
    let mut rows = empty(wanted.input);
    let mut labels = Labels::new(wanted.labels);
    let mut count = 0;
    let mut is_there = columns.names.is_none() || lines.next(&mut record)?;
    while is_there {
        let (got, width) = (record.len(), columns.width);
        ensure!(got == width, "CSV: line {}: expected {width} fields, got {got}", lines.line());
        for column in &columns.inputs {
            let text = &record[*column];
            push(&mut rows, text)
                .map_err(|expected| lines.wrong(&columns, *column, expected, text))?;
        }
        if let Some(column) = columns.label {
            let text = &record[column];
            labels.push(text).map_err(|wanted| lines.wrong(&columns, column, wanted, text))?;
        }
        count += 1;
        ensure!(count <= ROWS_MAX, "CSV: expected at most {ROWS_MAX} rows, got more; split it");
        is_there = lines.next(&mut record)?;
    }
    Ok((rows, columns.label.map(|_| labels.classes())))
}

/// The labels of a file of one column, with or without a header.
pub(super) fn labels(bytes: &[u8], wanted: &Wanted<'_>) -> Result<Vec<usize>> {
    let mut lines = Lines::new(bytes)?;
    let mut record = StringRecord::new();
    let mut labels = Labels::new(wanted.labels);
    let mut first = true;
    while lines.next(&mut record)? {
        // The number of a line is counted from the beginning, and so asked for on errors alone.
        let (got, text) = (record.len(), &record[0]);
        ensure!(got == 1, "CSV: line {}: expected one column of labels, got {got}", lines.line());
        match labels.push(text) {
            Err(_) if first && text.parse::<f32>().is_err() => labels = Labels::new(wanted.labels),
            Err(expected) => {
                let line = lines.line();
                bail!("CSV: line {line}: expected {expected}, got '{}'", shown(text));
            }
            Ok(()) => {}
        }
        first = false;
        let count = labels.count;
        ensure!(count <= ROWS_MAX, "CSV: expected at most {ROWS_MAX} labels, got more; split it");
    }
    Ok(labels.classes())
}

/// The records of a text, none of them longer than [`RECORD_BYTES_MAX`].
struct Lines<'a> {
    text: &'a [u8],
    reader: Reader<Take<&'a [u8]>>,
    /// Where the last record begins, or the blank lines before it.
    begin: u64,
}

impl<'a> Lines<'a> {
    fn new(bytes: &'a [u8]) -> Result<Lines<'a>> {
        ensure!(is_text(bytes), "CSV: expected text in UTF-8 without control characters");
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let reader = ReaderBuilder::new()
            .delimiter(delimiter(text))
            .has_headers(false)
            .flexible(true)
            .trim(Trim::All)
            .from_reader(Read::take(text, RECORD_BYTES_MAX));
        Ok(Lines { text, reader, begin: 0 })
    }

    /// Reads the next record that is no blank line; `false` where there is none.
    fn next(&mut self, record: &mut StringRecord) -> Result<bool> {
        loop {
            self.begin = self.reader.position().byte();
            self.reader.get_mut().set_limit(RECORD_BYTES_MAX);
            let is_there = self.reader.read_record(record).context("CSV")?;
            if self.reader.get_ref().limit() == 0 {
                bail!("CSV: line {}: longer than {RECORD_BYTES_MAX} bytes", self.line());
            }
            let got = record.len();
            if got > FIELDS_MAX {
                bail!("CSV: line {}: at most {FIELDS_MAX} fields, got {got}", self.line());
            }
            // A line of spaces is one empty field.
            if !is_there || record.len() != 1 || !record[0].is_empty() {
                return Ok(is_there);
            }
        }
    }

    /// The line that the last record begins on, from 1.
    fn line(&self) -> usize {
        let begin =
            usize::try_from(self.begin).map_or(self.text.len(), |it| it.min(self.text.len()));
        let is_break = |byte: &&u8| b"\r\n".contains(byte);
        let blank = self.text[begin..].iter().take_while(is_break).count();
        1 + self.text[..begin + blank].iter().filter(|byte| **byte == b'\n').count()
    }

    fn wrong(
        &self,
        columns: &Columns,
        column: usize,
        expected: impl std::fmt::Display,
        text: &str,
    ) -> anyhow::Error {
        let (line, column) = (self.line(), columns.name(column));
        let got =
            if text.is_empty() { String::from("nothing") } else { format!("'{}'", shown(text)) };
        anyhow::anyhow!("CSV: line {line}, {column}: expected {expected}, got {got}")
    }
}

/// What stands between the fields of the first line with any: a tab goes before a semicolon, which
/// goes before a comma; spaces count where they stand between numbers alone.
fn delimiter(text: &[u8]) -> u8 {
    let mut lines = text.split(|byte| b"\r\n".contains(byte));
    let line = lines.find(|line| !line.trim_ascii().is_empty()).unwrap_or_default();
    let bare = || line.split(|byte| *byte == b'"').step_by(2);
    let is_there = |delimiter: &&u8| bare().any(|part| part.contains(delimiter));
    if let Some(delimiter) = b"\t;,".iter().find(is_there) {
        return *delimiter;
    }
    let words = line.trim_ascii().split(u8::is_ascii_whitespace);
    let is_number =
        |word: &[u8]| std::str::from_utf8(word).is_ok_and(|word| word.parse::<f32>().is_ok());
    if words.clone().count() > 1 && words.clone().all(is_number) { b' ' } else { b',' }
}

fn empty(input: InputType) -> OwnedRows {
    match input {
        InputType::F32 => OwnedRows::F32(Vec::new()),
        InputType::U8 => OwnedRows::U8(Vec::new()),
        InputType::F16 => OwnedRows::F16(Vec::new()),
        InputType::Bf16 => OwnedRows::Bf16(Vec::new()),
    }
}

/// Adds the number that a field holds, or says what was expected there.
fn push(rows: &mut OwnedRows, text: &str) -> Result<(), &'static str> {
    let number: f32 = text.parse().map_err(|_| "a number")?;
    if number.is_nan() {
        return Err("a number");
    }
    match rows {
        OwnedRows::F32(values) if number.is_finite() => values.push(number),
        OwnedRows::F32(_) => return Err("a number that fits f32"),
        OwnedRows::U8(bytes) if number.fract() == 0.0 && (0.0..=255.0).contains(&number) => {
            bytes.push(number as u8);
        }
        OwnedRows::U8(_) => return Err("a whole number from 0 to 255 for --input u8"),
        OwnedRows::F16(values) => {
            let number = f16::from_f32(number);
            values.push(Some(number).filter(|it| it.is_finite()).ok_or("a number that fits f16")?);
        }
        OwnedRows::Bf16(values) => {
            let number = bf16::from_f32(number);
            values.push(Some(number).filter(|it| it.is_finite()).ok_or("a number that fits bf16")?);
        }
    }
    Ok(())
}

/// Labels in the making: the model's own names for its classes, or else their numbers, all of one
/// kind.
struct Labels<'a> {
    by_name: HashMap<&'a str, usize>,
    /// Classes by name, as long as each was one.
    named: Option<Vec<usize>>,
    /// Classes by number, as long as each was one.
    numbered: Option<Vec<usize>>,
    count: usize,
}

impl<'a> Labels<'a> {
    fn new(names: Option<&'a [String]>) -> Labels<'a> {
        let mut by_name = HashMap::new();
        for (class, name) in names.unwrap_or_default().iter().enumerate() {
            by_name.entry(name.trim()).or_insert(class);
        }
        Labels { by_name, named: names.map(|_| vec![]), numbered: Some(vec![]), count: 0 }
    }

    fn push(&mut self, text: &str) -> Result<(), &'static str> {
        let add = |classes: &mut Option<Vec<usize>>, class: Option<usize>| match class {
            Some(class) => classes.iter_mut().for_each(|classes| classes.push(class)),
            None => *classes = None,
        };
        add(&mut self.named, self.by_name.get(text).copied());
        add(&mut self.numbered, class_of(text));
        self.count += 1;
        match (&self.named, &self.numbered, self.by_name.is_empty()) {
            (None, None, true) => Err("the number of a class, because the model has no labels"),
            (None, None, false) => Err("one of the model's labels, or the number of a class"),
            _ => Ok(()),
        }
    }

    /// The classes; names go before numbers.
    fn classes(self) -> Vec<usize> {
        self.named.or(self.numbered).unwrap_or_default()
    }
}

/// A class by its number, which tables of floats write as `3.0`.
fn class_of(text: &str) -> Option<usize> {
    let whole = text.split_once('.').filter(|(_, rest)| rest.bytes().all(|byte| byte == b'0'));
    whole.map_or(text, |(whole, _)| whole).parse().ok()
}
