//! What an operator is called with.

use std::fmt::Display;
use std::rc::Rc;

use super::constant::Constant;
use super::value::Value;
use crate::model::ModelError;

/// A call of an operator: its name, where it stands, and its arguments.
#[derive(Debug)]
pub(super) struct Arguments {
    /// The operator's full name: `torch.linear`.
    pub(super) op: Rc<str>,
    pub(super) file: Rc<str>,
    pub(super) line: u32,
    pub(super) values: Vec<Value>,
    pub(super) keywords: Vec<(Rc<str>, Value)>,
}

impl Arguments {
    /// The arguments by their names in the operator's definition; `None` where one is left to its
    /// default, or is None.
    pub(super) fn named<const N: usize>(
        &self,
        names: [&str; N],
    ) -> Result<[Option<Value>; N], ModelError> {
        if self.values.len() > N {
            let reason = format!("it is called with {} arguments, not {N}", self.values.len());
            return Err(self.refuse(reason));
        }
        let mut found = [const { None }; N];
        for (place, value) in found.iter_mut().zip(&self.values) {
            *place = Some(value.clone());
        }
        for (name, value) in &self.keywords {
            let place = names.iter().position(|known| **known == **name);
            match place.and_then(|at| found.get_mut(at)) {
                Some(place @ None) => *place = Some(value.clone()),
                Some(_) => return Err(self.refuse(format!("'{name}' is given twice"))),
                None => return Err(self.refuse(format!("'{name}' is not known here"))),
            }
        }
        Ok(found.map(|value| value.filter(|value| !matches!(value, Value::None))))
    }

    /// The argument, which has no default.
    pub(super) fn needed<'v>(
        &self,
        name: &str,
        value: &'v Option<Value>,
    ) -> Result<&'v Value, ModelError> {
        value.as_ref().ok_or_else(|| self.refuse(format!("'{name}' is missing")))
    }

    pub(super) fn int(
        &self,
        name: &str,
        value: &Option<Value>,
        default: i64,
    ) -> Result<i64, ModelError> {
        match value {
            None => Ok(default),
            Some(Value::Int(int)) => Ok(*int),
            Some(other) => Err(self.wrong(name, "a known integer", other)),
        }
    }

    pub(super) fn truth(
        &self,
        name: &str,
        value: &Option<Value>,
        default: bool,
    ) -> Result<bool, ModelError> {
        match value {
            None => Ok(default),
            Some(Value::Bool(truth)) => Ok(*truth),
            Some(other) => Err(self.wrong(name, "a known truth", other)),
        }
    }

    /// The number on the tape of a tensor that is computed from the input.
    pub(super) fn computed(&self, name: &str, value: &Option<Value>) -> Result<usize, ModelError> {
        match self.needed(name, value)? {
            Value::Computed(id) => Ok(*id),
            other => Err(self.wrong(name, "computed from the input", other)),
        }
    }

    /// A tensor of the file.
    pub(super) fn constant<'v>(
        &self,
        name: &str,
        value: &'v Option<Value>,
    ) -> Result<&'v Constant, ModelError> {
        match self.needed(name, value)? {
            Value::Constant(constant) => Ok(constant),
            other => Err(self.wrong(name, "a tensor of the file", other)),
        }
    }

    /// The error of an argument that is something else than the operator takes.
    pub(super) fn wrong(&self, name: &str, expected: &str, got: &Value) -> ModelError {
        self.refuse(format!("'{name}' must be {expected}, and it is {}", got.kind()))
    }

    pub(super) fn refuse(&self, reason: impl Display) -> ModelError {
        ModelError::unsupported(self.place(), &self.op, reason)
    }

    /// Where the call stands.
    pub(super) fn place(&self) -> String {
        super::place(&self.file, self.line)
    }
}
