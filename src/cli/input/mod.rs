//! Rows and labels from files: one file per kind, every size checked before it is allocated.
//!
//! The kind is told by content, and what is of no known kind is refused. Raw values can look like
//! anything, so they are read as such where the user says it: by `--raw`, by a name that ends in
//! `.raw`, `.bin` or the type of the values, such as `.u8`, or by standard input, where text alone
//! is told from raw floats.

mod columns;
mod idx;
mod image;
mod npy;
mod raw;
mod table;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use ::image::ImageFormat;
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use flate2::read::MultiGzDecoder;

use crate::bench::images::OwnedRows;
use crate::model::{Model, U8Scale};
use crate::plan::{InputType, PlanError};

/// The most bytes a file may have, and the most that gzip may unpack to.
const BYTES_MAX: usize = 512 << 20;

/// The most rows or labels a file may have, so that their answers fit memory however narrow they
/// are.
const ROWS_MAX: usize = 1 << 22;

/// What files of rows do not say themselves.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Files of rows")]
pub(super) struct FileArgs {
    /// Take a file as raw values of --input's type, whatever it holds.
    #[arg(long, conflicts_with_all = ["columns", "label_column"])]
    raw: bool,
    /// The columns of a CSV file that make a row, in this order: names, numbers from 0, or ranges
    /// such as 1-784; else all but --label-column.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    columns: Option<Vec<String>>,
    /// The column of a CSV file that holds labels, by name or number; no part of a row.
    #[arg(long, value_name = "COLUMN")]
    label_column: Option<String>,
}

/// The rows a plan takes, and the names of the classes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    inputs: usize,
    input: InputType,
    u8_scale: U8Scale,
    labels: Option<&'a [String]>,
}

impl<'a> Wanted<'a> {
    pub(super) fn new(model: &'a Model, input: InputType) -> Wanted<'a> {
        let (inputs, u8_scale) = (model.inputs(), model.u8_scale());
        Wanted { inputs, input, u8_scale, labels: model.labels() }
    }

    /// The rows that bytes of pixels stand for: as they are, or as the values they stand for.
    fn rows_of(&self, pixels: Vec<u8>) -> Result<OwnedRows> {
        let u8_scale = self.u8_scale.value().ok_or(PlanError::U8ScaleUnknown)?;
        Ok(OwnedRows::from_pixels(pixels, self.input, u8_scale))
    }
}

/// What a file holds.
#[derive(Debug)]
pub(super) struct FileRows {
    pub(super) rows: OwnedRows,
    /// The class of each row, where a column says it.
    pub(super) labels: Option<Vec<usize>>,
    pub(super) bytes: Bytes,
}

/// Whether rows are bytes in their file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bytes {
    Yes,
    No,
    /// Floats, but all of them whole numbers from 0 to 255, and some larger than 1.
    Perhaps,
}

impl Bytes {
    fn of(rows: &OwnedRows) -> Bytes {
        let OwnedRows::F32(values) = rows else { return Bytes::No };
        let is_byte = |value: &f32| value.fract() == 0.0 && (0.0..=255.0).contains(value);
        let is_perhaps = values.iter().all(is_byte) && values.iter().any(|value| *value > 1.0);
        if is_perhaps { Bytes::Perhaps } else { Bytes::No }
    }

    /// What is to be said of what bytes stood for, where there is anything.
    pub(super) fn remark(self, u8_scale: U8Scale) -> Option<String> {
        match self {
            Bytes::Yes => Some(format!("one step of a byte stood for {u8_scale}")),
            Bytes::Perhaps if u8_scale.value() != Some(1.0) => Some(format!(
                "all values are whole numbers from 0 to 255, and were taken as they are; for \
                 --input u8 one step of a byte stands for {u8_scale}"
            )),
            Bytes::Perhaps | Bytes::No => None,
        }
    }
}

/// The values that bytes are, of a type of `N` bytes.
fn each<const N: usize, T>(bytes: &[u8], value: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (values, _) = bytes.as_chunks::<N>();
    values.iter().map(|bytes| value(*bytes)).collect()
}

