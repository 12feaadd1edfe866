//! A record as one page: a file that needs no other, no script and no network, for light and dark
//! screens, telephones and paper.

mod bars;
mod canvas;
mod chart;
mod curves;
mod date;
mod facts;
mod markup;
mod palette;
mod scale;
#[cfg(test)]
mod tests;

use super::{Column, Record, Section, Table, thousands};
use markup::{element, escaped};

const STYLE: &str = include_str!("page.css");

/// The page.
pub(super) fn html(record: &Record) -> String {
    let mut page = head(&record.title);
    page += "<body>\n<main>\n";
    page += &header(record);
    for section in &record.sections {
        page += &section_of(section);
    }
    page += &facts::method(&record.method);
    page += &facts::environment(&record.environment);
    page += &facts::figures(&record.figures);
    page + "</main>\n</body>\n</html>\n"
}

fn head(title: &str) -> String {
    let title = escaped(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n"
    )
}

fn header(record: &Record) -> String {
    let model = &record.model;
    let version = &record.environment.version;
    let kicker = format!("fusewire {version} \u{b7} {} experiment", record.experiment);
    let parameters = thousands(model.parameters as u64);
    let taken = date::of(record.environment.started_unix_s);
    let hash: String = model.content_hash.chars().take(12).collect();
    let mut header = String::from("<header>\n");
    header += &format!("<p class=\"kicker\">{}</p>\n", escaped(&kicker));
    header += &element("h1", &record.title);
    let facts = [
        format!("{}: {}, {parameters} parameters", model.name, model.architecture),
        format!("content {hash}"),
        record.environment.cpu.clone(),
        taken,
    ];
    let facts = facts.map(|fact| format!("<li>{}</li>\n", escaped(&fact))).concat();
    header += &format!("<ul class=\"facts\">\n{facts}</ul>\n");
    if !record.environment.disturbances().is_empty() {
        let words = "Something may have spoilt these figures:";
        let link = "<a href=\"#environment\">see the environment</a>";
        header += &format!("<p class=\"warning\">{words} {link}.</p>\n");
    }
    header + "</header>\n"
}

fn section_of(section: &Section) -> String {
    let mut part = String::from("<section>\n");
    part += &element("h2", &section.title);
    for paragraph in &section.text {
        part += &element("p", paragraph);
    }
    if !section.charts.is_empty() {
        let charts: String = section.charts.iter().map(chart::figure).collect();
        part += &format!("<div class=\"charts\">\n{charts}</div>\n");
    }
    part += &section.tables.iter().map(table).collect::<String>();
    part + "</section>\n"
}

/// Words of so many letters stay on one line.
const WORDS_CHARS_MAX: usize = 24;

/// What a cell of a column is, by which it is set.
fn class(column: Option<&Column>, text: &str) -> &'static str {
    match column {
        Some(column) if column.is_number => " class=\"n\"",
        _ if text.chars().count() <= WORDS_CHARS_MAX => " class=\"w\"",
        _ => "",
    }
}

fn table(table: &Table) -> String {
    let mut markup = String::from("<div class=\"table\">\n<table>\n<thead>\n<tr>");
    for column in &table.columns {
        let name = escaped(&column.name);
        markup += &format!("<th scope=\"col\"{}>{name}</th>", class(Some(column), &column.name));
    }
    markup += "</tr>\n</thead>\n<tbody>\n";
    for row in &table.rows {
        let cells = row.iter().enumerate().map(|(index, text)| {
            format!("<td{}>{}</td>", class(table.columns.get(index), text), escaped(text))
        });
        markup += &format!("<tr>{}</tr>\n", cells.collect::<String>());
    }
    markup + "</tbody>\n</table>\n</div>\n"
}
