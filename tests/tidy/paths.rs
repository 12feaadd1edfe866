//! The modules of the crate, and the paths by which they name each other.

use crate::lexer::is_word;
use crate::tree::File;

/// A module's or an item's path from the crate's root, such as `["model", "format"]`.
pub type Path = Vec<String>;

/// A path that stands in a file.
#[derive(Debug, PartialEq)]
pub struct Use {
    /// The line it begins on, from 0.
    pub line: usize,
    /// What it names.
    pub path: Path,
}

/// The module that a file in src holds.
pub fn module_of(file: &File) -> Path {
    let inner = file.path.trim_start_matches("src/").trim_end_matches(".rs");
    let mut path: Path = inner.split('/').map(str::to_owned).collect();
    if matches!(path.last().map(String::as_str), Some("mod" | "lib")) {
        path.pop();
    }
    path
}

/// Every path in a file's shipped code that begins with `crate`, `super` or `self`, made absolute.
pub fn uses(file: &File) -> Vec<Use> {
    let code = file.shipped_code().join("\n");
    let mut found = Vec::new();
    let mut scopes = Scopes { module: module_of(file), depth: 0, inner: Vec::new() };
    let (mut at, mut line) = (0, 0);
    while at < code.len() {
        let rest = &code[at..];
        let word = word_at(rest);
        scopes.read(rest, word);
        let starts_path = matches!(word, "crate" | "super" | "self");
        let is_visibility = code[..at].ends_with("pub(in ");
        if starts_path && rest[word.len()..].starts_with("::") && !is_visibility {
            let (paths, length) = expand(rest);
            let absolute = paths.into_iter().map(|path| scopes.absolute(path));
            found.extend(absolute.map(|path| Use { line, path }));
            line += rest[..length].matches('\n').count();
            at += length;
            continue;
        }
        line += usize::from(rest.starts_with('\n'));
        at += word.len().max(rest.chars().next().map_or(1, char::len_utf8));
    }
    found
}

/// The modules a file declares and the names it takes from them: `(name, module)`.
pub fn declared(file: &File) -> Vec<(String, String)> {
    let code = file.code.join("\n");
    let statements: Vec<&str> = code.split(';').map(last_item).collect();
    let modules = statements.iter().filter_map(|item| item.strip_prefix("mod "));
    let mut names: Vec<_> = modules.map(|name| (name.to_owned(), name.to_owned())).collect();
    for tree in statements.iter().filter_map(|item| item.strip_prefix("use ")) {
        for path in expand(tree).0 {
            if names.iter().any(|(name, module)| name == module && *name == path[0]) {
                let name = path[path.len() - 1].clone();
                names.push((name, path[0].clone()));
            }
        }
    }
    names
}

/// The `mod` or `use` at the end of a statement's text, without what stands before it.
fn last_item(statement: &str) -> &str {
    let places = ["mod ", "use "].into_iter().filter_map(|word| {
        let mut found = statement.match_indices(word).map(|(at, _)| at);
        found.find(|at| !statement[..*at].ends_with(is_word))
    });
    statement[places.min().unwrap_or(0)..].trim()
}

/// The inline modules around a place in a file.
struct Scopes {
    module: Path,
    depth: usize,
    inner: Vec<(usize, String)>,
}

impl Scopes {
    /// Takes note of a brace or a `mod name {` at the start of `rest`.
    fn read(&mut self, rest: &str, word: &str) {
        if rest.starts_with('{') {
            self.depth += 1;
        } else if rest.starts_with('}') {
            self.depth = self.depth.saturating_sub(1);
            self.inner.retain(|(depth, _)| *depth < self.depth + 1);
        } else if word == "mod" {
            let after = rest[word.len()..].trim_start();
            let name = word_at(after);
            if after[name.len()..].trim_start().starts_with('{') {
                self.inner.push((self.depth + 1, name.to_owned()));
            }
        }
    }

    fn absolute(&self, path: Path) -> Path {
        let inner = self.inner.iter().map(|(_, name)| name.clone());
        let mut base: Path = self.module.iter().cloned().chain(inner).collect();
        let mut names = path.into_iter().peekable();
        while let Some(word) = names.next_if(|name| ["crate", "super", "self"].contains(&&**name)) {
            match word.as_str() {
                "crate" => base.clear(),
                "super" => drop(base.pop()),
                _ => {}
            }
        }
        base.extend(names);
        base
    }
}

/// The paths of a use tree at the start of `text`, and the bytes it takes; `a::{b, c::d}` is two
/// paths. A glob ends its path; names after `as` are left out.
fn expand(text: &str) -> (Vec<Path>, usize) {
    let mut path = Path::new();
    let mut at = 0;
    loop {
        let word = word_at(&text[at..]);
        path.push(word.to_owned());
        at += word.len();
        let Some(rest) = text[at..].strip_prefix("::") else { break };
        if let Some(list) = rest.strip_prefix('{') {
            let (branches, length) = expand_list(list);
            let joined = branches.into_iter().map(|branch| [path.clone(), branch].concat());
            return (joined.collect(), at + 3 + length);
        }
        if !rest.starts_with(is_word) {
            break;
        }
        at += 2;
    }
    (vec![path], at)
}

/// The paths of a list up to its closing brace, and the bytes with that brace.
fn expand_list(text: &str) -> (Vec<Path>, usize) {
    let mut paths = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        if c == '}' {
            return (paths, at + 1);
        }
        let is_alias = text[..at].ends_with(" as ");
        if is_word(c) && !is_alias && word_at(&text[at..]) != "as" {
            let (more, length) = expand(&text[at..]);
            paths.extend(more);
            at += length;
        } else {
            at += word_at(&text[at..]).len().max(c.len_utf8());
        }
    }
    (paths, at)
}

/// The name at the start of the text; empty where there is none.
fn word_at(text: &str) -> &str {
    &text[..text.find(|c| !is_word(c)).unwrap_or(text.len())]
}

#[test]
fn paths_are_made_absolute() {
    let text = "use super::{self, A, b::{C, d as e}};\nuse crate::plan::Plan;\n\
        pub(in crate::x) fn f() { self::g(super::super::h()); }\n\
        mod inner {\n use super::k;\n}\nuse super::l;\n#[cfg(test)]\nmod tests { use crate::y; }\n\
        // crate::z";
    let file = File::new("src/model/format/npy.rs", text);
    let found: Vec<_> = uses(&file).iter().map(|u| (u.line, u.path.join("::"))).collect();
    let expected = [
        (0, "model::format"),
        (0, "model::format::A"),
        (0, "model::format::b::C"),
        (0, "model::format::b::d"),
        (1, "plan::Plan"),
        (2, "model::format::npy::g"),
        (2, "model::h"),
        (4, "model::format::npy::k"),
        (6, "model::format::l"),
    ];
    assert_eq!(found, expected.map(|(line, path)| (line, path.to_owned())));
}

#[test]
fn declarations_are_found() {
    let text = "#[cfg(x)]\npub mod a;\npub(crate) mod b;\npub use a::{A, c::D};\nuse std::fmt;";
    let found = declared(&File::new("src/lib.rs", text));
    let expected = [("a", "a"), ("b", "b"), ("A", "a"), ("D", "a")];
    assert_eq!(found, expected.map(|(name, module)| (name.to_owned(), module.to_owned())));
}