/// Reads the rows of a file, or of standard input for `-`; at least one.
pub(super) fn read_rows(path: &str, wanted: &Wanted<'_>, args: &FileArgs) -> Result<FileRows> {
    let bytes = read(path)?;
    let read = || -> Result<FileRows> {
        let unpacked;
        let (kind, bytes) = match Kind::of(path, &bytes, wanted.input, args.raw) {
            Kind::Gzip if !idx::is_packed(&bytes) => {
                unpacked = unpack(&bytes)?;
                let name = path.strip_suffix(".gz").unwrap_or("packed");
                (Kind::of(name, &unpacked, wanted.input, false), &unpacked)
            }
            kind => (kind, &bytes),
        };
        rows_of(kind, bytes, wanted, args)
    };
    let file = read().with_context(|| path.to_owned())?;
    check_count(path, file.rows.as_rows().values() / wanted.inputs)?;
    Ok(file)
}

fn rows_of(kind: Kind, bytes: &[u8], wanted: &Wanted<'_>, args: &FileArgs) -> Result<FileRows> {
    let has_columns = args.columns.is_some() || args.label_column.is_some();
    if has_columns && !matches!(kind, Kind::Table | Kind::Unknown) {
        bail!("expected CSV, because columns are asked for, got {}", kind.name());
    }
    let (rows, labels, is_bytes) = match kind {
        Kind::Npy => (npy::rows(bytes, wanted)?, None, npy::holds_bytes(bytes)),
        Kind::Idx | Kind::Gzip => (idx::rows(bytes, wanted)?, None, true),
        Kind::Image(format) => (image::row(bytes, format, wanted)?, None, true),
        Kind::Raw => (raw::rows(bytes, wanted)?, None, false),
        Kind::Table => {
            let (rows, labels) = table::rows(bytes, wanted, args)?;
            (rows, labels, false)
        }
        Kind::Unknown => bail!(unknown(bytes, wanted)),
    };
    let is_bytes = is_bytes || matches!(rows, OwnedRows::U8(_));
    let bytes = if is_bytes { Bytes::Yes } else { Bytes::of(&rows) };
    Ok(FileRows { rows, labels, bytes })
}

/// Says what a file of no known kind might be, and how raw values are read.
fn unknown(bytes: &[u8], wanted: &Wanted<'_>) -> String {
    let (input, row_bytes) = (wanted.input.name(), wanted.inputs * wanted.input.bytes());
    let got = match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "UTF-16; save it as UTF-8",
        _ => "none of them",
    };
    format!(
        "expected npy, idx, gzip, PNG, JPEG or CSV, got {got}; raw {input} values (a multiple of \
         {row_bytes} bytes) are read with --raw, or from a name that ends in .raw, .bin or .{input}"
    )
}

/// What gzip unpacks to, at most [`BYTES_MAX`].
fn unpack(bytes: &[u8]) -> Result<Vec<u8>> {
    let unpacked = read_bounded(MultiGzDecoder::new(bytes)).context("gzip")?;
    ensure!(!unpacked.starts_with(GZIP), "gzip: packed twice; unpack it first");
    Ok(unpacked)
}

/// Reads one class per row from an idx, npy or CSV file.
pub(super) fn read_labels(path: &str, wanted: &Wanted<'_>) -> Result<Vec<usize>> {
    let bytes = read(path)?;
    let read = || match Kind::of(path, &bytes, wanted.input, false) {
        Kind::Npy => npy::labels(&bytes),
        Kind::Idx | Kind::Gzip => idx::labels(&bytes),
        Kind::Table => table::labels(&bytes, wanted),
        _ => bail!("expected labels as idx (with or without gzip), npy, or CSV of one column"),
    };
    let labels = read().with_context(|| path.to_owned())?;
    check_count(path, labels.len())?;
    Ok(labels)
}

fn check_count(path: &str, rows: usize) -> Result<()> {
    ensure!(rows > 0, "{path}: expected at least one row, got none");
    ensure!(rows <= ROWS_MAX, "{path}: expected at most {ROWS_MAX} rows, got {rows}; split it");
    Ok(())
}

/// All bytes of a file or of standard input, at least one and at most [`BYTES_MAX`].
fn read(path: &str) -> Result<Vec<u8>> {
    let read = || -> Result<Vec<u8>> {
        if path == "-" {
            return read_bounded(io::stdin().lock());
        }
        let file = File::open(path)?;
        let about = file.metadata()?;
        ensure!(!about.is_dir(), "a directory; expected a file of rows");
        ensure!(about.len() <= BYTES_MAX as u64, "{} bytes; {TOO_LARGE}", about.len());
        read_bounded(file)
    };
    read().with_context(|| path.to_owned())
}

