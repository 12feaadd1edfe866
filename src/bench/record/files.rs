//! A record as files, and back.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;
use serde::Deserialize;
use tempfile::TempDir;

use super::super::report::csv_field;
use super::{Better, Environment, FORMAT, Figure, NamedHistogram, Record, RecordError, page};

const JSON: &str = "report.json";
const MIB: u64 = 1 << 20;
const JSON_MIB_MAX: u64 = 64;
const STEM_CHARS_MAX: usize = 120;
/// What the folder is called that files lie in until all of them are whole.
const PARTIAL: &str = ".fusewire-partial-";
/// HdrHistogram's own tools show the largest value in milliseconds.
const NS_PER_MS: f64 = 1e6;

impl Record {
    /// Writes `report.html` for people, `report.json` and `report.csv` for programs, and one `.hdr`
    /// file for each histogram, a log that HdrHistogram's tools read. The folder is made where it
    /// is not there; files of these names are replaced once all of the new ones are on the disk.
    ///
    /// # Errors
    ///
    /// Where the folder or a file cannot be written; files that are there already stay as they are.
    pub fn write(&self, directory: &Path) -> Result<(), RecordError> {
        RecordFolder::open(directory)?.keep(self).map(|_| ())
    }

    /// Reads a `report.json`, or the one in a folder; without the histograms, which are files of
    /// their own.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, is larger than 64 MiB, is no record, or is one of another
    /// version's format.
    pub fn read(path: &Path) -> Result<Record, RecordError> {
        let path = if path.is_dir() { path.join(JSON) } else { path.to_owned() };
        let mut json = Vec::new();
        let file = File::open(&path).map_err(at(&path))?;
        let max = JSON_MIB_MAX * MIB;
        file.take(max + 1).read_to_end(&mut json).map_err(at(&path))?;
        if json.len() as u64 > max {
            return Err(RecordError::TooLarge { path, max_mib: JSON_MIB_MAX });
        }
        of_json(&json, path)
    }
}

/// A folder that a record will be written to, found fit before the record is taken.
///
/// Files are written into a folder in it, which goes when this does, and renamed once all of them
/// are on the disk. So none is ever there by half, and a disk that is full leaves what was there.
#[derive(Debug)]
pub struct RecordFolder {
    directory: PathBuf,
    partial: TempDir,
    /// Files that the experiment writes itself.
    named: Vec<String>,
}

impl RecordFolder {
    /// Makes the folder where it is not there, and tries whether files can be written to it.
    ///
    /// # Errors
    ///
    /// Where they cannot.
    pub fn open(directory: &Path) -> Result<RecordFolder, RecordError> {
        let try_out = || {
            fs::create_dir_all(directory)?;
            let partial = tempfile::Builder::new().prefix(PARTIAL).tempdir_in(directory)?;
            let probe = partial.path().join("probe");
            write(&probe, b"written before the experiment, and removed")?;
            fs::remove_file(probe)?;
            Ok(partial)
        };
        let partial = try_out().map_err(at(directory))?;
        Ok(RecordFolder { directory: directory.to_owned(), partial, named: Vec::new() })
    }

    /// Where the experiment may write a file of this name, to be kept beside the record's own.
    pub fn file(&mut self, name: &str) -> PathBuf {
        self.named.push(name.to_owned());
        self.partial.path().join(name)
    }

    /// Writes a record's files, has them and the experiment's own take the place of those that are
    /// there, and returns the folder they are in.
    ///
    /// # Errors
    ///
    /// Where a file cannot be written; those that are there already stay as they are.
    pub fn keep(self, record: &Record) -> Result<PathBuf, RecordError> {
        let is_there = |name: &&String| self.partial.path().join(name).is_file();
        let mut names: Vec<String> = self.named.iter().filter(is_there).cloned().collect();
        let mut file = |name: String, bytes: &[u8]| {
            write(&self.partial.path().join(&name), bytes)
                .map_err(at(&self.directory.join(&name)))?;
            names.push(name);
            Ok(())
        };
        for (histogram, stem) in record.histograms.iter().zip(stems(&record.histograms)) {
            let name = format!("{stem}.hdr");
            let log = interval_log(histogram, &record.environment);
            file(name.clone(), &log.map_err(at(&self.directory.join(&name)))?)?;
        }
        file(String::from("report.csv"), csv(&record.figures).as_bytes())?;
        file(String::from("report.html"), page::html(record).as_bytes())?;
        let json = serde_json::to_string_pretty(record).map_err(io::Error::from);
        let json = json.map_err(at(&self.directory.join(JSON)))? + "\n";
        file(String::from(JSON), json.as_bytes())?;
        // The record itself comes last: where it is new, so is all else.
        for name in names {
            let path = self.directory.join(&name);
            fs::rename(self.partial.path().join(&name), &path).map_err(at(&path))?;
        }
        Ok(self.directory)
    }
}

