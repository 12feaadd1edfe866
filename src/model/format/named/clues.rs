//! What names say against one chain of layers: adapters, attention, gates, second networks.
//!
//! A file of weights alone does not say how its layers are connected. Where names say that they are
//! not one chain, reading them as one would give other numbers than the network's, without a word.
//! Such a file is read if the caller names the layers in their order.
//!
//! Names are compared by whole words. Where one name alone says little (`mu`, `value`, `target`), a
//! second one that is known to stand beside it is needed.

use std::collections::HashSet;

use super::copies;
use super::modules::{Grouped, Module};
use super::seen::{Clue, Seen};
use super::words::{contains, contains_any, is_number, path, words};
use super::{Format, ModelError, SAY_ORDER, listed};

/// Refuses tensors whose names say that they are not one chain of layers.
///
/// # Errors
/// [`ModelError::Undeclared`] with the names, and what they say.
pub(super) fn check(format: Format, grouped: &Grouped) -> Result<(), ModelError> {
    let all = seen(grouped);
    let layers: Vec<&Seen<'_>> = all.iter().filter(|one| one.dims.is_some()).collect();
    let everything: Vec<&Seen<'_>> = all.iter().collect();
    let clue = phrases(&everything)
        .or_else(|| within(&everything))
        .or_else(|| siblings(&layers))
        .or_else(|| families(&layers))
        .or_else(|| parallel(&layers))
        .or_else(|| embeddings(&layers))
        .or_else(|| copies::find(&layers))
        .or_else(|| bare(&layers));
    match clue {
        None => Ok(()),
        Some((names, what)) => {
            let what = format!("that its layers are one chain: {} {what}", listed(&names));
            Err(ModelError::undeclared(format, what, format!("if they are, {SAY_ORDER}")))
        }
    }
}

fn seen(grouped: &Grouped) -> Vec<Seen<'_>> {
    let modules = grouped.modules.iter().map(|module| (&module.name[..], Some(module)));
    let others = grouped.others.iter().flat_map(|other| &other.tensors);
    let named: Vec<(&str, Option<&Module>)> =
        modules.chain(others.map(|(name, _)| (&name[..], None))).collect();
    let names: Vec<&str> = named.iter().map(|(name, _)| *name).collect();
    let common = common_parts(&names);
    named.into_iter().map(|(name, module)| Seen::new(name, module, common)).collect()
}

/// How many parts all names begin with, without the last of any.
fn common_parts(names: &[&str]) -> usize {
    let mut paths = names.iter().map(|name| path(name));
    let Some(mut common) = paths.next() else { return 0 };
    common.pop();
    for path in paths {
        let same = common.iter().zip(&path[..path.len() - 1]).take_while(|(a, b)| a == b);
        let same = same.count();
        common.truncate(same);
    }
    common.len()
}

/// Words of what is added to another layer's weight.
const ADAPTERS: [&str; 7] = ["lora", "loha", "lokr", "dora", "adapter", "adapters", "base layer"];

/// Whether a name says that it belongs to an adapter.
pub(in crate::model::format) fn says_adapter(name: &str) -> bool {
    contains_any(&words(name), &ADAPTERS)
}

/// Names that tell by themselves.
fn phrases<'n>(seen: &[&Seen<'n>]) -> Clue<'n> {
    const PHRASES: [(&[&str], &str); 7] = [
        (&ADAPTERS, "belong to adapters of other layers; merge them before saving"),
        (
            &[
                "qkv",
                "attn",
                "attention",
                "mha",
                "multi head",
                "q proj",
                "k proj",
                "v proj",
                "to q",
                "to k",
                "to v",
                "to kv",
                "wq",
                "wk",
                "wv",
            ],
            "belong to attention",
        ),
        (
            &["gate", "gates", "gated", "gating", "glu", "swiglu", "geglu", "reglu", "highway"],
            "belong to gates, which multiply what other layers give",
        ),
        (&["rnn", "lstm", "gru"], "belong to recurrent layers"),
        (
            &["log var", "log variance", "log std", "log sigma"],
            "give a variance beside another layer's mean",
        ),
        (&["experts", "moe", "router"], "belong to experts that run side by side"),
        (
            &["residual", "shortcut", "skip", "res block"],
            "belong to a sum of two branches, not to a chain",
        ),
    ];
    PHRASES.iter().find_map(|(phrases, what)| {
        let tells = |one: &&&Seen<'n>| contains_any(&one.words, phrases);
        let names: Vec<&str> = seen.iter().filter(tells).map(|one| one.name).collect();
        (!names.is_empty()).then_some((names, *what))
    })
}