const TOO_LARGE: &str = "at most 512 MiB a file, so split it";

fn read_bounded(reader: impl Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() <= BYTES_MAX, "{TOO_LARGE}");
    ensure!(!bytes.is_empty(), "no bytes; expected rows");
    Ok(bytes)
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Npy,
    Idx,
    Gzip,
    Image(ImageFormat),
    /// Text: CSV and its kin.
    Table,
    Raw,
    Unknown,
}

const GZIP: &[u8] = &[0x1f, 0x8b];

impl Kind {
    fn of(path: &str, bytes: &[u8], input: InputType, raw: bool) -> Kind {
        let extension = Path::new(path).extension().and_then(|extension| extension.to_str());
        let is_raw = |name| ["raw", "bin"].contains(&name) || is_input_type(name);
        if raw || extension.is_some_and(is_raw) {
            return Kind::Raw;
        }
        if path == "-" {
            // Bytes may well be those of a text, and floats are not.
            let is_table = input != InputType::U8 && table::is_text(bytes);
            return if is_table { Kind::Table } else { Kind::Raw };
        }
        match bytes {
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => Kind::Npy,
            _ if bytes.starts_with(GZIP) => Kind::Gzip,
            [0x89, b'P', b'N', b'G', ..] => Kind::Image(ImageFormat::Png),
            [0xff, 0xd8, 0xff, ..] => Kind::Image(ImageFormat::Jpeg),
            [0, 0, 0x08 | 0x09 | 0x0b..=0x0e, 1..=4, ..] => Kind::Idx,
            _ if table::is_text(bytes) => Kind::Table,
            _ => Kind::Unknown,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Npy => "npy",
            Kind::Idx | Kind::Gzip => "idx",
            Kind::Image(_) => "a picture",
            Kind::Table => "CSV",
            Kind::Raw => "raw values",
            Kind::Unknown => "an unknown kind",
        }
    }
}

fn is_input_type(name: &str) -> bool {
    InputType::ALL.iter().any(|input| input.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_is_told_by_content_unless_the_name_says_raw() {
        let of = |path, bytes: &[u8]| Kind::of(path, bytes, InputType::F32, false);
        let idx = [0, 0, 8, 3, 0, 0];
        assert_eq!(of("images", &idx), Kind::Idx);
        for name in ["images.u8", "images.bf16", "images.raw", "-"] {
            assert_eq!(of(name, &idx), Kind::Raw, "{name}");
        }
        assert_eq!(Kind::of("images", &idx, InputType::F32, true), Kind::Raw);
        assert_eq!(of("a.png", b"\x93NUMPY\x01"), Kind::Npy);
        assert_eq!(of("a", &[0; 16]), Kind::Unknown);
        for name in ["a", "a.csv", "-"] {
            assert_eq!(of(name, b"1.5,2\r\n"), Kind::Table, "{name}");
        }
        assert_eq!(of("a.f32", b"1.5,2\r\n"), Kind::Raw);
        assert_eq!(Kind::of("-", b"text", InputType::U8, false), Kind::Raw);
    }

    #[test]
    fn rows_that_may_be_bytes_are_remarked_on() {
        let of = |values: &[f32]| Bytes::of(&OwnedRows::F32(values.to_vec()));
        assert_eq!(of(&[0.0, 255.0, 7.0]), Bytes::Perhaps);
        for values in [&[0.0, 1.0][..], &[0.5, 2.0], &[-1.0, 2.0], &[256.0], &[f32::NAN, 2.0]] {
            assert_eq!(of(values), Bytes::No, "{values:?}");
        }
        assert!(Bytes::Perhaps.remark(U8Scale::Assumed).unwrap().contains("as they are"));
        assert_eq!(Bytes::Perhaps.remark(U8Scale::File(1.0)), None);
        let said = Bytes::Yes.remark(U8Scale::User(1.0)).unwrap();
        assert_eq!(said, "one step of a byte stood for 1 (the user's)");
    }
}
