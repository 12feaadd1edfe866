//! Files of code to what they define: statements, functions and classes.

use std::collections::HashMap;
use std::fmt::Display;
use std::rc::Rc;

use super::lexer::{Lexer, Token};
use super::syntax::{Expr, File, Function, If, Item, Kind, Parameter, Statement};
use crate::model::{Format, ModelError};

/// How deep expressions and blocks may nest; the printer keeps to a tenth.
pub(super) const DEPTH_MAX: usize = 64;
/// The most expressions and statements of an archive. A layer with its normalisation and its
/// activation has about a hundred.
const NODES_MAX: usize = 1 << 18;

/// Reads a file; `nodes` counts the expressions and statements of all files of the archive.
pub(super) fn parse(file: &str, text: &str, nodes: &mut usize) -> Result<File, ModelError> {
    let mut parser = Parser::new(file, text, nodes)?;
    let mut items = HashMap::new();
    while parser.token != Token::End {
        let (name, item) = parser.item()?;
        items.insert(name, item);
    }
    Ok(items)
}

/// A file that is being read: one word is looked ahead at.
pub(super) struct Parser<'a, 'n> {
    lexer: Lexer<'a>,
    pub(super) token: Token<'a>,
    file: Rc<str>,
    depth: usize,
    nodes: &'n mut usize,
}

impl<'a, 'n> Parser<'a, 'n> {
    pub(super) fn new(
        file: &'a str,
        text: &'a str,
        nodes: &'n mut usize,
    ) -> Result<Parser<'a, 'n>, ModelError> {
        let mut lexer = Lexer::new(file, text);
        Ok(Parser { token: lexer.next()?, lexer, file: Rc::from(file), depth: 0, nodes })
    }

    fn item(&mut self) -> Result<(Rc<str>, Item), ModelError> {
        if self.takes_name("def")? {
            let function = self.function()?;
            return Ok((Rc::clone(&function.name), Item::Function(function)));
        }
        if !self.takes_name("class")? {
            return Err(self.expected("a class or a function"));
        }
        let name = self.name()?;
        if self.takes('(')? {
            self.expressions(')')?;
        }
        self.mark(':')?;
        let mut methods = HashMap::new();
        for function in self.block(Parser::member)?.into_iter().flatten() {
            methods.insert(Rc::clone(&function.name), function);
        }
        Ok((name, Item::Class(Rc::new(methods))))
    }

    /// A method, or a statement on attributes, which the pickle states again.
    fn member(&mut self) -> Result<Option<Rc<Function>>, ModelError> {
        if self.takes_name("def")? {
            return self.function().map(Some);
        }
        self.statement().map(|_| None)
    }

    fn function(&mut self) -> Result<Rc<Function>, ModelError> {
        let line = self.lexer.line();
        let name = self.name()?;
        self.mark('(')?;
        let mut parameters = Vec::new();
        while !self.takes(')')? {
            // A star says that what comes after it is only given by name.
            if !self.takes('*')? {
                parameters.push(self.parameter()?);
            }
            if !self.takes(',')? && self.token != Token::Mark(')') {
                return Err(self.expected("',' or ')'"));
            }
        }
        if self.token == Token::Arrow {
            self.advance()?;
            self.expression()?;
        }
        self.mark(':')?;
        let body = self.block(Parser::statement)?;
        let file = Rc::clone(&self.file);
        Ok(Rc::new(Function { file, name, line, parameters, body }))
    }

    fn parameter(&mut self) -> Result<Parameter, ModelError> {
        let name = self.name()?;
        let kind = if self.takes(':')? { Some(self.expression()?) } else { None };
        let is_tensor = kind.is_some_and(|kind| kind == Expr::Name(Rc::from("Tensor")));
        let default = if self.takes('=')? { Some(self.expression()?) } else { None };
        Ok(Parameter { name, is_tensor, default })
    }

