//! Runs the code on an input that is not known: what is known is computed, and what is computed
//! from the input is told.

use std::collections::HashMap;
use std::rc::Rc;

use super::arguments::Arguments;
use super::code::Code;
use super::objects::Objects;
use super::syntax::{Call, Expr, Function, If, Item, Kind, Statement};
use super::tape::Tape;
use super::value::Value;
use super::{known, operators};
use crate::model::{Format, Model, ModelError};

/// The most statements and expressions that are run. A layer with its normalisation and its
/// activation takes about two hundred.
const STEPS_MAX: usize = 1 << 19;
/// How deep calls, blocks and expressions may nest, all together.
const DEPTH_MAX: usize = 256;

/// Names that stand for themselves before a dot.
const ROOTS: [&str; 4] = ["torch", "ops", "__torch__", "CONSTANTS"];

/// Arguments that are given by name.
type Keywords = Vec<(Rc<str>, Value)>;

pub(super) struct Machine<'a> {
    code: Code<'a>,
    objects: Objects<'a>,
    constants: Objects<'a>,
    tape: Tape<'a>,
    steps: usize,
    depth: usize,
}

/// The function that is being run, and its variables.
struct Frame {
    file: Rc<str>,
    variables: HashMap<Rc<str>, Value>,
}

impl<'a> Machine<'a> {
    pub(super) fn new(
        code: Code<'a>,
        objects: Objects<'a>,
        constants: Objects<'a>,
        tape: Tape<'a>,
    ) -> Machine<'a> {
        Machine { code, objects, constants, tape, steps: 0, depth: 0 }
    }

    /// The model that the archive's module computes of one tensor.
    pub(super) fn model(mut self) -> Result<Model, ModelError> {
        let root = self.objects.root();
        let class = if let Value::Object(id) = root { self.objects.class(id) } else { None };
        let malformed = |expected: &str, got: &str| {
            ModelError::malformed(Format::TorchScript, "data.pkl", expected, got)
        };
        let class = class.cloned().ok_or_else(|| malformed("a module", root.kind()))?;
        let forward = self.code.method(&class, "forward")?;
        let forward = forward.ok_or_else(|| {
            malformed("a module that has a method forward", &format!("{class:.200}"))
        })?;
        let at = super::place(&forward.file, forward.line);
        let needed = forward.parameters.iter().skip(1).filter(|of| of.default.is_none());
        let needed: Vec<_> = needed.collect();
        match needed[..] {
            [input] if input.is_tensor => {}
            [input] => {
                let reason = format!("its input '{}' is no tensor", input.name);
                return Err(ModelError::unsupported(at, "forward", reason));
            }
            _ => {
                let reason = format!("one input is run, and it has {}", needed.len());
                return Err(ModelError::unsupported(at, "forward", reason));
            }
        }
        let input = vec![root, Value::Computed(0)];
        match self.run(&forward, input, &[], at.clone())? {
            Value::Computed(id) => self.tape.finish(id),
            other => {
                let reason = format!("it must return one tensor, and it returns {}", other.kind());
                Err(ModelError::unsupported(at, "forward", reason))
            }
        }
    }

    /// Runs a function; `at` is where it is called from.
    fn run(
        &mut self,
        function: &Rc<Function>,
        arguments: Vec<Value>,
        keywords: &[(Rc<str>, Value)],
        at: String,
    ) -> Result<Value, ModelError> {
        let refuse = |reason: String| Err(ModelError::unsupported(&at, &function.name, reason));
        let mut frame = Frame { file: Rc::clone(&function.file), variables: HashMap::new() };
        if arguments.len() > function.parameters.len() {
            return refuse(format!("it takes {} arguments", function.parameters.len()));
        }
        let mut values = arguments.into_iter();
        for parameter in &function.parameters {
            let keyword = || keywords.iter().find(|(name, _)| *name == parameter.name);
            let value = match (values.next(), &parameter.default) {
                (Some(value), _) => value,
                (None, default) => match (keyword(), default) {
                    (Some((_, value)), _) => value.clone(),
                    (None, Some(default)) => self.value(&mut frame, default, function.line)?,
                    (None, None) => return refuse(format!("'{}' is missing", parameter.name)),
                },
            };
            frame.variables.insert(Rc::clone(&parameter.name), value);
        }
        self.down(&frame, function.line)?;
        let value = self.block(&mut frame, &function.body)?;
        self.depth -= 1;
        Ok(value.unwrap_or(Value::None))
    }

    /// Runs statements up to a `return`, which gives a value.
    fn block(
        &mut self,
        frame: &mut Frame,
        statements: &[Statement],
    ) -> Result<Option<Value>, ModelError> {
        for Statement { line, kind } in statements {
            match kind {
                Kind::Nothing => {}
                Kind::Evaluate(value) => {
                    self.value(frame, value, *line)?;
                }
                Kind::Assign(name, value) => {
                    let value = self.value(frame, value, *line)?;
                    frame.variables.insert(Rc::clone(name), value);
                }
                Kind::Unpack(names, value) => {
                    let value = self.value(frame, value, *line)?;
                    unpack(frame, names, &value, *line)?;
                }
                Kind::If(branches) => {
                    if let Some(value) = self.branch(frame, branches, *line)? {
                        return Ok(Some(value));
                    }
                }
                Kind::Return(value) => return self.value(frame, value, *line).map(Some),
                Kind::Refused(word) => {
                    let reason = "it is no step of a chain of layers, which has no control flow";
                    return Err(frame.refuse(*line, word, reason));
                }
            }
        }
        Ok(None)
    }

    fn branch(
        &mut self,
        frame: &mut Frame,
        If { condition, then, otherwise }: &If,
        line: u32,
    ) -> Result<Option<Value>, ModelError> {
        let is_true = match self.value(frame, condition, line)? {
            Value::Bool(truth) => truth,
            other => {
                let reason = format!("which way it goes depends on {}", other.kind());
                return Err(frame.refuse(line, "if", reason));
            }
        };
        self.down(frame, line)?;
        let value = self.block(frame, if is_true { then } else { otherwise })?;
        self.depth -= 1;
        Ok(value)
    }

    fn value(&mut self, frame: &mut Frame, of: &Expr, line: u32) -> Result<Value, ModelError> {
        self.down(frame, line)?;
        let value = match of {
            Expr::None => Value::None,
            Expr::Bool(truth) => Value::Bool(*truth),
            Expr::Int(int) => Value::Int(*int),
            Expr::Float(float) => Value::Float(*float),
            Expr::Text(text) => Value::Text(Rc::clone(text)),
            Expr::Name(name) => match frame.variables.get(name) {
                Some(value) => value.clone(),
                None if ROOTS.contains(&&**name) => Value::Path(Rc::clone(name)),
                None => {
                    let at = super::place(&frame.file, line);
                    let got = format!("'{name:.100}'");
                    let expected = "the name of a variable";
                    return Err(ModelError::malformed(Format::TorchScript, at, expected, got));
                }
            },
            Expr::Attribute(of, name) => {
                let of = self.value(frame, of, line)?;
                self.attribute(frame, &of, name, line)?
            }
            Expr::Item(both) => {
                let of = self.value(frame, &both.0, line)?;
                let index = self.value(frame, &both.1, line)?;
                item(frame, &of, &index, line)?
            }
            Expr::List(of) => {
                let values = of.iter().map(|one| self.value(frame, one, line));
                Value::list(values.collect::<Result<_, _>>()?)
            }
            Expr::Dict => Value::Unknown("a dictionary"),
            Expr::Call(call) => self.call(frame, call)?,
        };
        self.depth -= 1;
        Ok(value)
    }

    fn attribute(
        &mut self,
        frame: &Frame,
        of: &Value,
        name: &str,
        line: u32,
    ) -> Result<Value, ModelError> {
        let found = match of {
            Value::Object(id) => {
                let value = self.objects.attribute(*id, name);
                if matches!(value, Some(Value::List(_))) {
                    self.spend(16)?;
                }
                value
            }
            Value::Path(path) if **path == *"CONSTANTS" => {
                let index = name.strip_prefix('c').and_then(|index| index.parse().ok());
                index.and_then(|index| self.constants.item(index))
            }
            Value::Path(path) => {
                self.spend(path.len() / 64)?;
                Some(Value::Path(Rc::from(format!("{path}.{name}"))))
            }
            other => {
                let reason = format!("{} has no attributes", other.kind());
                return Err(frame.refuse(line, &format!(".{name:.100}"), reason));
            }
        };
        found.ok_or_else(|| {
            let at = super::place(&frame.file, line);
            let expected = format!("a stored value '{name:.100}'");
            ModelError::malformed(Format::TorchScript, at, expected, "none")
        })
    }

    fn call(&mut self, frame: &mut Frame, call: &Call) -> Result<Value, ModelError> {
        let line = call.line;
        match &call.callee {
            Expr::Name(name) if !frame.variables.contains_key(name) => {
                self.builtin(frame, name, call)
            }
            Expr::Attribute(of, name) => match self.value(frame, of, line)? {
                Value::Object(id) => {
                    let (values, keywords) = self.arguments(frame, call)?;
                    self.method(frame, id, name, values, &keywords, line)
                }
                of => {
                    let callee = self.attribute(frame, &of, name, line)?;
                    self.function(frame, &callee, call)
                }
            },
            callee => {
                let callee = self.value(frame, callee, line)?;
                self.function(frame, &callee, call)
            }
        }
    }

    fn arguments(
        &mut self,
        frame: &mut Frame,
        call: &Call,
    ) -> Result<(Vec<Value>, Keywords), ModelError> {
        let mut values = Vec::with_capacity(call.arguments.len() + 1);
        for value in &call.arguments {
            values.push(self.value(frame, value, call.line)?);
        }
        let mut keywords = Vec::with_capacity(call.keywords.len());
        for (name, value) in &call.keywords {
            keywords.push((Rc::clone(name), self.value(frame, value, call.line)?));
        }
        Ok((values, keywords))
    }

    fn method(
        &mut self,
        frame: &Frame,
        object: crate::model::format::pickle::Id,
        name: &str,
        mut values: Vec<Value>,
        keywords: &[(Rc<str>, Value)],
        line: u32,
    ) -> Result<Value, ModelError> {
        let class = self.objects.class(object).cloned().unwrap_or_else(|| Rc::from(""));
        let Some(function) = self.code.method(&class, name)? else {
            let reason = format!("the class {class:.200} has no such method");
            return Err(frame.refuse(line, &format!(".{name:.100}"), reason));
        };
        values.insert(0, Value::Object(object));
        self.run(&function, values, keywords, super::place(&frame.file, line))
    }

    /// Calls what is named by a path: a function of the archive, or an operator.
    fn function(
        &mut self,
        frame: &mut Frame,
        callee: &Value,
        call: &Call,
    ) -> Result<Value, ModelError> {
        let Value::Path(path) = callee else {
            let reason = format!("{} cannot be called", callee.kind());
            return Err(frame.refuse(call.line, "call", reason));
        };
        let (values, keywords) = self.arguments(frame, call)?;
        if path.starts_with("__torch__.") {
            self.spend(path.len() / 64)?;
            let Item::Function(function) = self.code.item(path)? else {
                let reason = "classes are not called in a chain of layers";
                return Err(frame.refuse(call.line, path, reason));
            };
            return self.run(&function, values, &keywords, super::place(&frame.file, call.line));
        }
        let op = Rc::clone(path);
        let call =
            Arguments { op, file: Rc::clone(&frame.file), line: call.line, values, keywords };
        self.operator(path, &call)
    }

    fn operator(&mut self, path: &str, call: &Arguments) -> Result<Value, ModelError> {
        let name = path.strip_prefix("torch.").or_else(|| path.strip_prefix("ops.prim."));
        match (name, &call.values[..]) {
            (Some("RaiseException"), [Value::Text(text), ..]) => {
                Err(call.refuse(format!("the code refuses such an input: {text:.200}")))
            }
            (Some("__is__"), [left, right]) => Ok(known::is_same(left, right)),
            (Some("__isnot__"), [left, right]) => Ok(match known::is_same(left, right) {
                Value::Bool(truth) => Value::Bool(!truth),
                other => other,
            }),
            (Some("_unwrap_optional" | "unchecked_unwrap_optional"), [value]) => Ok(value.clone()),
            // A constant that is a number stays the tensor it is until a number is asked for.
            (Some("NumToTensor"), [value]) => Ok(value.clone()),
            (Some(name), values)
                if values.iter().any(Value::is_tensor)
                    || call.keywords.iter().any(|(_, value)| value.is_tensor()) =>
            {
                operators::call(&mut self.tape, name, call)
            }
            (Some(name), _) => known::call(name, call),
            (None, _) if path.contains("quantized") => {
                Err(call.refuse("save the model before quantisation"))
            }
            (None, _) => Err(call.refuse("only PyTorch's own operators on numbers are known")),
        }
    }

    /// Calls what is no function of a module: casts, and what the printer writes for types.
    fn builtin(
        &mut self,
        frame: &mut Frame,
        name: &Rc<str>,
        call: &Call,
    ) -> Result<Value, ModelError> {
        let line = call.line;
        match (&**name, &call.arguments[..]) {
            ("annotate" | "unchecked_cast", [_, value]) => self.value(frame, value, line),
            ("uninitialized", [_]) => Ok(Value::Unknown("a value that was never set")),
            ("getattr", [of, Expr::Text(attribute)]) => {
                let of = self.value(frame, of, line)?;
                self.attribute(frame, &of, attribute, line)
            }
            ("int" | "float" | "bool", [value]) => {
                let mut value = self.value(frame, value, line)?;
                if let Some(number) = self.tape.number(&value)?.filter(|_| value.is_tensor()) {
                    value = Value::Float(number);
                }
                known::cast(name, &value).ok_or_else(|| {
                    let reason = format!("{} is no number that is known", value.kind());
                    frame.refuse(line, name, reason)
                })
            }
            _ => Err(frame.refuse(line, name, "it is no function that is known here")),
        }
    }

    /// Goes one level down, and counts a step.
    fn down(&mut self, frame: &Frame, line: u32) -> Result<(), ModelError> {
        self.spend(1)?;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let what = format!("depth of calls at {}", super::place(&frame.file, line));
            return Err(ModelError::too_large(what, DEPTH_MAX, self.depth));
        }
        Ok(())
    }

    fn spend(&mut self, steps: usize) -> Result<(), ModelError> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps > STEPS_MAX {
            let what = "steps of the TorchScript code";
            return Err(ModelError::too_large(what, STEPS_MAX, self.steps));
        }
        Ok(())
    }
}

