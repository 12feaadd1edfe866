//! What may stand only in some places, or only with a reason beside it.

use crate::lexer::has_words;
use crate::tree::{File, Tree};

/// Runs a check over all lines of some files.
fn over_lines<'a>(
    files: impl Iterator<Item = &'a File>,
    check: impl Fn(&File, usize) -> Option<&'static str>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in files {
        let lines = 0..file.text.len();
        wrong.extend(lines.filter_map(|line| Some(file.at(line, check(file, line)?))));
    }
    wrong
}

pub fn unsafe_without_reason(tree: &Tree) -> Vec<String> {
    over_lines(tree.rust(), |file, line| {
        let comment = file.comment_at(line);
        let has_reason = comment.contains("SAFETY: ") || comment.contains("# Safety");
        let code = &file.code[line];
        let promised_by_trait = has_words(code, "unsafe fn") && is_in_trait_impl(file, line);
        let wrong = opens_unsafe(code) && !has_reason && !promised_by_trait;
        wrong.then_some("unsafe without a SAFETY comment above it")
    })
}

/// Whether the line lies in an `impl Trait for Type`, whose methods are documented on the trait.
fn is_in_trait_impl(file: &File, line: usize) -> bool {
    let begins = |code: &&String| {
        let words = ["impl", "unsafe impl", "}"];
        words.iter().any(|word| code.starts_with(word))
    };
    file.code[..line].iter().rev().find(begins).is_some_and(|code| code.contains(" for "))
}

/// Whether an unsafe block, function, trait or impl begins on the line; types and attributes that
/// have the word in them are none.
fn opens_unsafe(code: &str) -> bool {
    has_words(code, "unsafe")
        && !code.contains("unsafe fn(")
        && !code.contains("unsafe extern")
        && !code.contains("unsafe(")
}

pub fn unwrap_without_reason(tree: &Tree) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in tree.src() {
        for (line, code) in file.shipped_code().iter().enumerate() {
            let unwraps = code.contains(".unwrap()") || code.contains(".expect(");
            if unwraps && file.comment_at(line).is_empty() {
                wrong.push(file.at(line, "unwrap or expect without a comment that says why"));
            }
        }
    }
    wrong
}

pub fn feature_off_a_module(tree: &Tree) -> Vec<String> {
    over_lines(tree.src(), |file, line| {
        let code = file.code[line].trim();
        let asks = (code.contains("cfg(") || code.contains("cfg!(")) && has_words(code, "feature");
        let after = file.code[line + 1..].iter().map(|code| code.trim());
        let mut items = after.skip_while(|code| code.is_empty() || code.starts_with("#["));
        let is_module = code.starts_with("#[cfg(") && items.next().is_some_and(declares_module);
        (asks && !is_module).then_some("cfg(feature) on something else than mod or use")
    })
}

fn declares_module(code: &str) -> bool {
    let item = match code.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(')').map_or(rest, |(_, item)| item),
        Some(rest) => rest,
        None => code,
    };
    item.trim_start().starts_with("mod ") || item.trim_start().starts_with("use ")
}

pub fn crate_out_of_place(tree: &Tree) -> Vec<String> {
    over_lines(tree.src(), |file, line| {
        let code = &file.code[line];
        let may_any = file.path == "src/main.rs" || file.is_in("src/cli");
        let is_below = ["src/model", "src/plan", "src/backend"].iter().any(|dir| file.is_in(dir));
        if has_words(code, "anyhow") && !may_any {
            return Some("anyhow in the library; errors are typed there");
        }
        (has_words(code, "tokio") && is_below).then_some("tokio below the layers that serve")
    })
}

pub fn unfinished(tree: &Tree) -> Vec<String> {
    over_lines(tree.rust(), |file, line| {
        let code = &file.code[line];
        let is_stub = has_words(code, "todo!") || has_words(code, "unimplemented!");
        is_stub.then_some("unfinished")
    })
}

pub fn machine_path(tree: &Tree) -> Vec<String> {
    let path = ["/wo", "rk/"].concat();
    over_lines(tree.files.iter(), |file, line| {
        file.text[line].contains(&path).then_some("a path of one machine")
    })
}

pub fn kernel_not_embedded(tree: &Tree) -> Vec<String> {
    let embedded: Vec<&str> = tree.src().flat_map(embedded_paths).collect();
    // Of `kernels`, what is compiled is embedded, and not what it is compiled from.
    let folders = ["shaders", "kernels/generated"];
    let is_kernel = |file: &&File| folders.iter().any(|folder| file.is_in(folder));
    let kernels = tree.files.iter().filter(is_kernel);
    let is_dead = |file: &&File| !embedded.iter().any(|path| path.ends_with(&file.path));
    kernels.filter(is_dead).map(|file| file.at(0, "no include_str! in src names it")).collect()
}

