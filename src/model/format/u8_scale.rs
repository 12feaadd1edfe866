//! What one step of a byte stands for, as our own files state it.

use crate::model::U8Scale;

/// That it is not known, said so that a file read back does not derive anything else.
const UNKNOWN: &str = "unknown";

/// The text of a file's entry; no entry says that it is assumed.
pub(super) fn to_text(scale: U8Scale) -> Option<String> {
    match scale {
        U8Scale::Assumed => None,
        scale => Some(scale.value().map_or_else(|| UNKNOWN.to_owned(), |it| it.to_string())),
    }
}

/// What an entry says; `None` where it is neither a number nor the word.
pub(super) fn of_text(text: &str) -> Option<U8Scale> {
    match text {
        UNKNOWN => Some(U8Scale::Unknown),
        number => number.parse().ok().map(U8Scale::File),
    }
}
