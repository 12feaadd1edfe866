//! Expressions: literals, names, attributes, items and calls; the printer makes everything else a
//! call.

use std::rc::Rc;

use super::lexer::Token;
use super::parser::Parser;
use super::syntax::{Call, Expr};
use crate::model::ModelError;

/// Arguments that are given by name.
type Keywords = Vec<(Rc<str>, Expr)>;

impl Parser<'_, '_> {
    /// One expression.
    pub(super) fn expression(&mut self) -> Result<Expr, ModelError> {
        self.deeper()?;
        let mut levels = 1;
        let mut value = self.primary()?;
        loop {
            let line = self.line();
            value = if self.takes('.')? {
                Expr::Attribute(Box::new(value), self.name()?)
            } else if self.takes('[')? {
                let mut index = self.expressions(']')?;
                let index = if index.len() == 1 { index.remove(0) } else { Expr::List(index) };
                Expr::Item(Box::new((value, index)))
            } else if self.takes('(')? {
                let (arguments, keywords) = self.arguments()?;
                Expr::Call(Box::new(Call { line, callee: value, arguments, keywords }))
            } else {
                break;
            };
            // A chain of attributes is as deep as it is long.
            self.deeper()?;
            levels += 1;
            self.count()?;
        }
        self.shallower(levels);
        Ok(value)
    }

    /// Expressions up to the closing mark, a comma after each but, at will, the last.
    pub(super) fn expressions(&mut self, close: char) -> Result<Vec<Expr>, ModelError> {
        let mut values = Vec::new();
        while !self.takes(close)? {
            values.push(self.expression()?);
            self.comma_or(close)?;
        }
        Ok(values)
    }

    fn comma_or(&mut self, close: char) -> Result<(), ModelError> {
        if !self.takes(',')? && self.token != Token::Mark(close) {
            return Err(self.expected(&format!("',' or '{close}'")));
        }
        Ok(())
    }

    fn arguments(&mut self) -> Result<(Vec<Expr>, Keywords), ModelError> {
        let (mut arguments, mut keywords) = (Vec::new(), Vec::new());
        while !self.takes(')')? {
            let value = self.expression()?;
            match value {
                Expr::Name(name) if self.takes('=')? => keywords.push((name, self.expression()?)),
                value => arguments.push(value),
            }
            self.comma_or(')')?;
        }
        Ok((arguments, keywords))
    }

    fn primary(&mut self) -> Result<Expr, ModelError> {
        self.count()?;
        Ok(match &self.token {
            Token::Mark('-') => {
                self.advance()?;
                return self.negated();
            }
            Token::Mark('(') => {
                self.advance()?;
                return self.parenthesised();
            }
            Token::Mark('[') => {
                self.advance()?;
                return self.expressions(']').map(Expr::List);
            }
            Token::Mark('{') => {
                self.advance()?;
                return self.dictionary();
            }
            Token::Name(name) => {
                let value = named(name);
                self.advance()?;
                value
            }
            Token::Int(int) => {
                let int =
                    i64::try_from(*int).map_err(|_| self.expected("an integer of 64 bits"))?;
                self.advance()?;
                Expr::Int(int)
            }
            Token::Float(float) => {
                let float = *float;
                self.advance()?;
                Expr::Float(float)
            }
            Token::Text(text) => {
                let text = Rc::from(text.as_str());
                self.advance()?;
                Expr::Text(text)
            }
            _ => return Err(self.expected("a value")),
        })
    }

    /// The number after a minus.
    fn negated(&mut self) -> Result<Expr, ModelError> {
        let value = match &self.token {
            Token::Int(int) => i64::try_from(-i128::from(*int)).ok().map(Expr::Int),
            Token::Float(float) => Some(Expr::Float(-float)),
            Token::Name("inf") => Some(Expr::Float(f64::NEG_INFINITY)),
            _ => None,
        };
        let value = value.ok_or_else(|| self.expected("a number"))?;
        self.advance()?;
        Ok(value)
    }

    /// What stands between parentheses: one expression, or with a comma a tuple.
    fn parenthesised(&mut self) -> Result<Expr, ModelError> {
        let mut values = Vec::new();
        loop {
            if self.takes(')')? {
                return Ok(Expr::List(values));
            }
            values.push(self.expression()?);
            if values.len() == 1 && self.takes(')')? {
                return Ok(values.remove(0));
            }
            self.comma_or(')')?;
        }
    }

    fn dictionary(&mut self) -> Result<Expr, ModelError> {
        while !self.takes('}')? {
            self.expression()?;
            self.mark(':')?;
            self.expression()?;
            self.comma_or('}')?;
        }
        Ok(Expr::Dict)
    }
}

/// What a name stands for, where it is a literal's.
fn named(name: &str) -> Expr {
    match name {
        "None" => Expr::None,
        "True" => Expr::Bool(true),
        "False" => Expr::Bool(false),
        "inf" => Expr::Float(f64::INFINITY),
        "nan" => Expr::Float(f64::NAN),
        name => Expr::Name(Rc::from(name)),
    }
}
