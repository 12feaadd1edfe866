//! Layers of a second network: a target, a teacher, an average of the weights.
//!
//! Such a copy has the shapes of the network that it is a copy of, and names that differ in a word.

use std::collections::BTreeMap;

use super::seen::{Clue, Seen};
use super::words::{is_number, words};

/// Words that say which of two networks of the same shapes it is.
const MARKS: [&str; 19] = [
    "target", "targets", "teacher", "ema", "swa", "old", "shadow", "copy", "backup", "bak", "avg",
    "averaged", "average", "momentum", "polyak", "prev", "previous", "clone", "slow",
];

/// Words that say no more than that something is a network.
const NETWORKS: [&str; 16] = [
    "net", "network", "networks", "nn", "model", "module", "encoder", "decoder", "backbone",
    "policy", "mlp", "q", "critic", "actor", "weights", "params",
];

/// Words that say that it is the network which another one is a copy of.
const ORIGINALS: [&str; 8] =
    ["online", "main", "local", "current", "eval", "student", "source", "live"];

/// Parts of one network that may have the same shapes, and come one after the other.
const IN_A_ROW: [&str; 6] = ["encoder", "decoder", "first", "second", "hidden", "output"];

const WHAT: &str = "are layers of two networks, one a copy of the other";

/// Layers of two networks, where names say so.
pub(super) fn find<'n>(layers: &[&Seen<'n>]) -> Clue<'n> {
    marked_network(layers).or_else(|| marked_layer(layers)).or_else(|| same_prefixes(layers))
}

/// A network with a mark, such as `target_net.0`, beside layers that are not in it.
fn marked_network<'n>(layers: &[&Seen<'n>]) -> Clue<'n> {
    let is_marked = |one: &Seen<'_>| {
        one.path[..one.path.len() - 1].iter().any(|part| {
            let words = words(part);
            let (marks, rest): (Vec<_>, Vec<_>) = words.iter().partition(|word| is_mark(word));
            let says_network = |word: &String| is_number(word) || NETWORKS.contains(&&word[..]);
            !marks.is_empty() && rest.into_iter().all(says_network)
        })
    };
    let marked = layers.iter().find(|one| is_marked(one))?;
    let other = layers.iter().find(|one| !is_marked(one))?;
    Some((vec![marked.name, other.name], WHAT))
}

/// Two layers of the same shape whose names differ in a mark.
fn marked_layer<'n>(layers: &[&Seen<'n>]) -> Clue<'n> {
    let is_marked = |one: &Seen<'_>| one.words.iter().any(|word| is_mark(word));
    layers.iter().filter(|one| is_marked(one)).find_map(|marked| {
        let own = own_words(marked);
        let is_original =
            |one: &&&Seen<'n>| !is_marked(one) && one.dims == marked.dims && own_words(one) == own;
        let original = layers.iter().find(is_original)?;
        Some((vec![marked.name, original.name], WHAT))
    })
}

fn is_mark(word: &str) -> bool {
    MARKS.contains(&word)
}

/// The words of a name that do not say which network it is in.
fn own_words<'s>(one: &'s Seen<'_>) -> Vec<&'s str> {
    let is_own =
        |word: &&str| !is_mark(word) && !NETWORKS.contains(word) && !ORIGINALS.contains(word);
    one.words.iter().map(|word| &word[..]).filter(is_own).collect()
}

/// Two or more layers of the same names and shapes under two prefixes that differ in more than
/// numbers.
fn same_prefixes<'n>(layers: &[&Seen<'n>]) -> Clue<'n> {
    /// A layer below its prefix: the rest of its name, and its shape.
    type Below<'n> = (Vec<&'n str>, Option<&'n [usize]>);
    let mut prefixes: BTreeMap<&str, Vec<(Below<'n>, &'n str)>> = BTreeMap::new();
    for one in layers {
        if let [prefix, rest @ ..] = &one.path[..] {
            let below = ((rest.to_vec(), one.dims), one.name);
            prefixes.entry(prefix).or_default().push(below);
        }
    }
    // Prefixes with the same layers below come one after the other.
    let mut sorted: Vec<(Vec<Below<'n>>, &str, &'n str)> = prefixes
        .into_iter()
        .filter(|(prefix, below)| below.len() > 1 && !is_in_a_row(prefix))
        .map(|(prefix, mut below)| {
            below.sort();
            let name = below[0].1;
            (below.into_iter().map(|(below, _)| below).collect(), prefix, name)
        })
        .collect();
    sorted.sort();
    let is_copy = |pair: &&[(Vec<Below<'n>>, &str, &'n str)]| {
        pair[0].0 == pair[1].0 && text(pair[0].1) != text(pair[1].1)
    };
    let pair = sorted.windows(2).find(is_copy)?;
    Some((vec![pair[0].2, pair[1].2], "are layers of two networks with the same shapes"))
}

fn is_in_a_row(prefix: &str) -> bool {
    words(prefix).iter().all(|word| is_number(word) || IN_A_ROW.contains(&&word[..]))
}

/// The words of a name that are no numbers.
fn text(name: &str) -> Vec<String> {
    words(name).into_iter().filter(|word| !is_number(word)).collect()
}