/// Tensors under the name of a layer, which they belong to, but for its weight and bias.
fn within<'n>(seen: &[&Seen<'n>]) -> Clue<'n> {
    let layers: HashSet<&str> =
        seen.iter().filter(|one| one.dims.is_some()).map(|one| one.name).collect();
    let is_within = |one: &&&Seen<'n>| {
        let borders = one.name.match_indices(['.', '/']);
        borders.into_iter().any(|(at, _)| layers.contains(&one.name[..at]))
    };
    let names: Vec<&str> = seen.iter().filter(is_within).map(|one| one.name).collect();
    (!names.is_empty()).then_some((names, "stand under a layer's own name, and belong to it"))
}

/// Layers whose names differ in one word, where the two words are known as a pair.
fn siblings<'n>(layers: &[&Seen<'n>]) -> Clue<'n> {
    const MEANS: [&str; 4] = ["mu", "mean", "means", "loc"];
    const SPREADS: [&str; 6] = ["sigma", "std", "stddev", "var", "variance", "rho"];
    const PAIRS: [(&[&str], &[&str], &str); 8] = [
        (&["q"], &["k", "v", "kv"], "are queries, keys and values of attention"),
        (&["k"], &["v"], "are queries, keys and values of attention"),
        (&["query"], &["key", "value"], "are queries, keys and values of attention"),
        (&["key"], &["value"], "are queries, keys and values of attention"),
        (&["queries"], &["keys", "values"], "are queries, keys and values of attention"),
        (&["keys"], &["values"], "are queries, keys and values of attention"),
        (&MEANS, &SPREADS, "give a mean and a variance side by side"),
        (&["left"], &["right"], "are two sides, which run side by side"),
    ];
    let differs = |a: &Seen<'_>, b: &Seen<'_>, firsts: &[&str], seconds: &[&str]| {
        let mut different = a.words.iter().zip(&b.words).filter(|(a, b)| a != b);
        let pair = different.next().filter(|_| different.next().is_none());
        a.words.len() == b.words.len()
            && pair.is_some_and(|(a, b)| firsts.contains(&&a[..]) && seconds.contains(&&b[..]))
    };
    PAIRS.iter().find_map(|(firsts, seconds, what)| {
        let says = |one: &&&Seen<'_>, these: &[&str]| contains_any(&one.words, these);
        let first: Vec<_> = layers.iter().filter(|one| says(one, firsts)).collect();
        let second: Vec<_> = layers.iter().filter(|one| says(one, seconds)).collect();
        let pairs = first.iter().flat_map(|a| second.iter().map(move |b| (a, b)));
        let mut pairs = pairs.filter(|(a, b)| differs(a, b, firsts, seconds));
        pairs.next().map(|(a, b)| (vec![a.name, b.name], *what))
    })
}

/// Layers of two networks, or of two heads, that are known to stand side by side.
fn families<'n>(layers: &[&Seen<'n>]) -> Clue<'n> {
    const FAMILIES: [(&[&str], &[&str]); 6] = [
        (
            &["actor", "policy", "pi", "action"],
            &["critic", "value", "vf", "qf", "q", "v", "advantage"],
        ),
        (&["advantage", "adv"], &["value", "val", "v"]),
        (&["generator", "gen", "net g"], &["discriminator", "disc", "net d"]),
        (&["student"], &["teacher"]),
        (&["online"], &["target"]),
        (&["aux", "auxiliary"], &["head", "classifier", "out", "output", "logits"]),
    ];
    const HEADS: [&str; 5] = ["value head", "policy head", "actor head", "critic head", "aux head"];
    // A name that says both, such as `actor_critic.0`, tells nothing.
    let beside = |these: &[&str], those: &[&str]| {
        let is = |one: &Seen<'n>, of: &[&str], not: &[&str]| {
            contains_any(&one.words, of) && !contains_any(&one.words, not)
        };
        let first = layers.iter().find(|one| is(one, these, those))?;
        let second = layers.iter().find(|one| is(one, those, these))?;
        Some((vec![first.name, second.name], "are heads or networks side by side"))
    };
    let family = FAMILIES.iter().find_map(|(firsts, seconds)| beside(firsts, seconds));
    family.or_else(|| {
        HEADS.iter().find_map(|head| {
            let first = layers.iter().find(|one| contains(&one.words, head))?;
            let is_other =
                |one: &&&Seen<'n>| contains(&one.words, "head") && !contains(&one.words, head);
            let second = layers.iter().find(is_other)?;
            Some((vec![first.name, second.name], "are heads side by side"))
        })
    })
}