/// Writes a file, and returns once it is on the disk: some file systems find no room only then.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn of_json(json: &[u8], path: PathBuf) -> Result<Record, RecordError> {
    /// What every format has.
    #[derive(Deserialize)]
    struct Head {
        format: u32,
    }
    let no_record = |error: serde_json::Error| RecordError::NoRecord {
        path: path.clone(),
        reason: error.to_string(),
    };
    let Head { format } = serde_json::from_slice(json).map_err(no_record)?;
    if format != FORMAT {
        return Err(RecordError::OtherFormat { path, found: format });
    }
    serde_json::from_slice(json).map_err(no_record)
}

fn at(path: &Path) -> impl Fn(io::Error) -> RecordError + use<> {
    let path = path.to_owned();
    move |source| RecordError::Io { path: path.clone(), source }
}

/// The figures as CSV (RFC 4180), one line each under a line of names.
fn csv(figures: &[Figure]) -> String {
    let mut csv = String::from("key,unit,better,median,lowest,highest,rounds\n");
    for figure in figures {
        let better = match figure.better {
            Better::Lower => "lower",
            Better::Higher => "higher",
        };
        let (low, high) = figure.range().unzip();
        let numbers = [figure.median(), low, high].map(|number| {
            // What is no number is an empty field, as one that is not there.
            number.filter(|number| number.is_finite()).map_or_else(String::new, |n| n.to_string())
        });
        let words = [csv_field(&figure.key), csv_field(&figure.unit), better.to_owned()];
        let rounds = figure.rounds.len().to_string();
        csv += &[&words[..], &numbers, &[rounds]].concat().join(",");
        csv.push('\n');
    }
    csv
}

/// A log of one interval, which is all of the record's time.
fn interval_log(histogram: &NamedHistogram, environment: &Environment) -> io::Result<Vec<u8>> {
    let mut log = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let one_line = |c: char| if c.is_control() { ' ' } else { c };
    let key: String = histogram.key.chars().map(one_line).collect();
    let mut writer = IntervalLogWriterBuilder::new()
        .add_comment("[Histogram log format version 1.3]")
        .add_comment(&format!("[{key}, in nanoseconds]"))
        .with_max_value_divisor(NS_PER_MS)
        .begin_log_with(&mut log, &mut serializer)?;
    let start = Duration::from_secs(environment.started_unix_s);
    let took = Duration::try_from_secs_f64(environment.took_s).unwrap_or_default();
    let written = writer.write_histogram(histogram.times.histogram(), start, took, None);
    written.map_err(|error| io::Error::other(error.to_string()))?;
    Ok(log)
}

