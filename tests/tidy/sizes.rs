//! How long files, functions and lines may be.

use crate::lexer::{self, has_words};
use crate::tree::{File, Tree};

const FILE_LINES_MAX: usize = 600;
const FILE_LINES_MEDIAN_MAX: usize = 250;
const FUNCTION_LINES_MAX: usize = 70;
const COLUMNS_MAX: usize = 100;
const EXAMPLE_LINES_MAX: usize = 80;

pub fn long_files(tree: &Tree) -> Vec<String> {
    tree.sources().filter_map(|file| longer_than(file, FILE_LINES_MAX)).collect()
}

pub fn long_examples(tree: &Tree) -> Vec<String> {
    let examples = tree.rust().filter(|file| file.is_in("examples"));
    examples.filter_map(|file| longer_than(file, EXAMPLE_LINES_MAX)).collect()
}

fn longer_than(file: &File, max: usize) -> Option<String> {
    let lines = file.text.len();
    (lines > max).then(|| file.at(lines - 1, format!("{lines} lines; at most {max}")))
}

pub fn long_median(tree: &Tree) -> Vec<String> {
    let mut lengths: Vec<usize> = tree.sources().map(|file| file.text.len()).collect();
    lengths.sort_unstable();
    let median = lengths.get(lengths.len() / 2).copied().unwrap_or(0);
    let is_long = median >= FILE_LINES_MEDIAN_MAX;
    let wrong = format!("the median file has {median} lines; fewer than {FILE_LINES_MEDIAN_MAX}");
    is_long.then_some(wrong).into_iter().collect()
}

pub fn long_lines(tree: &Tree) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in tree.sources() {
        for (line, text) in file.text.iter().enumerate() {
            let columns = text.chars().count();
            if columns > COLUMNS_MAX {
                wrong.push(file.at(line, format!("{columns} columns; at most {COLUMNS_MAX}")));
            }
        }
    }
    wrong
}

pub fn long_functions(tree: &Tree) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in tree.sources() {
        for line in 0..file.code.len() {
            let lines = lines_of_function(file, line);
            if lines > FUNCTION_LINES_MAX {
                let words = format!("a function of {lines} lines; at most {FUNCTION_LINES_MAX}");
                wrong.push(file.at(line, words));
            }
        }
    }
    wrong
}

/// The lines of the function that begins on the line; 0 where none begins.
fn lines_of_function(file: &File, line: usize) -> usize {
    let code = &file.code[line];
    let begins = if file.has_extension(&["py"]) {
        code.trim_start().starts_with("def ")
    } else if file.has_extension(&["cu", "cuh"]) {
        has_words(code, "__global__") || has_words(code, "__device__")
    } else {
        has_words(code, "fn") && !code.contains("fn(")
    };
    match begins {
        false => 0,
        true if file.has_extension(&["py"]) => lines_indented(&file.code, line),
        true => lexer::end_of_item(&file.code, line) - line + 1,
    }
}

/// The lines of a Python block: up to the last that is indented deeper than its first.
fn lines_indented(code: &[String], start: usize) -> usize {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let is_inside = |line: &&String| {
        line.trim().is_empty() || line.starts_with(')') || indent(line) > indent(&code[start])
    };
    let block: Vec<_> = code[start + 1..].iter().take_while(is_inside).collect();
    1 + block.iter().rposition(|line| !line.trim().is_empty()).map_or(0, |last| last + 1)
}

#[test]
fn long_files_are_caught() {
    let plant = |path, lines| Tree::planted(&[(path, &"x\n".repeat(lines))]);
    assert!(long_files(&plant("a.wgsl", 600)).is_empty());
    assert_eq!(long_files(&plant("a.wgsl", 601)), ["a.wgsl:601: 601 lines; at most 600"]);
    assert!(long_files(&plant("a.md", 601)).is_empty());
    assert!(long_examples(&plant("examples/a.rs", 80)).is_empty());
    assert_eq!(long_examples(&plant("examples/a.rs", 81)).len(), 1);
    assert!(long_median(&plant("a.rs", 249)).is_empty());
    assert_eq!(long_median(&plant("a.rs", 250)).len(), 1);
}

#[test]
fn long_lines_are_caught() {
    let plant = |columns| Tree::planted(&[("a.py", &format!("\n{}", "ä".repeat(columns)))]);
    assert!(long_lines(&plant(100)).is_empty());
    assert_eq!(long_lines(&plant(101)), ["a.py:2: 101 columns; at most 100"]);
}

#[test]
fn long_functions_are_caught() {
    let plant = |path, head, body: usize, end| {
        let text = format!("// fn\n{head}\n{}{end}\nother\n", "    \"}\";\n".repeat(body));
        long_functions(&Tree::planted(&[(path, &text)]))
    };
    assert!(plant("a.rs", "fn a(b: [u8; 2]) {", 68, "}").is_empty());
    let wrong = ["a.rs:2: a function of 71 lines; at most 70"];
    assert_eq!(plant("a.rs", "fn a(b: [u8; 2]) {", 69, "}"), wrong);
    assert_eq!(plant("a.cu", "__global__ void a(int b) {", 69, "}").len(), 1);
    assert!(plant("a.py", "def a():", 69, "").is_empty());
    assert_eq!(plant("a.py", "def a():", 70, "").len(), 1);
}