/// Branches, towers and members of an ensemble, by their numbers or names.
fn parallel<'n>(layers: &[&Seen<'n>]) -> Clue<'n> {
    LISTS.iter().chain(&SIDES).chain(&TWINS).find_map(|word| {
        let mut keys = layers.iter().filter_map(|one| Some((one.side(word)?, one.name)));
        let (first, name) = keys.next()?;
        let (_, other) = keys.find(|(key, _)| *key != first)?;
        Some((vec![name, other], "are branches side by side"))
    })
}

/// Lists of parts that run side by side: the number behind the word says which.
const LISTS: [&str; 8] =
    ["branches", "towers", "streams", "critics", "actors", "heads", "estimators", "ensemble"];
/// Parts that run side by side, numbered or named: `branch1`, `user_tower`.
const SIDES: [&str; 4] = ["branch", "tower", "stream", "expert"];
/// Networks that come in twos, numbered: `q1.0` and `q2.0`.
const TWINS: [&str; 4] = ["q", "qf", "critic", HEAD];
/// A head is named by what it gives: `class_head`.
const HEAD: &str = "head";

impl Seen<'_> {
    /// Which of several that run side by side, and have this word in their names, it belongs to.
    fn side(&self, word: &str) -> Option<String> {
        let parts: Vec<Vec<String>> = self.path.iter().map(|part| words(part)).collect();
        let at = parts.iter().position(|part| part.iter().any(|one| one == word))?;
        let is_last = at + 1 == parts.len();
        let part = &parts[at];
        let place = part.iter().position(|one| one == word)?;
        if let (true, [_], Some(next)) = (LISTS.contains(&word), &part[..], self.path.get(at + 1)) {
            return Some((*next).to_owned());
        }
        let is_named = word == HEAD || SIDES.contains(&word);
        match &part[..] {
            [name, _] if place == 1 && is_named && !is_number(name) => Some(name.clone()),
            _ => {
                let next = part.get(place + 1)?;
                let is_network = !is_last || part.len() > place + 2;
                let counts = is_number(next) || next.chars().count() == 1;
                (counts && (is_network || SIDES.contains(&word))).then(|| next.clone())
            }
        }
    }
}

/// Embeddings: tables that are looked up, stored like weights without biases.
fn embeddings<'n>(layers: &[&Seen<'n>]) -> Clue<'n> {
    const NAMES: [&str; 10] = [
        "embedding",
        "embeddings",
        "embed",
        "emb",
        "wte",
        "wpe",
        "codebook",
        "prototypes",
        "centers",
        "centroids",
    ];
    let is_table = |one: &&&Seen<'n>| !one.has_bias && contains_any(&one.words, &NAMES);
    let names: Vec<&str> = layers.iter().filter(is_table).map(|one| one.name).collect();
    let what = "have no biases and may be tables, of an embedding or the like";
    (!names.is_empty()).then_some((names, what))
}

/// Matrices that could be something else than a layer's weight.
fn bare<'n>(layers: &[&Seen<'n>]) -> Clue<'n> {
    let (bare, named): (Vec<&Seen<'n>>, Vec<&Seen<'n>>) =
        layers.iter().copied().partition(|one| one.is_bare);
    if let Some(first) = bare.first().filter(|_| !named.is_empty()) {
        return Some((vec![first.name], "is a matrix, and not named like the layers beside it"));
    }
    let could_be_bias = |one: &Seen<'n>, of: &Seen<'n>| {
        let (Some([1, n] | [n, 1]), Some(dims)) = (one.dims, of.dims) else { return false };
        one.name != of.name && !of.has_bias && dims.contains(n)
    };
    let vector = bare.iter().find(|one| layers.iter().any(|of| could_be_bias(one, of)))?;
    Some((vec![vector.name], "may be a layer, or the bias of another"))
}
