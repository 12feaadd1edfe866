//! Just enough of Rust's (and WGSL's, and CUDA's) lexis to tell code from comments and literals.

/// The code of a text, and its comments: each the text with all else made spaces, and literals made
/// spaces in both. Line breaks stay, so that lines keep their numbers.
pub fn split(text: &str) -> (String, String) {
    let chars: Vec<char> = text.chars().collect();
    let (mut code, mut comments) = (String::new(), String::new());
    let mut at = 0;
    while at < chars.len() {
        let end = end_of_blank(&chars, at);
        let is_comment = chars[at] == '/' && end > at;
        for c in &chars[at..end.max(at + 1)] {
            let keep = |wanted: bool| if wanted || *c == '\n' { *c } else { ' ' };
            code.push(keep(end == at));
            comments.push(keep(is_comment));
        }
        at = end.max(at + 1);
    }
    (code, comments)
}

/// Where the comment or literal that begins at `at` ends; `at` itself where none begins there.
fn end_of_blank(chars: &[char], at: usize) -> usize {
    let next = chars.get(at + 1).copied();
    let begins_word = at == 0 || !is_word(chars[at - 1]);
    match chars[at] {
        '/' if next == Some('/') => position(chars, at, |rest| rest[0] == '\n'),
        '/' if next == Some('*') => end_of_block_comment(chars, at),
        '"' => end_of_string(chars, at + 1, '"'),
        '\'' => end_of_char(chars, at),
        'r' if begins_word => end_of_raw_string(chars, at),
        'b' if begins_word && next == Some('r') => match end_of_raw_string(chars, at + 1) {
            end if end == at + 1 => at,
            end => end,
        },
        _ => at,
    }
}

/// The first place from `at` on where `found` is true of the rest; the end where there is none.
fn position(chars: &[char], at: usize, found: impl Fn(&[char]) -> bool) -> usize {
    (at..chars.len()).find(|place| found(&chars[*place..])).unwrap_or(chars.len())
}

fn end_of_block_comment(chars: &[char], at: usize) -> usize {
    let mut depth = 0;
    let mut place = at;
    while place < chars.len() {
        match &chars[place..] {
            ['/', '*', ..] => depth += 1,
            ['*', '/', ..] if depth == 1 => return place + 2,
            ['*', '/', ..] => depth -= 1,
            _ => {
                place += 1;
                continue;
            }
        }
        place += 2;
    }
    chars.len()
}

/// The place after the closing quote of a literal whose content begins at `at`.
fn end_of_string(chars: &[char], mut at: usize, quote: char) -> usize {
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// A character literal is blanked; a lifetime is not.
fn end_of_char(chars: &[char], at: usize) -> usize {
    match &chars[at..] {
        ['\'', '\\', ..] => end_of_string(chars, at + 1, '\''),
        ['\'', _, '\'', ..] => at + 3,
        _ => at,
    }
}

fn end_of_raw_string(chars: &[char], at: usize) -> usize {
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    let quote = at + 1 + hashes;
    if chars.get(quote) != Some(&'"') {
        return at;
    }
    let closing: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    (position(chars, quote + 1, |rest| rest.starts_with(&closing)) + 1 + hashes).min(chars.len())
}

/// Whether the character can be part of a name.
pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether the words of `phrase`, as words, stand somewhere in the line.
pub fn has_words(line: &str, phrase: &str) -> bool {
    line.match_indices(phrase).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + phrase.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// The last line of the item that begins on line `start` of blanked code: where its braces close,
/// or where a `;` ends it before any was opened.
pub fn end_of_item(code: &[String], start: usize) -> usize {
    let mut depth = 0_i32;
    for (line, text) in code.iter().enumerate().skip(start) {
        for c in text.chars() {
            match c {
                '{' | '(' | '[' => depth += 1,
                '}' | ')' | ']' => depth -= 1,
                _ => {}
            }
            if depth == 0 && (c == '}' || c == ';') {
                return line;
            }
        }
    }
    code.len() - 1
}

#[test]
fn code_and_comments_are_told_apart() {
    let code = |text| split(text).0.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(code("a // b\nc"), "a c");
    assert_eq!(code("a /* b /* c */ d */ e"), "a e");
    assert_eq!(code(r#"f("{\"}") }"#), "f( ) }");
    assert_eq!(code("'{' 'a: '\\'' &'a x"), "'a: &'a x");
    assert_eq!(code("r#\"} \" }\"# bar br\"{\" r \"}"), "bar r");
    let comments = |text| split(text).1.trim().to_owned();
    assert_eq!(comments("a // b"), "// b");
    assert_eq!(comments("\"// a\" '/' b / c"), "");
    assert_eq!(split("\"a\nb\" c"), ("  \n   c".to_owned(), "  \n    ".to_owned()));
}

#[test]
fn words_are_found_as_words() {
    assert!(has_words("x = unsafe { y }", "unsafe"));
    assert!(!has_words("unsafe_code", "unsafe"));
    assert!(!has_words("not_unsafe", "unsafe"));
}

#[test]
fn items_end_where_their_braces_close() {
    let code: Vec<String> =
        ["#[x]", "fn a([u8; 4]) {", "{}", "}", "use b;"].map(str::to_owned).into();
    assert_eq!(end_of_item(&code, 0), 3);
    assert_eq!(end_of_item(&code, 4), 4);
}
