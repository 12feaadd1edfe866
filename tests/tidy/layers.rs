//! Who may use whom: the order of the layers, and no cycle among the modules of a folder.

use crate::paths::{self, Path, Use};
use crate::tree::{File, Tree};

/// The top-level modules; each uses only what stands before it. `main` stands after all of them.
const ORDER: [&str; 9] =
    ["sync", "model", "plan", "backend", "pipeline", "error", "classifier", "bench", "cli"];

pub fn against_the_order(tree: &Tree) -> Vec<String> {
    let rank = |module: &str| ORDER.iter().position(|name| *name == module);
    let mut wrong = Vec::new();
    for edge in edges(tree, &Path::new()) {
        if edge.from == "main" {
            continue;
        }
        match (rank(&edge.from), rank(&edge.to)) {
            (Some(from), Some(to)) if from > to => {}
            (Some(_), Some(_)) => wrong.push(edge.wrong("against the order of the layers")),
            _ => wrong.push(edge.wrong("one of them has no place in the order of the layers")),
        }
    }
    wrong
}

/// Modules of one folder that use each other. A name that the folder's own module takes from one of
/// them counts as that one's; what the folder's own module defines is free to all of them. `error`
/// is left out: an error names what it reports on, and that returns the error.
pub fn cycles(tree: &Tree) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in tree.src().filter(|file| is_folder(file)) {
        let mut edges = edges(tree, &paths::module_of(file));
        edges.retain(|edge| edge.from != "error");
        let circular = edges.iter().filter(|edge| reaches(&edges, &edge.to, &edge.from));
        wrong.extend(circular.map(|edge| edge.wrong("which uses it in turn")));
        wrong.dedup();
    }
    wrong
}

/// One module of a folder using another.
struct Edge<'a> {
    file: &'a File,
    line: usize,
    from: String,
    to: String,
}

impl Edge<'_> {
    fn wrong(&self, why: &str) -> String {
        self.file.at(self.line, format!("{} uses {}, {why}", self.from, self.to))
    }
}

/// Whether `from` uses `to`, directly or through others.
fn reaches(edges: &[Edge], from: &str, to: &str) -> bool {
    let mut reached = vec![from];
    let mut next = 0;
    while let Some(module) = reached.get(next).copied() {
        for edge in edges.iter().filter(|edge| edge.from == module) {
            if !reached.contains(&edge.to.as_str()) {
                reached.push(&edge.to);
            }
        }
        next += 1;
    }
    reached.contains(&to)
}

/// Whether the file holds a module that has others below it.
fn is_folder(file: &File) -> bool {
    file.path == "src/lib.rs" || file.path.ends_with("/mod.rs")
}

/// Every use of one module below `folder` by another.
fn edges<'a>(tree: &'a Tree, folder: &Path) -> Vec<Edge<'a>> {
    let own = tree.src().find(|file| is_folder(file) && paths::module_of(file) == *folder);
    let declared = own.map(paths::declared).unwrap_or_default();
    let mut edges = Vec::new();
    for file in tree.src() {
        let module = paths::module_of(file);
        let Some(from) = module.strip_prefix(folder.as_slice()).and_then(<[_]>::first) else {
            continue;
        };
        for Use { line, path } in paths::uses(file) {
            let name = path.strip_prefix(folder.as_slice()).and_then(<[_]>::first);
            let to = declared.iter().find(|(declared, _)| Some(declared) == name);
            if let Some((_, to)) = to.filter(|(_, to)| to != from) {
                edges.push(Edge { file, line, from: from.clone(), to: to.clone() });
            }
        }
    }
    edges
}

#[cfg(test)]
const LIB: (&str, &str) = (
    "src/lib.rs",
    "pub mod plan; pub mod model; mod error; mod classifier; mod odd;\n\
     pub use plan::Plan; pub use model::Model; pub use classifier::Classifier;",
);

#[test]
fn uses_against_the_order_are_caught() {
    let wrong = |path, text| against_the_order(&Tree::planted(&[LIB, (path, text)]));
    assert!(wrong("src/plan/fuse.rs", "use crate::{Model, model::Dense};").is_empty());
    assert!(wrong("src/classifier.rs", "use crate::{Plan, error::Error};").is_empty());
    assert_eq!(
        wrong("src/model/dense.rs", "use std::fmt;\nfn a(_: crate::Plan) {}"),
        ["src/model/dense.rs:2: model uses plan, against the order of the layers"]
    );
    assert_eq!(wrong("src/model/mod.rs", "use super::plan::Plan;").len(), 1);
    assert_eq!(wrong("src/error.rs", "use crate::Classifier;").len(), 1);
    assert_eq!(wrong("src/odd.rs", "use crate::Plan;").len(), 1);
    assert!(wrong("src/model/mod.rs", "#[cfg(test)]\nmod tests { use crate::Plan; }").is_empty());
}

#[test]
fn cycles_are_caught() {
    let folder = ("src/plan/mod.rs", "mod a; mod b; mod c; mod error; pub use b::B; struct Own;");
    let wrong = |a, b, c| {
        let files = [("src/plan/a.rs", a), ("src/plan/b.rs", b), ("src/plan/c/d.rs", c)];
        cycles(&Tree::planted(&[folder, files[0], files[1], files[2]]))
    };
    assert!(
        wrong("use super::{B, Own, c::d};", "use super::Own;", "use super::super::B;").is_empty()
    );
    assert_eq!(
        wrong("use super::B;", "use super::c::d;", "use crate::plan::a;"),
        [
            "src/plan/a.rs:1: a uses b, which uses it in turn",
            "src/plan/b.rs:1: b uses c, which uses it in turn",
            "src/plan/c/d.rs:1: c uses a, which uses it in turn",
        ]
    );
    let error = ("src/plan/error.rs", "use super::B;");
    let b = ("src/plan/b.rs", "use super::error::E;");
    assert!(cycles(&Tree::planted(&[folder, error, b])).is_empty());
}