    /// Lines that stand deeper than the one before them; a class may have none.
    fn block<T>(
        &mut self,
        mut one: impl FnMut(&mut Self) -> Result<T, ModelError>,
    ) -> Result<Vec<T>, ModelError> {
        self.line_end()?;
        let mut all = Vec::new();
        if self.token != Token::Indent {
            return Ok(all);
        }
        self.advance()?;
        self.deeper()?;
        while self.token != Token::Dedent {
            all.push(one(self)?);
        }
        self.depth -= 1;
        self.advance()?;
        Ok(all)
    }

    fn statement(&mut self) -> Result<Statement, ModelError> {
        self.count()?;
        let line = self.lexer.line();
        let kind = match self.token {
            Token::Name("if") => return self.condition(line),
            Token::Name("pass") => {
                self.advance()?;
                Kind::Nothing
            }
            Token::Name("return") => {
                self.advance()?;
                Kind::Return(self.value()?)
            }
            Token::Name("while") => return self.refused(line, "while"),
            Token::Name("for") => return self.refused(line, "for"),
            Token::Name("with") => return self.refused(line, "with"),
            Token::Name("raise") => {
                self.advance()?;
                self.value()?;
                Kind::Refused("raise")
            }
            _ => self.simple()?,
        };
        self.line_end()?;
        Ok(Statement { line, kind })
    }

    fn condition(&mut self, line: u32) -> Result<Statement, ModelError> {
        self.advance()?;
        let condition = self.expression()?;
        self.mark(':')?;
        let then = self.block(Parser::statement)?;
        let mut otherwise = Vec::new();
        if self.takes_name("else")? {
            self.mark(':')?;
            otherwise = self.block(Parser::statement)?;
        }
        let kind = Kind::If(Box::new(If { condition, then, otherwise }));
        Ok(Statement { line, kind })
    }

    /// A loop or the like: read, because code that is not run may hold it, and forgotten.
    fn refused(&mut self, line: u32, word: &'static str) -> Result<Statement, ModelError> {
        self.advance()?;
        self.expression()?;
        if self.takes_name("in")? {
            self.expression()?;
        }
        self.mark(':')?;
        self.block(Parser::statement)?;
        Ok(Statement { line, kind: Kind::Refused(word) })
    }

    /// An assignment, a declaration or an expression.
    fn simple(&mut self) -> Result<Kind, ModelError> {
        let (mut targets, is_tuple) = self.values()?;
        if self.takes(':')? {
            self.expression()?;
            if self.takes('=')? {
                self.value()?;
                return Ok(Kind::Refused("an assignment with a type"));
            }
            return Ok(Kind::Nothing);
        }
        if !self.takes('=')? {
            return Ok(Kind::Evaluate(if is_tuple {
                Expr::List(targets)
            } else {
                targets.remove(0)
            }));
        }
        let value = self.value()?;
        let names: Option<Vec<_>> = targets
            .into_iter()
            .map(|target| if let Expr::Name(name) = target { Some(name) } else { None })
            .collect();
        Ok(match names {
            None => Kind::Refused("an assignment to a part of a value"),
            Some(names) if is_tuple => Kind::Unpack(names, value),
            Some(mut names) => Kind::Assign(names.remove(0), value),
        })
    }

    /// An expression, or several that make a tuple.
    fn value(&mut self) -> Result<Expr, ModelError> {
        let (mut values, is_tuple) = self.values()?;
        Ok(if is_tuple { Expr::List(values) } else { values.remove(0) })
    }

    /// At least one expression, and whether there was a comma.
    fn values(&mut self) -> Result<(Vec<Expr>, bool), ModelError> {
        let mut values = vec![self.expression()?];
        let mut is_tuple = false;
        while self.takes(',')? {
            is_tuple = true;
            if matches!(self.token, Token::Mark('=') | Token::Line) {
                break;
            }
            values.push(self.expression()?);
        }
        Ok((values, is_tuple))
    }