/// The first literal after each `include_str!(` or `include_bytes!(`, on its line or the next.
fn embedded_paths(file: &File) -> Vec<&str> {
    let mut paths = Vec::new();
    for (line, code) in file.code.iter().enumerate() {
        if has_words(code, "include_str!") || has_words(code, "include_bytes!") {
            let near = file.text[line..].iter().take(2);
            let mut literals = near.filter_map(|text| text.split('"').nth(1));
            paths.extend(literals.next());
        }
    }
    paths
}

#[cfg(test)]
fn found(rule: fn(&Tree) -> Vec<String>, path: &str, text: &str) -> usize {
    rule(&Tree::planted(&[(path, text)])).len()
}

#[test]
fn unsafe_without_reason_is_caught() {
    let count = |text| found(unsafe_without_reason, "tests/a.rs", text);
    assert_eq!(count("let a = unsafe { b() };"), 1);
    assert_eq!(count("// Why not.\nunsafe impl Send for A {}"), 1);
    assert_eq!(count("// SAFETY: b.\nc();\nunsafe { d() }"), 1);
    assert_eq!(count("/// # Safety\n/// B.\n#[inline]\npub unsafe fn a() {}"), 0);
    assert_eq!(count("// SAFETY: b.\nlet a =\n    unsafe { b() };"), 0);
    assert_eq!(count("impl A for B {\n    unsafe fn c() {}\n}"), 0);
    assert_eq!(count("impl A for B {\n    unsafe fn c() {\n        unsafe { d() }\n    }\n}"), 1);
    assert_eq!(count("impl A for B {\n}\n\nunsafe fn c() {}"), 1);
    assert_eq!(count("impl B {\n    unsafe fn c() {}\n}"), 1);
    assert_eq!(count("#![allow(unsafe_code)]\n// unsafe\ntype A = unsafe fn(u8);"), 0);
}

#[test]
fn unwrap_without_reason_is_caught() {
    let count = |text| found(unwrap_without_reason, "src/a.rs", text);
    assert_eq!(count("a.unwrap();"), 1);
    assert_eq!(count("a\n    .b()\n    .expect(\"c\");"), 1);
    assert_eq!(count("// Never empty.\na\n    .b()\n    .expect(\"c\");"), 0);
    assert_eq!(count("#[cfg(test)]\nmod tests {\n    a.unwrap();\n}"), 0);
    assert_eq!(found(unwrap_without_reason, "src/a/tests.rs", "a.unwrap();"), 0);
}

#[test]
fn feature_off_a_module_is_caught() {
    let count = |text| found(feature_off_a_module, "src/a.rs", text);
    assert_eq!(count("#[cfg(feature = \"a\")]\nfn b() {}"), 1);
    assert_eq!(count("if cfg!(feature = \"a\") {}"), 1);
    assert_eq!(count("#![cfg(feature = \"a\")]\nmod b;"), 1);
    assert_eq!(count("#[cfg(not(feature = \"a\"))]\n#[path = \"c\"]\npub(super) mod b;"), 0);
    assert_eq!(count("#[cfg(feature = \"a\")]\npub use b::c;"), 0);
    assert_eq!(count("#[target_feature(enable = \"avx2\")]\nfn b() {}"), 0);
}

#[test]
fn crates_out_of_place_are_caught() {
    let text = "use anyhow::Result;\nuse tokio::spawn;";
    assert_eq!(found(crate_out_of_place, "src/plan/a.rs", text), 2);
    assert_eq!(found(crate_out_of_place, "src/bench/a.rs", text), 1);
    assert_eq!(found(crate_out_of_place, "src/cli/a.rs", text), 0);
}

#[test]
fn unfinished_places_are_caught() {
    assert_eq!(found(unfinished, "a.rs", "fn a() { todo!() }\nfn b() { unimplemented!() }"), 2);
    assert_eq!(found(unfinished, "a.rs", "// todo!()"), 0);
    let text = ["see /wo", "rk/a"].concat();
    assert_eq!(found(machine_path, "a.md", &text), 1);
}

#[test]
fn dead_kernels_are_caught() {
    let shaders = [("shaders/a.wgsl", ""), ("shaders/b.wgsl", "")];
    let src = ("src/c.rs", "x(include_str!(\n    \"../shaders/b.wgsl\"\n));");
    let tree = Tree::planted(&[shaders[0], shaders[1], src]);
    assert_eq!(kernel_not_embedded(&tree), ["shaders/a.wgsl:1: no include_str! in src names it"]);
}