impl Frame {
    fn refuse(&self, line: u32, op: &str, reason: impl std::fmt::Display) -> ModelError {
        ModelError::unsupported(super::place(&self.file, line), op, reason)
    }
}

fn unpack(
    frame: &mut Frame,
    names: &[Rc<str>],
    value: &Value,
    line: u32,
) -> Result<(), ModelError> {
    match value {
        Value::List(list) if list.values.len() == names.len() => {
            for (name, value) in names.iter().zip(&list.values) {
                frame.variables.insert(Rc::clone(name), value.clone());
            }
            Ok(())
        }
        other => {
            let reason = format!("{} are taken from {}", names.len(), other.kind());
            Err(frame.refuse(line, "assignment", reason))
        }
    }
}

fn item(frame: &Frame, of: &Value, index: &Value, line: u32) -> Result<Value, ModelError> {
    let found = match (of, index) {
        (Value::List(list), Value::Int(index)) => {
            let length = list.values.len() as i64;
            let at =
                usize::try_from(if *index < 0 { index.saturating_add(length) } else { *index });
            at.ok().and_then(|at| list.values.get(at)).cloned()
        }
        _ => None,
    };
    found.ok_or_else(|| {
        let reason = format!("{} has no item {}", of.kind(), index.kind());
        frame.refuse(line, "[]", reason)
    })
}
