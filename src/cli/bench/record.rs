//! Records on the screen and in files.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

use super::super::output;
use crate::bench::record::{Record, Section, Table};

/// Makes the directory that a record will be written to, before it is taken.
pub(super) fn make(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| directory.display().to_string())
}

/// Writes a record's files where they are wanted, and the record itself as text or JSON.
pub(super) fn give(
    out: &mut dyn Write,
    record: &Record,
    directory: Option<&Path>,
    json: bool,
) -> Result<()> {
    if let Some(directory) = directory {
        record.write(directory)?;
    }
    if json {
        return output::json(out, record);
    }
    write_text(out, record)?;
    if let Some(directory) = directory {
        writeln!(out, "\n{}", directory.join("report.html").display())?;
    }
    Ok(())
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
