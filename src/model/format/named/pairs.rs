//! Weights and biases whose names differ in the word for the two alone: `W1` and `b1`, `coefs_0`
//! and `intercepts_0`, `weights.0` and `biases.0`.

use std::collections::HashMap;

use super::NamedTensor;
use super::words::words;

const WEIGHTS: [&str; 7] = ["w", "weight", "weights", "kernel", "kernels", "coef", "coefs"];
const BIASES: [&str; 5] = ["b", "bias", "biases", "intercept", "intercepts"];

/// The weights of a file that are named so, by the rest of their names.
#[derive(Debug)]
pub(super) struct Pairs {
    /// `None` where several weights have the same rest.
    weights: HashMap<String, Option<String>>,
}

impl Pairs {
    /// The weights among the tensors that `may_be` one.
    pub(super) fn of(tensors: &[NamedTensor], may_be: impl Fn(&NamedTensor) -> bool) -> Pairs {
        let mut weights = HashMap::new();
        for tensor in tensors.iter().filter(|tensor| tensor.dims.len() == 2 && may_be(tensor)) {
            let Some(rest) = rest(&tensor.name, &WEIGHTS) else { continue };
            let name = tensor.name.strip_suffix(":0").unwrap_or(&tensor.name).to_owned();
            let entry = weights.entry(rest);
            entry.and_modify(|weight| *weight = None).or_insert(Some(name));
        }
        Pairs { weights }
    }

    /// Whether the tensor's name says that it is a weight.
    pub(super) fn is_weight(&self, tensor: &NamedTensor) -> bool {
        rest(&tensor.name, &WEIGHTS).is_some_and(|rest| self.weights.contains_key(&rest))
    }

    /// The name of the weight that the tensor is the bias of, where its own name says so.
    pub(super) fn weight_of(&self, tensor: &NamedTensor) -> Option<&str> {
        if !tensor.is_vector() {
            return None;
        }
        self.weights.get(&rest(&tensor.name, &BIASES)?)?.as_deref()
    }
}

/// A name without the last of its words that is one of these.
fn rest(name: &str, these: &[&str]) -> Option<String> {
    let mut words = words(name.strip_suffix(":0").unwrap_or(name));
    let at = words.iter().rposition(|word| these.contains(&&word[..]))?;
    words[at] = String::from("-");
    Some(words.join(" "))
}
