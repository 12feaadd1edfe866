//! The project's text files, as they stand on disk.

use std::fs;
use std::path::Path;

use crate::lexer;

/// A text file.
pub struct File {
    /// The path from the project's root, with `/` between its parts.
    pub path: String,
    /// The lines as they are.
    pub text: Vec<String>,
    /// The same lines without comments and literals; as they are in languages unknown.
    pub code: Vec<String>,
    /// The same lines without anything but comments; empty in languages unknown.
    pub comments: Vec<String>,
}

impl File {
    pub fn new(path: &str, text: &str) -> File {
        let (code, comments) =
            if is_braced(path) { lexer::split(text) } else { (text.to_owned(), String::new()) };
        let lines = |text: &str| text.lines().map(str::to_owned).collect();
        File {
            path: path.to_owned(),
            text: lines(text),
            code: lines(&code),
            comments: lines(&comments),
        }
    }

    pub fn has_extension(&self, extensions: &[&str]) -> bool {
        self.path.rsplit_once('.').is_some_and(|(_, extension)| extensions.contains(&extension))
    }

    /// Whether the file lies in the folder, at any depth.
    pub fn is_in(&self, folder: &str) -> bool {
        self.path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
    }

    /// The line that stands for a violation; `line` counts from 0.
    pub fn at(&self, line: usize, wrong: impl AsRef<str>) -> String {
        format!("{}:{}: {}", self.path, line + 1, wrong.as_ref())
    }

    /// The code with everything under `#[cfg(test)]` blanked; none of it in a module named `tests`.
    pub fn shipped_code(&self) -> Vec<String> {
        if self.path.ends_with("/tests.rs") || self.path.contains("/tests/") {
            return vec![String::new(); self.code.len()];
        }
        let mut code = self.code.clone();
        let mut line = 0;
        while line < code.len() {
            if code[line].trim_start().starts_with("#[cfg(test)]") {
                let end = lexer::end_of_item(&code, line);
                code[line..=end].iter_mut().for_each(String::clear);
                line = end;
            }
            line += 1;
        }
        code
    }

    /// The comment on the line, above it, or above the statement or item that it continues.
    pub fn comment_at(&self, line: usize) -> String {
        let comment = |line: usize| self.comments[line].trim().to_owned();
        let mut found = comment(line);
        for above in (0..line).rev() {
            let code = self.code[above].trim();
            let is_comment = code.is_empty() && !comment(above).is_empty();
            if is_comment {
                found = comment(above) + "\n" + &found;
            } else if !found.is_empty() || code.is_empty() || ends_before_next_line(code) {
                break;
            }
        }
        found
    }
}

/// Whether the line after this one begins something new; attributes belong to what follows.
fn ends_before_next_line(code: &str) -> bool {
    !code.starts_with("#[") && code.ends_with([';', '{', '}', ','])
}

/// Whether the language has Rust's comments and braces.
fn is_braced(path: &str) -> bool {
    [".rs", ".wgsl", ".cu", ".cuh"].iter().any(|extension| path.ends_with(extension))
}

/// All text files of a project.
pub struct Tree {
    pub files: Vec<File>,
}

impl Tree {
    pub fn of_the_project() -> Tree {
        let mut tree = Tree { files: Vec::new() };
        tree.read_folder(Path::new(env!("CARGO_MANIFEST_DIR")), "");
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        tree
    }

    /// A tree made up for a test, from paths and texts.
    pub fn planted(files: &[(&str, &str)]) -> Tree {
        Tree { files: files.iter().map(|(path, text)| File::new(path, text)).collect() }
    }

    /// Source files: what the limits on length are for.
    pub fn sources(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.has_extension(&["rs", "wgsl", "cu", "cuh", "py"]))
    }

    pub fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.has_extension(&["rs"]))
    }

    /// The library and the command.
    pub fn src(&self) -> impl Iterator<Item = &File> {
        self.rust().filter(|file| file.is_in("src"))
    }

    /// Adds the text files below a folder, without build output and hidden files.
    fn read_folder(&mut self, folder: &Path, prefix: &str) {
        for entry in fs::read_dir(folder).expect("a folder of the project").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            if name.starts_with('.') || name == "target" || name == "__pycache__" {
                continue;
            }
            if entry.path().is_dir() {
                self.read_folder(&entry.path(), &format!("{path}/"));
            } else if let Ok(text) = fs::read_to_string(entry.path()) {
                self.files.push(File::new(&path, &text));
            }
        }
    }
}

#[test]
fn tests_are_no_shipped_code() {
    let file = File::new("a.rs", "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() {}\n}\nfn c() {}");
    assert_eq!(file.shipped_code(), ["fn a() {}", "", "", "", "", "fn c() {}"]);
}

#[test]
fn a_comment_is_found_above_the_statement() {
    let lines =
        ["// One.", "// Two.", "#[inline]", "let a =", "    b;", "c(); // Three.", "", "d();"];
    let file = File::new("a.rs", &lines.join("\n"));
    assert_eq!(file.comment_at(4), "// One.\n// Two.\n");
    assert_eq!(file.comment_at(5), "// Three.");
    assert_eq!(file.comment_at(7), "");
}
