//! Text for people and JSON for programs.

use std::io::{self, Write};

use anyhow::Result;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::backend::arg_max;
use crate::bench::compare::Progress;
pub(super) use crate::bench::record::{figure, thousands};

/// Writes one JSON document on one line.
pub(super) fn json(out: &mut dyn Write, document: &impl Serialize) -> Result<()> {
    // The conversion keeps the kind, by which a closed pipe is told from other failures.
    serde_json::to_writer(&mut *out, document).map_err(io::Error::from)?;
    Ok(writeln!(out)?)
}

/// Says something on standard error that is no part of the answer.
pub(super) fn note(text: &str) {
    // There is nowhere left to report a failure to write to standard error.
    let _ = writeln!(io::stderr(), "note: {}", one_line(text));
}

/// Who is told how far something has come.
pub(super) type Show<'a> = dyn FnMut(Progress<'_>) + 'a;

/// Does something with a bar on standard error that says how far it has come, and that is hidden
/// where there is no terminal.
pub(super) fn with_progress<T>(run: impl FnOnce(&mut Show<'_>) -> T) -> T {
    let bar = ProgressBar::no_length();
    if let Ok(style) = ProgressStyle::with_template("{bar:20} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    let done = run(&mut |progress: Progress<'_>| {
        bar.set_length(progress.of as u64);
        bar.set_message(one_line(progress.doing));
        bar.set_position(progress.done as u64);
    });
    bar.finish_and_clear();
    done
}

/// A table under `header`; columns whose names are in `left` are aligned left, the others, numbers,
/// right.
pub(super) fn table(header: &[&str], left: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().copied());
    table.add_rows(rows);
    for (column, name) in table.column_iter_mut().zip(header) {
        if !left.contains(name) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// The text in lines of at most a hundred characters, where its words allow that.
pub(super) fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in one_line(text).split_whitespace() {
        let line = lines.last_mut().filter(|line| line.len() + word.len() < 100);
        match line {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => line.extend([" ", word]),
            None => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

/// The text without line breaks, escapes or other control characters, as file names may hold them.
pub(super) fn one_line(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().map(plain).collect()
}

/// The same for text of several lines, which keeps its line breaks.
pub(super) fn lines(text: &str) -> String {
    let plain = |c: char| if c.is_control() && c != '\n' { ' ' } else { c };
    text.chars().map(plain).collect()
}

/// One class of one row. JSON has no NaN and no infinity: the score is null there, and a flag says
/// which of the two it was.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Scored {
    pub(super) class: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) label: Option<String>,
    pub(super) score: f32,
    #[serde(skip_serializing_if = "is_false")]
    nan: bool,
    #[serde(skip_serializing_if = "is_false")]
    infinite: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl Scored {
    fn new(class: usize, score: f32, labels: Option<&[String]>) -> Scored {
        let label = labels.and_then(|labels| labels.get(class)).cloned();
        Scored { class, label, score, nan: score.is_nan(), infinite: score.is_infinite() }
    }

    /// The class and its label, where it has one.
    pub(super) fn name(&self) -> String {
        match &self.label {
            Some(label) => format!("{} {}", self.class, one_line(label)),
            None => self.class.to_string(),
        }
    }
}

/// The `count` best classes of a row, best first: by [`arg_max`]'s rule, the lowest class on ties
/// and NaN before any number.
pub(super) fn best(scores: &[f32], count: usize, labels: Option<&[String]>) -> Vec<Scored> {
    if count == 1 {
        let class = arg_max(scores);
        return vec![Scored::new(class, scores[class], labels)];
    }
    let rank = |class: &usize| (scores[*class].is_nan(), scores[*class]);
    let mut classes: Vec<usize> = (0..scores.len()).collect();
    classes.sort_by(|a, b| {
        let ((a_nan, a), (b_nan, b)) = (rank(a), rank(b));
        b_nan.cmp(&a_nan).then(b.partial_cmp(&a).unwrap_or(std::cmp::Ordering::Equal))
    });
    let best = classes.into_iter().take(count);
    best.map(|class| Scored::new(class, scores[class], labels)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_the_arg_max() {
        let rows =
            [[1.0, 3.0, 3.0], [f32::NAN, 9.0, f32::NAN], [-0.0, 0.0, -1.0], [1.0, f32::NAN, 2.0]];
        for scores in rows {
            assert_eq!(best(&scores, 3, None)[0].class, arg_max(&scores), "{scores:?}");
        }
        let classes = |scores| best(scores, 3, None).iter().map(|s| s.class).collect::<Vec<_>>();
        assert_eq!(classes(&[1.0, f32::NAN, 2.0]), [1, 2, 0]);
        assert_eq!(classes(&[2.0, 2.0, 2.0]), [0, 1, 2]);
    }

    #[test]
    fn json_never_holds_bare_nan() {
        let json = |score| serde_json::to_string(&Scored::new(0, score, None)).unwrap();
        assert_eq!(json(1.5), r#"{"class":0,"score":1.5}"#);
        assert_eq!(json(f32::NAN), r#"{"class":0,"score":null,"nan":true}"#);
        assert_eq!(json(f32::NEG_INFINITY), r#"{"class":0,"score":null,"infinite":true}"#);
    }

    #[test]
    fn long_text_is_wrapped_between_words() {
        assert_eq!(wrapped(""), "");
        assert_eq!(wrapped(" a  b\nc "), "a b c");
        let lines = wrapped(&"word ".repeat(50));
        assert!(lines.lines().all(|line| (1..=100).contains(&line.len())), "{lines}");
        assert_eq!(lines.split_whitespace().count(), 50);
        let long = "x".repeat(120);
        assert_eq!(wrapped(&format!("a {long} b")), format!("a\n{long}\nb"));
    }

    #[test]
    fn control_characters_cannot_reach_the_terminal() {
        assert_eq!(one_line("a\nb\u{1b}[31m"), "a b [31m");
    }
}
