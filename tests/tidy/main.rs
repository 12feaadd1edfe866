//! Style is a test: reads the project's own files and reports every place that breaks a house rule.
//!
//! Each rule is a function from a file, or from all files, to lines of the form `path:line: what is
//! wrong`. Each has a test that plants a violation in a string and sees it caught.

mod layers;
mod lexer;
mod locks;
mod paths;
mod places;
mod sizes;
mod tree;

use tree::Tree;

/// A rule: everything wrong in the tree, a line each.
type Rule = fn(&Tree) -> Vec<String>;

fn check(rule: Rule) {
    let tree = Tree::of_the_project();
    assert!(tree.files.len() > 20, "the project's files were not found");
    let wrong = rule(&tree);
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn files_functions_and_lines_are_short() {
    check(sizes::long_files);
    check(sizes::long_functions);
    check(sizes::long_lines);
    check(sizes::long_examples);
    check(sizes::long_median);
}

#[test]
fn layers_are_used_one_way() {
    check(layers::against_the_order);
}

#[test]
fn sibling_modules_have_no_cycle() {
    check(layers::cycles);
}

#[test]
fn every_unsafe_gives_its_reason() {
    check(places::unsafe_without_reason);
}

#[test]
fn every_unwrap_in_src_gives_its_reason() {
    check(places::unwrap_without_reason);
}

#[test]
fn features_switch_modules_only() {
    check(places::feature_off_a_module);
}

#[test]
fn crates_stay_in_their_layers() {
    check(places::crate_out_of_place);
}

#[test]
fn nothing_is_unfinished() {
    check(places::unfinished);
}

#[test]
fn no_path_of_a_machine() {
    check(places::machine_path);
}

#[test]
fn every_kernel_is_used() {
    check(places::kernel_not_used);
}

#[test]
fn packages_beside_lock_what_the_library_needs() {
    let library = locks::read("Cargo.toml");
    let wrong = locks::PACKAGES.map(|folder| {
        let [lock, manifest] = ["Cargo.lock", "Cargo.toml"].map(|file| format!("{folder}/{file}"));
        locks::behind(folder, &locks::read(&lock), &locks::read(&manifest), &library)
    });
    assert!(wrong.concat().is_empty(), "\n{}\n", wrong.concat().join("\n"));
}
