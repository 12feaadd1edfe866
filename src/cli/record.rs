//! Records on the screen and in files.

use std::io::Write;
use std::path::Path;

use anyhow::Result;

use super::output;
use crate::bench::record::{Record, RecordFolder, Section, Table};

/// The folder that `--out` names, found fit before the experiment runs.
pub(super) fn folder(directory: Option<&Path>) -> Result<Option<RecordFolder>> {
    Ok(directory.map(RecordFolder::open).transpose()?)
}

/// Writes a record's files into the folder, and what `show` writes in any case: a folder that
/// cannot be written to costs no figure.
pub(super) fn keep(
    out: &mut dyn Write,
    folder: Option<RecordFolder>,
    record: &Record,
    json: bool,
    show: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    let kept = folder.map(|folder| folder.keep(record)).transpose();
    let shown = show(out).and_then(|()| {
        if let (Ok(Some(directory)), false) = (&kept, json) {
            writeln!(out, "\n{}", directory.join("report.html").display())?;
        }
        Ok(out.flush()?)
    });
    // A reader that has seen enough is no reason to keep quiet about files that are missing.
    kept?;
    shown
}

/// Writes a record's files where they are wanted, and the record itself as text or JSON.
pub(super) fn give(
    out: &mut dyn Write,
    folder: Option<RecordFolder>,
    record: &Record,
    json: bool,
) -> Result<()> {
    keep(out, folder, record, json, |out| match json {
        true => output::json(out, record),
        false => write_text(out, record),
    })
}

fn write_text(out: &mut dyn Write, record: &Record) -> Result<()> {
    record.sections.iter().try_for_each(|section| write_section(out, section))?;
    let method = record.method.iter().map(|fact| format!("{} {}", fact.name, fact.value));
    writeln!(out, "{}", output::wrapped(&method.collect::<Vec<_>>().join("; ")))?;
    let environment = &record.environment;
    if let Some(share) = environment.stolen_share.filter(|share| *share > 0.001) {
        let share = output::figure(share * 100.0);
        writeln!(out, "The machine's host took its processors away for {share} % of the time.")?;
    }
    if environment.debug_build {
        writeln!(out, "this is a debug build: figures worth quoting come from --release")?;
    }
    Ok(())
}

fn write_section(out: &mut dyn Write, section: &Section) -> Result<()> {
    writeln!(out, "{}\n", section.title)?;
    for paragraph in &section.text {
        writeln!(out, "{}", output::wrapped(paragraph))?;
    }
    for lines in &section.tables {
        writeln!(out, "\n{}", table(lines))?;
    }
    Ok(writeln!(out)?)
}

fn table(table: &Table) -> String {
    let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    let words = table.columns.iter().filter(|column| !column.is_number);
    let left: Vec<&str> = words.map(|column| column.name.as_str()).collect();
    let plain = |row: &Vec<String>| row.iter().map(|cell| output::one_line(cell)).collect();
    output::table(&names, &left, table.rows.iter().map(plain).collect())
}
