//! Text as it may stand in a page.

/// Text that stands for itself between tags and within quotes, whatever is in it. Characters that
/// no page may hold, or that turn the order of others around, become spaces.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c if c.is_control() && c != '\n' => safe.push(' '),
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                safe.push(' ');
            }
            c => safe.push(c),
        }
    }
    safe
}

/// An element and the text in it.
pub(super) fn element(tag: &str, text: &str) -> String {
    format!("<{tag}>{}</{tag}>\n", escaped(text))
}

/// Text in at most so many lines of at most so many characters, parted at spaces where there are
/// some; what is longer ends in an ellipsis.
pub(super) fn in_lines(text: &str, chars_max: usize, lines_max: usize) -> Vec<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut rest: Vec<char> = words.join(" ").chars().collect();
    let mut lines: Vec<String> = Vec::new();
    while rest.len() > chars_max && lines.len() + 1 < lines_max {
        let space = rest[..=chars_max].iter().rposition(|c| *c == ' ');
        let tail = rest.split_off(space.unwrap_or(chars_max));
        lines.push(rest.into_iter().collect());
        rest = tail.into_iter().skip_while(|c| *c == ' ').collect();
    }
    if rest.len() > chars_max {
        rest.truncate(chars_max.saturating_sub(1));
        rest.push('\u{2026}');
    }
    lines.push(rest.into_iter().collect());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_a_tag_or_ends_a_quote() {
        assert_eq!(escaped("<a b='\"'>&amp;"), "&lt;a b=&#39;&quot;&#39;&gt;&amp;amp;");
        assert_eq!(escaped("a\0\u{1b}[31m\u{202e}b\nc\td"), "a  [31m b\nc d");
        assert_eq!(element("p", "<"), "<p>&lt;</p>\n");
    }

    #[test]
    fn long_names_are_parted_and_cut() {
        assert_eq!(in_lines("a b", 3, 2), ["a b"]);
        assert_eq!(in_lines("aa bb cc", 5, 2), ["aa bb", "cc"]);
        assert_eq!(in_lines("aa bb cc dd", 5, 2), ["aa bb", "cc dd"]);
        assert_eq!(in_lines("aa bb cc dd", 2, 3), ["aa", "bb", "c\u{2026}"]);
        assert_eq!(in_lines("äöüäöüäöü", 4, 2), ["äöüä", "öüä\u{2026}"]);
        assert_eq!(in_lines("äöüäöüäöü", 4, 3), ["äöüä", "öüäö", "ü"]);
        assert_eq!(in_lines("a bbbbbbbbb", 4, 2), ["a", "bbb\u{2026}"]);
        assert_eq!(in_lines("", 4, 2), [""]);
    }
}