/// File names of the histograms, without extension: their keys in letters that every system allows,
/// numbered where two would share one.
fn stems(histograms: &[NamedHistogram]) -> Vec<String> {
    let mut taken: Vec<String> = Vec::new();
    for NamedHistogram { key, .. } in histograms {
        let is_safe = |c: char| c.is_ascii_alphanumeric() || "-_.=".contains(c);
        let safe: String = key.chars().map(|c| if is_safe(c) { c } else { '_' }).collect();
        let stem: String = safe.trim_start_matches('.').chars().take(STEM_CHARS_MAX).collect();
        let stem = if stem.is_empty() { String::from("times") } else { stem };
        let numbered = (2..).map(|number| format!("{stem}-{number}"));
        let is_free = |stem: &String| !taken.iter().any(|other| other.eq_ignore_ascii_case(stem));
        taken.extend(std::iter::once(stem.clone()).chain(numbered).find(is_free));
    }
    taken
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::super::example;
    use super::*;
    use crate::bench::load::Durations;

    fn error(name: &str, bytes: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let line = Record::read(&path).unwrap_err().to_string();
        assert!(!line.contains('\n') && line.contains(name), "{line}");
        line
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("a/b");
        let mut record = example::record();
        record.write(&directory).unwrap();
        let read = Record::read(&directory).unwrap();
        // Numbers are read to the last digit but one.
        assert_eq!(page::html(&read), page::html(&record));
        assert_eq!((&read.environment, &read.method), (&record.environment, &record.method));
        assert!(Record::read(&directory.join(JSON)).is_ok() && read.histograms.is_empty());
        let files = fs::read_dir(&directory).unwrap().count();
        assert_eq!(files, 3 + record.histograms.len());
        record.figures[0].rounds = vec![f64::NAN, 1.0];
        record.write(&directory).unwrap();
        assert!(Record::read(&directory).unwrap().figures[0].rounds[0].is_nan());
        let under_a_file = directory.join("report.csv").join("deeper");
        let line = record.write(&under_a_file).unwrap_err().to_string();
        assert!(line.contains("deeper"), "{line}");
    }

    #[test]
    fn what_is_no_record_says_so_in_one_line() {
        assert!(error("a", b"{\"format\": 1}").contains("missing field"));
        assert!(error("b", b"\x89PNG").contains("is no record"));
        assert!(error("c", b"").contains("is no record"));
        assert!(error("d", b"{\"format\": 2}").contains("of format 2; this version reads 1"));
        let deep = "[".repeat(100_000);
        assert!(error("e", deep.as_bytes()).contains("is no record"));
        let large = vec![b' '; (JSON_MIB_MAX * MIB) as usize + 1];
        assert!(error("f", &large).contains("larger than 64 MiB"));
        let missing = Record::read(Path::new("no such file")).unwrap_err().to_string();
        assert!(missing.starts_with("no such file: "), "{missing}");
    }

    #[test]
    fn a_line_of_csv_is_a_figure() {
        let figure = |key: &str, rounds: &[f64]| Figure {
            key: key.to_owned(),
            unit: String::from("us"),
            better: Better::Lower,
            rounds: rounds.to_vec(),
        };
        let figures = [figure("a,b", &[3.0, 1.5, 2.0]), figure("c", &[]), figure("d", &[f64::NAN])];
        let expected = "key,unit,better,median,lowest,highest,rounds\n\
                        \"a,b\",us,lower,2,1.5,3,3\nc,us,lower,,,,0\nd,us,lower,,,,1\n";
        assert_eq!(csv(&figures), expected);
    }

    #[test]
    fn a_log_holds_the_times_as_other_tools_read_them() {
        let mut times = Durations::default();
        (1..=1000).for_each(|us| times.add_ns(us * 1_000));
        let histogram = NamedHistogram { key: String::from("a\nb"), times };
        let log = interval_log(&histogram, &example::record().environment).unwrap();
        let entries: Vec<_> = IntervalLogIterator::new(&log).map(Result::unwrap).collect();
        let [LogEntry::Interval(interval)] = &entries[..] else { panic!("{entries:?}") };
        assert!((interval.max() - 1.0).abs() < 0.001, "{}", interval.max());
        // Version 2, compressed, is what the first letters of its base64 stand for.
        assert!(interval.encoded_histogram().starts_with("HISTFAAA"), "{interval:?}");
        let text = String::from_utf8(log).unwrap();
        assert!(text.starts_with("#[Histogram log") && text.contains("#[a b, in nano"), "{text}");
    }

    #[test]
    fn keys_become_file_names_that_no_system_trips_over() {
        let named = |key: &str| NamedHistogram { key: key.to_owned(), times: Durations::default() };
        let keys = ["latency.cpu.batch=1", "../../etc/x", "a b", "a/b", "A_B", "", "..", "ä\0:"];
        let long = "x".repeat(1000);
        let stems = stems(&keys.iter().copied().chain([&*long]).map(named).collect::<Vec<_>>());
        let expected = [
            "latency.cpu.batch=1",
            "_.._etc_x",
            "a_b",
            "a_b-2",
            "A_B-3",
            "times",
            "times-2",
            "___",
        ];
        assert_eq!(stems[..8], expected);
        assert_eq!(stems[8].len(), STEM_CHARS_MAX);
    }
}
