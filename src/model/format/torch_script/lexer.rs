//! The words of the code: the lexis of Python, as far as TorchScript's printer uses it.

use super::place;
use crate::model::{Format, ModelError};

/// The most bytes of one name; the longest of a real archive has a tenth.
const NAME_BYTES_MAX: usize = 1 << 10;

/// A word of the code.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'a> {
    Name(&'a str),
    /// An integer without its sign.
    Int(u64),
    Float(f64),
    Text(String),
    /// `(`, `,` and the like.
    Mark(char),
    /// `->`
    Arrow,
    /// The end of a line that is no blank one, outside of brackets.
    Line,
    /// The next line stands deeper than the one before it.
    Indent,
    /// It stands less deep; one for each depth that ends.
    Dedent,
    End,
}

/// The words of one file, one after the other.
pub(super) struct Lexer<'a> {
    file: &'a str,
    rest: &'a str,
    /// The line that `rest` begins on, and the one that the last word stands on.
    next_line: u32,
    line: u32,
    /// Brackets that are open: within them, line ends and indents say nothing.
    brackets: usize,
    /// The indents of the blocks that are open.
    indents: Vec<usize>,
    /// Whether the next word is the first of its line.
    begins_line: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(file: &'a str, text: &'a str) -> Lexer<'a> {
        let indents = Vec::new();
        Lexer { file, rest: text, next_line: 1, line: 1, brackets: 0, indents, begins_line: true }
    }

    /// The line that the last word stands on, from 1.
    pub(super) fn line(&self) -> u32 {
        self.line
    }

    pub(super) fn next(&mut self) -> Result<Token<'a>, ModelError> {
        if self.begins_line
            && let Some(token) = self.indent()?
        {
            return Ok(token);
        }
        self.skip_blanks();
        self.line = self.next_line;
        let Some(first) = self.rest.chars().next() else { return Ok(self.end()) };
        match first {
            '\n' => {
                self.rest = &self.rest[1..];
                self.next_line += 1;
                self.begins_line = true;
                Ok(Token::Line)
            }
            '"' | '\'' => self.text(first),
            '0'..='9' => self.number(),
            '.' if self.rest[1..].starts_with(|c: char| c.is_ascii_digit()) => self.number(),
            c if is_word(c) => self.name(),
            '-' if self.rest.starts_with("->") => {
                self.rest = &self.rest[2..];
                Ok(Token::Arrow)
            }
            c if c.is_ascii_punctuation() => {
                match c {
                    '(' | '[' | '{' => self.brackets += 1,
                    ')' | ']' | '}' => self.brackets = self.brackets.saturating_sub(1),
                    _ => {}
                }
                self.rest = &self.rest[1..];
                Ok(Token::Mark(c))
            }
            other => Err(self.malformed("code", format!("{other:?}"))),
        }
    }

    /// What the beginning of a line says: a block opens or closes, or nothing.
    fn indent(&mut self) -> Result<Option<Token<'a>>, ModelError> {
        let mut blanks;
        loop {
            let content = self.rest.trim_start_matches(' ');
            blanks = self.rest.len() - content.len();
            match content.as_bytes().first() {
                Some(b'\n') => {
                    self.rest = &content[1..];
                    self.next_line += 1;
                }
                Some(b'#') => self.rest = content.trim_start_matches(|c| c != '\n'),
                Some(_) => break,
                None => return Ok(None),
            }
        }
        self.line = self.next_line;
        let depth = self.indents.last().copied().unwrap_or(0);
        if blanks > depth {
            self.indents.push(blanks);
            self.begins_line = false;
            return Ok(Some(Token::Indent));
        }
        if blanks < depth {
            self.indents.pop();
            if self.indents.last().copied().unwrap_or(0) < blanks {
                return Err(self.malformed("an indent that was there before", blanks));
            }
            return Ok(Some(Token::Dedent));
        }
        self.begins_line = false;
        Ok(None)
    }

    fn skip_blanks(&mut self) {
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', '\r']);
            if self.rest.starts_with('#') {
                self.rest = self.rest.trim_start_matches(|c| c != '\n');
            } else if self.brackets > 0 && self.rest.starts_with('\n') {
                self.rest = &self.rest[1..];
                self.next_line += 1;
            } else {
                return;
            }
        }
    }

    /// The end: of the last line, of each block, and then of the file.
    fn end(&mut self) -> Token<'a> {
        if !self.begins_line {
            self.begins_line = true;
            return Token::Line;
        }
        self.indents.pop().map_or(Token::End, |_| Token::Dedent)
    }

    fn name(&mut self) -> Result<Token<'a>, ModelError> {
        let length = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
        if length > NAME_BYTES_MAX {
            let what = format!("bytes of a name at {}", place(self.file, self.next_line));
            return Err(ModelError::too_large(what, NAME_BYTES_MAX, length));
        }
        let (name, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok(Token::Name(name))
    }

    fn number(&mut self) -> Result<Token<'a>, ModelError> {
        let mut end = 0;
        for (at, c) in self.rest.char_indices() {
            let is_sign = matches!(c, '+' | '-') && self.rest[..at].ends_with(['e', 'E']);
            if !is_word(c) && c != '.' && !is_sign {
                break;
            }
            end = at + c.len_utf8();
        }
        let (digits, rest) = self.rest.split_at(end);
        self.rest = rest;
        if digits.bytes().all(|byte| byte.is_ascii_digit()) {
            let int =
                digits.parse().map_err(|_| self.malformed("an integer of 64 bits", "more"))?;
            return Ok(Token::Int(int));
        }
        // Rust's own parser takes "1." and "1e-05", and no name such as "inf" begins with a digit.
        digits.parse().map(Token::Float).map_err(|_| self.malformed("a number", "none"))
    }

    /// A text between quotes; what a `\` stands before is kept as it is but for quotes, line ends
    /// and the `\` itself: no model depends on the others.
    fn text(&mut self, quote: char) -> Result<Token<'a>, ModelError> {
        let mut text = String::new();
        let mut chars = self.rest[1..].char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\n' => break,
                '\\' => match chars.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, c @ ('\\' | '"' | '\''))) => text.push(c),
                    Some((_, c)) => text.extend(['\\', c]),
                    None => break,
                },
                c if c == quote => {
                    self.rest = &self.rest[1 + at + 1..];
                    return Ok(Token::Text(text));
                }
                c => text.push(c),
            }
        }
        Err(self.malformed(format!("a closing {quote}"), "the end of the line"))
    }

    /// The error of a word that is none.
    pub(super) fn malformed(
        &self,
        expected: impl std::fmt::Display,
        got: impl std::fmt::Display,
    ) -> ModelError {
        let at = place(self.file, self.next_line);
        ModelError::malformed(Format::TorchScript, at, expected, got)
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<Vec<Token<'_>>, ModelError> {
        let mut lexer = Lexer::new("f.py", text);
        let mut tokens = Vec::new();
        loop {
            match lexer.next()? {
                Token::End => return Ok(tokens),
                token => tokens.push(token),
            }
        }
    }

    #[test]
    fn words_by_hand() {
        use Token::{Arrow, Float, Int, Line, Mark, Name, Text};
        let table: [(&str, Vec<Token>); 6] = [
            ("a._0", vec![Name("a"), Mark('.'), Name("_0"), Line]),
            ("1 1. .5 1e-05", vec![Int(1), Float(1.0), Float(0.5), Float(1e-5), Line]),
            ("18446744073709551615", vec![Int(u64::MAX), Line]),
            ("-> - # all\n\n#b", vec![Arrow, Mark('-'), Line]),
            (r#""a\"\\\n\t" 'b"'"#, vec![Text("a\"\\\n\\t".into()), Text("b\"".into()), Line]),
            ("(\n  a,\n)", vec![Mark('('), Name("a"), Mark(','), Mark(')'), Line]),
        ];
        for (text, expected) in table {
            assert_eq!(words(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn blocks_open_and_close() {
        use Token::{Dedent, Indent, Line, Name};
        let text = "a\n  b\n\n    c\n # d\nd\n   e";
        let expected = [
            vec![Name("a"), Line, Indent, Name("b"), Line, Indent, Name("c"), Line, Dedent],
            vec![Dedent, Name("d"), Line, Indent, Name("e"), Line, Dedent],
        ];
        assert_eq!(words(text).unwrap(), expected.concat());
        let error = words("a\n    b\n  c").unwrap_err().to_string();
        assert_eq!(error, "torchscript: f.py:3: expected an indent that was there before, got 2");
    }

    #[test]
    fn what_is_no_word_is_an_error_of_its_line() {
        for (text, part) in [
            ("\n\"a\nb\"", "f.py:2: expected a closing \""),
            ("\"a\\", "f.py:1: expected a closing \""),
            ("18446744073709551616", "expected an integer of 64 bits"),
            ("1.2.3", "expected a number"),
            ("1j", "expected a number"),
            ("\u{7f}", "expected code, got '\\u{7f}'"),
            ("\u{a0}", "expected code, got '\\u{a0}'"),
            (&"n".repeat(NAME_BYTES_MAX + 1), "bytes of a name"),
        ] {
            let error = words(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text:.20}: {error}");
        }
    }
}
