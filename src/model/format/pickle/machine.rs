//! The machine: a stack with marks, a memo, and one step per instruction.

use super::heap::Heap;
use super::opcode::{self as op};
use super::{Call, Global, Id, Pickle, Reader, Value, calls, globals};
use crate::model::ModelError;

/// The newest protocol.
const PROTOCOL_MAX: u8 = 5;
/// The longest integer, in bytes.
const LONG_BYTES_MAX: usize = 255;
/// The longest name of a module, class or function, in bytes.
const NAME_BYTES_MAX: usize = 1024;
/// The highest number in the memo.
const MEMO_MAX: usize = 1 << 20;

/// Reads the pickle that the bytes begin with.
pub(super) fn run<'a>(reader: &Reader<'_>, bytes: &'a [u8]) -> Result<Pickle<'a>, ModelError> {
    let mut machine = Machine {
        bytes,
        position: 0,
        heap: Heap::new(*reader),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: Vec::new(),
    };
    loop {
        machine.heap.begin(machine.position)?;
        let [code] = machine.array()?;
        if code == op::STOP {
            break;
        }
        machine.step(code)?;
    }
    let (root, length) = (machine.pop()?, machine.position);
    if !machine.stack.is_empty() || !machine.marks.is_empty() {
        return Err(machine.heap.malformed("one value at the end", "more"));
    }
    Ok(Pickle { values: machine.heap.into_values(), root, length })
}

struct Machine<'a, 'n> {
    bytes: &'a [u8],
    /// The next byte that is read.
    position: usize,
    heap: Heap<'a, 'n>,
    stack: Vec<Id>,
    /// How high the stack was at each mark.
    marks: Vec<usize>,
    memo: Vec<Option<Id>>,
}

