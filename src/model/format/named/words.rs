//! The words of a tensor's name: `decoder.fc1_logVar` is decoder, fc, 1, log and var.
//!
//! Words are compared whole, so that `aggregate` does not contain `gate`.

/// The words of a name, in lower case; digits are words of their own.
pub(super) fn words(name: &str) -> Vec<String> {
    let characters: Vec<char> = name.chars().collect();
    let mut words = Vec::new();
    let mut word = String::new();
    for (at, character) in characters.iter().copied().enumerate() {
        let before = at.checked_sub(1).map(|at| characters[at]);
        if before.is_some_and(|before| is_border(before, character, characters.get(at + 1))) {
            words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()));
        }
        if character.is_alphanumeric() {
            word.extend(character.to_lowercase());
        }
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    words
}

/// Whether a word ends before `character`; `next` is what follows that.
fn is_border(before: char, character: char, next: Option<&char>) -> bool {
    let starts_word = next.is_some_and(|next| next.is_lowercase());
    !character.is_alphanumeric()
        || before.is_numeric() != character.is_numeric()
        || before.is_lowercase() && character.is_uppercase()
        || before.is_uppercase() && character.is_uppercase() && starts_word
}

/// Whether the word is a number.
pub(super) fn is_number(word: &str) -> bool {
    word.starts_with(|first: char| first.is_numeric())
}

/// Whether words contain a phrase, such as `log var`, which may be written as one word.
pub(super) fn contains(words: &[String], phrase: &str) -> bool {
    let parts: Vec<&str> = phrase.split(' ').collect();
    let joined = parts.concat();
    words.contains(&joined) || words.windows(parts.len()).any(|window| window == parts)
}

/// Whether words contain one of the phrases.
pub(super) fn contains_any(words: &[String], phrases: &[&str]) -> bool {
    phrases.iter().any(|phrase| contains(words, phrase))
}

/// The parts of a name between dots or slashes.
pub(super) fn path(name: &str) -> Vec<&str> {
    name.split(['.', '/']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_where_readers_see_words() {
        for (name, expected) in [
            ("decoder.fc1_logVar", "decoder fc 1 log var"),
            ("layers.0.W1", "layers 0 w 1"),
            ("QKVProj", "qkv proj"),
            ("netG", "net g"),
            ("weight_ih_l0", "weight ih l 0"),
            ("aggregate", "aggregate"),
            ("dense_1/kernel:0", "dense 1 kernel 0"),
            ("..", ""),
        ] {
            assert_eq!(words(name).join(" "), expected, "{name}");
        }
    }

    #[test]
    fn a_phrase_is_words_in_a_row_or_one_word() {
        for name in ["fc_log_var", "fcLogVar", "fc.logvar", "logVar1"] {
            assert!(contains(&words(name), "log var"), "{name}");
        }
        for name in ["log_fc_var", "logvariance", "catalog.var"] {
            assert!(!contains(&words(name), "log var"), "{name}");
        }
        assert!(contains_any(&words("a_gate"), &["glu", "gate"]));
        assert_eq!((is_number("12"), is_number("a1")), (true, false));
        assert_eq!(path("a.b/c"), ["a", "b", "c"]);
    }
}