    pub(super) fn advance(&mut self) -> Result<Token<'a>, ModelError> {
        let next = self.lexer.next()?;
        Ok(std::mem::replace(&mut self.token, next))
    }

    /// Goes past the mark where it is the next word.
    pub(super) fn takes(&mut self, mark: char) -> Result<bool, ModelError> {
        let is_next = self.token == Token::Mark(mark);
        if is_next {
            self.advance()?;
        }
        Ok(is_next)
    }

    fn takes_name(&mut self, name: &str) -> Result<bool, ModelError> {
        let is_next = matches!(self.token, Token::Name(next) if next == name);
        if is_next {
            self.advance()?;
        }
        Ok(is_next)
    }

    pub(super) fn mark(&mut self, mark: char) -> Result<(), ModelError> {
        if self.takes(mark)? { Ok(()) } else { Err(self.expected(&format!("'{mark}'"))) }
    }

    pub(super) fn name(&mut self) -> Result<Rc<str>, ModelError> {
        let Token::Name(name) = self.token else { return Err(self.expected("a name")) };
        self.advance()?;
        Ok(Rc::from(name))
    }

    fn line_end(&mut self) -> Result<(), ModelError> {
        if self.token != Token::Line {
            return Err(self.expected("the end of the line"));
        }
        self.advance().map(|_| ())
    }

    pub(super) fn line(&self) -> u32 {
        self.lexer.line()
    }

    /// Counts an expression or statement against the limit.
    pub(super) fn count(&mut self) -> Result<(), ModelError> {
        *self.nodes += 1;
        if *self.nodes > NODES_MAX {
            let what = "parts of the TorchScript code";
            return Err(ModelError::too_large(what, NODES_MAX, *self.nodes));
        }
        Ok(())
    }

    /// Goes one level down.
    pub(super) fn deeper(&mut self) -> Result<(), ModelError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(ModelError::too_large("depth of TorchScript code", DEPTH_MAX, self.depth));
        }
        Ok(())
    }

    /// Goes as many levels up.
    pub(super) fn shallower(&mut self, levels: usize) {
        self.depth -= levels;
    }

    /// The error of a word that should have been another.
    pub(super) fn expected(&self, expected: &str) -> ModelError {
        let got: &dyn Display = match &self.token {
            Token::Name(name) => &format!("'{name:.40}'"),
            Token::Mark(mark) => &format!("'{mark}'"),
            Token::Arrow => &"'->'",
            Token::Int(_) | Token::Float(_) => &"a number",
            Token::Text(_) => &"text",
            Token::Line => &"the end of the line",
            Token::Indent | Token::Dedent => &"another indent",
            Token::End => &"the end of the file",
        };
        let at = super::place(&self.file, self.lexer.line());
        ModelError::malformed(Format::TorchScript, at, expected, got)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<File, ModelError> {
        parse("f.py", text, &mut 0)
    }

    /// The statements of a function of these lines, as they are written down for debugging.
    fn body(lines: &str) -> String {
        let text = format!("def f(x: Tensor) -> Tensor:\n  {}\n", lines.replace('\n', "\n  "));
        let Some(Item::Function(function)) = read(&text).unwrap().remove("f") else { panic!() };
        function.body.iter().map(|one| format!("{:?};", one.kind)).collect()
    }

    #[test]
    fn statements_by_hand() {
        for (lines, expected) in [
            ("pass", "Nothing;"),
            ("a : Tensor", "Nothing;"),
            ("__annotations__[\"0\"] = a.b", "Refused(\"an assignment to a part of a value\");"),
            ("a = -1", "Assign(\"a\", Int(-1));"),
            ("a, b, = c", "Unpack([\"a\", \"b\"], Name(\"c\"));"),
            ("a, = c,", "Unpack([\"a\"], List([Name(\"c\")]));"),
            ("return (a)[0]", "Return(Item((Name(\"a\"), Int(0))));"),
            ("return (a, -inf, )", "Return(List([Name(\"a\"), Float(-inf)]));"),
            ("[None, True]", "Evaluate(List([None, Bool(true)]));"),
            ("{\"a\": b}", "Evaluate(Dict);"),
            ("a.b", "Evaluate(Attribute(Name(\"a\"), \"b\"));"),
            ("while a:\n  b = c\nd", "Refused(\"while\");Evaluate(Name(\"d\"));"),
            ("for i in range(3):\n  pass", "Refused(\"for\");"),
            ("raise E(\"a\")", "Refused(\"raise\");"),
        ] {
            assert_eq!(body(lines), expected, "{lines}");
        }
        let call = body("t.f(a, b=1, )");
        assert!(call.contains("arguments: [Name(\"a\")], keywords: [(\"b\", Int(1))]"), "{call}");
        let branch = body("if a:\n  b\nelse:\n  if c:\n    d\n  else:\n    pass\ne");
        assert_eq!(branch.matches("If(").count(), 2, "{branch}");
        assert!(branch.ends_with("Evaluate(Name(\"e\"));"), "{branch}");
    }

    #[test]
    fn definitions_by_hand() {
        let text = "class A(Module):\n  __parameters__ = []\n  w : Tensor\n  k : Final[int] = 3\n  \
                    def f(self: A,\n    x: Tensor,\n    p: float=0.5) -> Tuple[int, int]:\n    \
                    return x\n  def g(self: A) -> int:\n    return 1\nclass B(Module):\n\n\
                    def h(x: Optional[Tensor]=None):\n  pass\n";
        let mut file = read(text).unwrap();
        let Some(Item::Class(methods)) = file.remove("A") else { panic!() };
        let f = &methods["f"];
        let parameters: Vec<_> = f.parameters.iter().map(|of| (&*of.name, of.is_tensor)).collect();
        assert_eq!(parameters, [("self", false), ("x", true), ("p", false)]);
        assert_eq!(f.parameters[2].default, Some(Expr::Float(0.5)));
        assert_eq!((f.line, f.body[0].line, methods["g"].line), (5, 8, 9));
        assert!(matches!(file.remove("B"), Some(Item::Class(methods)) if methods.is_empty()));
        let Some(Item::Function(h)) = file.remove("h") else { panic!() };
        assert!(!h.parameters[0].is_tensor && h.parameters[0].default == Some(Expr::None));
    }

    #[test]
    fn what_the_printer_never_writes_is_an_error_of_its_line() {
        for (text, part) in [
            ("x = 1", "f.py:1: expected a class or a function, got 'x'"),
            ("def f(:\n", "f.py:1: expected a name, got ':'"),
            ("def f(x y):\n", "expected ',' or ')', got 'y'"),
            ("def f():\n  a = \n", "f.py:2: expected a value, got the end of the line"),
            ("def f():\n  a + b\n", "f.py:2: expected the end of the line, got '+'"),
            ("def f():\n  a = -b\n", "expected a number, got 'b'"),
            ("def f():\n  a = 9223372036854775808\n", "expected an integer of 64 bits"),
            ("def f():\n  a[0:1]\n", "expected ',' or ']', got ':'"),
            ("def f():\n  elif a:\n", "expected the end of the line, got 'a'"),
            ("def f():\n  a\n    b\n", "expected a value, got another indent"),
            ("def f():\n  (a\n", "expected ',' or ')', got the end of the"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(body("a = -9223372036854775808").contains(&i64::MIN.to_string()));
    }

    #[test]
    fn depth_and_length_are_bounded() {
        let deep = |open: &str, count| format!("def f():\n  {}", open.repeat(count));
        for open in ["(", "[", "a(", "a.", "a[", "{a:"] {
            let error = read(&deep(open, 100_000)).unwrap_err().to_string();
            assert_eq!(error, "depth of TorchScript code: at most 64, got 65", "{open}");
        }
        let blocks = (1..100).map(|depth| format!("{}if a:\n", " ".repeat(depth)));
        let error = read(&format!("def f():\n{}", blocks.collect::<String>())).unwrap_err();
        assert!(error.to_string().contains("depth of TorchScript code"), "{error}");
        let long = format!("def f():\n  a = [{}]\n", "1,".repeat(NODES_MAX));
        let error = read(&long).unwrap_err().to_string();
        assert!(error.contains("parts of the TorchScript code"), "{error}");
    }
}