impl<'a> Machine<'a, '_> {
    fn step(&mut self, code: u8) -> Result<(), ModelError> {
        if let Some(value) = self.literal(code)? {
            let id = self.heap.add(value)?;
            self.stack.push(id);
            return Ok(());
        }
        match code {
            op::PROTO => self.protocol(),
            op::FRAME => self.frame(),
            op::MARK => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            op::POP => match self.marks.pop_if(|mark| *mark == self.stack.len()) {
                Some(_) => Ok(()),
                None => self.pop().map(|_| ()),
            },
            op::POP_MARK => self.pop_to_mark().map(|_| ()),
            op::DUP => {
                let top = self.top()?;
                self.stack.push(top);
                Ok(())
            }
            op::BINGET | op::LONG_BINGET => self.recall(code),
            op::BINPUT | op::LONG_BINPUT | op::MEMOIZE => self.remember(code),
            op::TUPLE => {
                let items = self.pop_to_mark()?;
                self.push(Value::Tuple(items))
            }
            op::TUPLE1 | op::TUPLE2 | op::TUPLE3 => {
                let count = usize::from(code - op::TUPLE1) + 1;
                let from = self.stack.len().checked_sub(count);
                let from = from.filter(|from| *from >= self.floor());
                let items = self.stack.split_off(from.ok_or_else(|| self.empty())?);
                self.push(Value::Tuple(items))
            }
            op::FROZENSET => {
                let items = self.pop_to_mark()?;
                self.push(Value::List(items))
            }
            op::APPEND => {
                let item = self.pop()?;
                self.append(&[item])
            }
            op::APPENDS | op::ADDITEMS => {
                let items = self.pop_to_mark()?;
                self.append(&items)
            }
            op::SETITEM => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set(&[key, value])
            }
            op::SETITEMS => {
                let items = self.pop_to_mark()?;
                self.set(&items)
            }
            op::GLOBAL | op::STACK_GLOBAL => self.global(code),
            op::REDUCE | op::NEWOBJ => self.call(code),
            op::BUILD => self.build(),
            op::BINPERSID => {
                let id = self.pop()?;
                let storage = calls::storage(&self.heap, id)?;
                self.push(Value::Storage(Box::new(storage)))
            }
            other => Err(self.refused(other)),
        }
    }

    /// The value that an instruction pushes by itself, where it is one that does.
    fn literal(&mut self, code: u8) -> Result<Option<Value<'a>>, ModelError> {
        Ok(Some(match code {
            op::NONE => Value::None,
            op::NEWTRUE => Value::Bool(true),
            op::NEWFALSE => Value::Bool(false),
            op::BININT => Value::Int(i64::from(i32::from_le_bytes(self.array()?))),
            op::BININT1 => Value::Int(i64::from(u8::from_le_bytes(self.array()?))),
            op::BININT2 => Value::Int(i64::from(u16::from_le_bytes(self.array()?))),
            op::LONG1 => {
                let length = self.length::<1>()?;
                self.long(length)?
            }
            op::LONG4 => {
                let length = self.length::<4>()?;
                self.long(length)?
            }
            op::BINFLOAT => Value::Float(f64::from_be_bytes(self.array()?)),
            op::SHORT_BINUNICODE | op::SHORT_BINSTRING => self.text::<1>()?,
            op::BINUNICODE | op::BINSTRING => self.text::<4>()?,
            op::BINUNICODE8 => self.text::<8>()?,
            op::SHORT_BINBYTES => Value::Bytes(self.counted::<1>()?),
            op::BINBYTES => Value::Bytes(self.counted::<4>()?),
            op::BINBYTES8 | op::BYTEARRAY8 => Value::Bytes(self.counted::<8>()?),
            op::EMPTY_LIST | op::EMPTY_SET => Value::List(Vec::new()),
            op::EMPTY_TUPLE => Value::Tuple(Vec::new()),
            op::EMPTY_DICT => Value::Dict(Vec::new()),
            _ => return Ok(None),
        }))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], ModelError> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let Some((taken, _)) = rest.split_at_checked(count) else {
            return Err(self.heap.malformed(format!("{count} more bytes"), rest.len()));
        };
        self.position += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ModelError> {
        let bytes = self.take(N)?;
        bytes.try_into().map_err(|_| self.heap.malformed(format!("{N} bytes"), bytes.len()))
    }

    /// An unsigned length of `N` bytes.
    fn length<const N: usize>(&mut self) -> Result<usize, ModelError> {
        let bytes = self.array::<N>()?;
        let length = bytes.iter().rev().fold(0_u64, |length, byte| length << 8 | u64::from(*byte));
        Ok(usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// As many bytes as the length of `N` bytes before them says.
    fn counted<const N: usize>(&mut self) -> Result<&'a [u8], ModelError> {
        let length = self.length::<N>()?;
        self.take(length)
    }

    fn text<const N: usize>(&mut self) -> Result<Value<'a>, ModelError> {
        let bytes = self.counted::<N>()?;
        let text = std::str::from_utf8(bytes);
        text.map(Value::Text).map_err(|error| self.heap.malformed("text in UTF-8", error))
    }

    fn long(&mut self, length: usize) -> Result<Value<'a>, ModelError> {
        if length > LONG_BYTES_MAX {
            let expected = format!("an integer of at most {LONG_BYTES_MAX} bytes");
            return Err(self.heap.malformed(expected, length));
        }
        let bytes = self.take(length)?;
        let Some(last) = bytes.last() else { return Ok(Value::Int(0)) };
        if length > 8 {
            return Ok(Value::Long(bytes));
        }
        let mut whole = if last & 0x80 == 0 { [0; 8] } else { [0xff; 8] };
        whole[..length].copy_from_slice(bytes);
        Ok(Value::Int(i64::from_le_bytes(whole)))
    }

    fn protocol(&mut self) -> Result<(), ModelError> {
        let [version] = self.array()?;
        if version > PROTOCOL_MAX {
            let expected = format!("a protocol of at most {PROTOCOL_MAX}");
            return Err(self.heap.malformed(expected, version));
        }
        Ok(())
    }

    /// A frame says how much may be read at once, which is all here already.
    fn frame(&mut self) -> Result<(), ModelError> {
        let (length, left) = (self.length::<8>()?, self.bytes.len() - self.position);
        if length > left {
            return Err(self.heap.malformed(format!("a frame of {length} bytes"), left));
        }
        Ok(())
    }

    fn push(&mut self, value: Value<'a>) -> Result<(), ModelError> {
        let id = self.heap.add(value)?;
        self.stack.push(id);
        Ok(())
    }

    /// How high the stack was at the last mark.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn empty(&self) -> ModelError {
        self.heap.malformed("a value on the stack", "none")
    }

    fn top(&self) -> Result<Id, ModelError> {
        let above = self.stack.get(self.floor()..).unwrap_or_default();
        above.last().copied().ok_or_else(|| self.empty())
    }

    fn pop(&mut self) -> Result<Id, ModelError> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, ModelError> {
        // Nothing pops below a mark, so the stack is as high as it.
        let mark = self.marks.pop().filter(|mark| *mark <= self.stack.len());
        let mark = mark.ok_or_else(|| self.heap.malformed("a mark", "none"))?;
        Ok(self.stack.split_off(mark))
    }

    fn recall(&mut self, code: u8) -> Result<(), ModelError> {
        let index = if code == op::BINGET { self.length::<1>()? } else { self.length::<4>()? };
        let known = self.memo.get(index).copied().flatten();
        let id = known.ok_or_else(|| self.heap.malformed(format!("memo {index}"), "none"))?;
        self.stack.push(id);
        Ok(())
    }

    fn remember(&mut self, code: u8) -> Result<(), ModelError> {
        let top = self.top()?;
        let index = match code {
            op::BINPUT => self.length::<1>()?,
            op::LONG_BINPUT => self.length::<4>()?,
            _ => self.memo.len(),
        };
        if index >= MEMO_MAX {
            return Err(ModelError::too_large("memo of the pickle", MEMO_MAX, index));
        }
        if index >= self.memo.len() {
            self.memo.resize(index + 1, None);
        }
        self.memo[index] = Some(top);
        Ok(())
    }

    fn append(&mut self, items: &[Id]) -> Result<(), ModelError> {
        let list = self.top()?;
        match self.heap.get_mut(list) {
            Value::List(list) => list.extend(items),
            _ => return Err(self.heap.malformed("a list", self.heap.get(list).kind())),
        }
        Ok(())
    }

    /// Keys and values in turn.
    fn set(&mut self, items: &[Id]) -> Result<(), ModelError> {
        let dict = self.top()?;
        let (pairs, rest) = items.as_chunks();
        match self.heap.get_mut(dict) {
            Value::Dict(_) if !rest.is_empty() => {
                return Err(self.heap.malformed("a value for each key", "none"));
            }
            Value::Dict(entries) => entries.extend(pairs.iter().map(|[key, value]| (*key, *value))),
            _ => return Err(self.heap.malformed("a dictionary", self.heap.get(dict).kind())),
        }
        Ok(())
    }

    fn global(&mut self, code: u8) -> Result<(), ModelError> {
        let (module, name) = if code == op::GLOBAL {
            (self.line()?, self.line()?)
        } else {
            let name = self.pop()?;
            let module = self.pop()?;
            match (self.heap.get(module), self.heap.get(name)) {
                (Value::Text(module), Value::Text(name)) => (*module, *name),
                _ => return Err(self.heap.malformed("a module's and a class's name", "another")),
            }
        };
        if module.len() + name.len() > NAME_BYTES_MAX {
            return Err(self
                .heap
                .malformed("a shorter name of a class", module.len() + name.len()));
        }
        match globals::find(module, name, self.heap.reader().objects) {
            Some(global) => self.push(Value::Global(global)),
            None => Err(self.forbidden(module, name)),
        }
    }

    fn line(&mut self) -> Result<&'a str, ModelError> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let near = &rest[..rest.len().min(NAME_BYTES_MAX + 1)];
        let length = near.iter().position(|byte| *byte == b'\n');
        let length =
            length.ok_or_else(|| self.heap.malformed("a name and a line's end", "none"))?;
        let text = std::str::from_utf8(self.take(length)?);
        self.position += 1;
        text.map_err(|error| self.heap.malformed("a name in UTF-8", error))
    }

    fn forbidden(&self, module: &str, name: &str) -> ModelError {
        let name = format!("{module}.{name}").escape_debug().to_string();
        let reason = format!(
            "a pickle that calls {name}, which is never executed; \
             save model.state_dict() alone, which calls nothing"
        );
        self.heap.refuse(name, reason)
    }

    fn refused(&self, code: u8) -> ModelError {
        let name = op::name(code).map_or_else(|| format!("{code:#04x}"), str::to_owned);
        let reason = "an instruction that no state_dict needs; save model.state_dict() with torch";
        self.heap.refuse(format!("opcode {name}"), reason)
    }

    fn call(&mut self, code: u8) -> Result<(), ModelError> {
        let arguments = self.pop()?;
        let callee = self.pop()?;
        let made = match self.heap.get(callee) {
            Value::Global(Global::Class(class)) if code == op::NEWOBJ => {
                let class = class.clone();
                self.heap.add(Value::Object { class, state: None })?
            }
            Value::Global(Global::Call(call)) => {
                let call: Call = *call;
                calls::call(&mut self.heap, call, arguments)?
            }
            other => return Err(self.heap.malformed("something to call", other.kind())),
        };
        self.stack.push(made);
        Ok(())
    }

    /// Attributes: an instance's are kept; a dictionary's are no part of what it holds, and a
    /// tensor's no part of its numbers.
    fn build(&mut self) -> Result<(), ModelError> {
        let attributes = self.pop()?;
        let instance = self.top()?;
        match self.heap.get_mut(instance) {
            Value::Object { state, .. } => *state = Some(attributes),
            Value::Dict(_) | Value::Tensor(_) => {}
            _ => return Err(self.refused(op::BUILD)),
        }
        Ok(())
    }
}
