//! Tensors of the file: which numbers of which storage they are, and the numbers themselves.

use std::collections::HashMap;
use std::rc::Rc;

use bytes::Bytes;

use super::members::Members;
use crate::model::format::graph::Numbers;
use crate::model::format::numbers::element_count;
use crate::model::format::pickle::{StorageType, TensorRef};
use crate::model::format::strided::Strided;
use crate::model::{Format, ModelError};

/// What may be gathered from any file, however small.
const GATHERED_BYTES_MIN: usize = 1 << 16;

/// A tensor of the file: a view of a storage.
#[derive(Clone, Debug)]
pub(super) struct Constant {
    /// The member that is its storage.
    pub(super) member: Rc<str>,
    kind: &'static StorageType,
    offset: usize,
    pub(super) shape: Vec<usize>,
    stride: Vec<usize>,
}

/// What tells constants from each other.
pub(super) type Key = (Rc<str>, &'static str, usize, Vec<usize>, Vec<usize>);

impl Constant {
    /// The tensor that a pickle names, whose storages are members of `folder`.
    pub(super) fn new(folder: &str, tensor: &TensorRef) -> Constant {
        Constant {
            member: Rc::from(format!("{folder}/{}", tensor.storage.key)),
            kind: tensor.storage.kind,
            offset: tensor.offset,
            shape: tensor.shape.clone(),
            stride: tensor.stride.clone(),
        }
    }

    pub(super) fn key(&self) -> Key {
        let (member, kind) = (Rc::clone(&self.member), self.kind.name);
        (member, kind, self.offset, self.shape.clone(), self.stride.clone())
    }

    /// Whether its numbers are floating-point ones.
    pub(super) fn is_float(&self) -> bool {
        self.kind.element.is_some()
    }

    /// How many numbers there are; the largest count where that does not fit.
    pub(super) fn count(&self) -> usize {
        element_count(&self.shape).unwrap_or(usize::MAX)
    }

    /// The same numbers with two axes exchanged, where there are these.
    pub(super) fn transposed(&self, first: i64, second: i64) -> Option<Constant> {
        let (first, second) = (self.axis(first)?, self.axis(second)?);
        let mut other = self.clone();
        other.shape.swap(first, second);
        other.stride.swap(first, second);
        Some(other)
    }

    /// The same numbers with an axis of 1 before the one that is named.
    pub(super) fn unsqueezed(&self, axis: i64) -> Option<Constant> {
        let rank = self.shape.len() as i64 + 1;
        let axis = usize::try_from(if axis < 0 { axis + rank } else { axis }).ok()?;
        let mut other = self.clone();
        if axis > other.shape.len() {
            return None;
        }
        other.shape.insert(axis, 1);
        other.stride.insert(axis, 1);
        Some(other)
    }

    fn axis(&self, axis: i64) -> Option<usize> {
        let rank = self.shape.len() as i64;
        let axis = usize::try_from(if axis < 0 { axis + rank } else { axis }).ok()?;
        (axis < self.shape.len()).then_some(axis)
    }

    fn view(&self) -> Strided<'_> {
        Strided { offset: self.offset, shape: &self.shape, stride: &self.stride }
    }
}

/// Storages that were read, and how much may still be gathered from them.
pub(super) struct Storages<'a> {
    members: &'a Members<'a>,
    read: HashMap<Rc<str>, Bytes>,
    gathered: usize,
}

impl<'a> Storages<'a> {
    pub(super) fn new(members: &'a Members<'a>) -> Storages<'a> {
        Storages { members, read: HashMap::new(), gathered: 0 }
    }

    /// The numbers of a constant.
    pub(super) fn numbers(&mut self, constant: &Constant) -> Result<Numbers, ModelError> {
        let bytes = self.bytes(constant)?;
        match constant.kind.element {
            Some(element) => Ok(Numbers::Stored(element, bytes)),
            None => integers(constant, &bytes).map(Numbers::Doubles),
        }
    }

    /// The only number of a constant, where it has one.
    pub(super) fn scalar(&mut self, constant: &Constant) -> Result<Option<f64>, ModelError> {
        if constant.count() != 1 {
            return Ok(None);
        }
        Ok(match self.numbers(constant)? {
            Numbers::Stored(element, bytes) => element.decode_f64(&bytes).first().copied(),
            Numbers::Doubles(numbers) => numbers.first().copied(),
            Numbers::Integers(_) => None,
        })
    }

    /// The numbers as they are stored, row-major.
    fn bytes(&mut self, constant: &Constant) -> Result<Bytes, ModelError> {
        let storage = self.storage(&constant.member)?;
        if constant.shape.contains(&0) {
            return Ok(Bytes::new());
        }
        let (view, width) = (constant.view(), constant.kind.bytes);
        let end = view.end().and_then(|end| end.checked_mul(width));
        let Some(end) = end.filter(|end| *end <= storage.len()) else {
            let at = format!("tensor '{}'", constant.member);
            let expected = format!("numbers within {} bytes", storage.len());
            let got = format!("shape {:?}, strides {:?}", constant.shape, constant.stride);
            return Err(ModelError::malformed(Format::TorchScript, at, expected, got));
        };
        if view.is_contiguous() {
            // Below the end, which does not overflow.
            return Ok(storage.slice(constant.offset * width..end));
        }
        self.gathered = self.gathered.saturating_add(constant.count().saturating_mul(width));
        let limit = self.members.file_bytes().saturating_add(GATHERED_BYTES_MIN);
        if self.gathered > limit {
            let what = "bytes of transposed or expanded tensors";
            return Err(ModelError::too_large(what, limit, self.gathered));
        }
        Ok(Bytes::from(view.gather(&storage, width)))
    }

    fn storage(&mut self, member: &Rc<str>) -> Result<Bytes, ModelError> {
        if let Some(bytes) = self.read.get(member) {
            return Ok(bytes.clone());
        }
        let bytes = Bytes::from(self.members.read(member)?);
        self.read.insert(Rc::clone(member), bytes.clone());
        Ok(bytes)
    }
}

fn integers(constant: &Constant, bytes: &[u8]) -> Result<Vec<f64>, ModelError> {
    let all = |number: fn(&[u8]) -> f64| {
        bytes.chunks_exact(constant.kind.bytes).map(number).collect::<Vec<f64>>()
    };
    Ok(match constant.kind.name {
        "int64" => all(|b| little(b) as f64),
        "int32" => all(|b| f64::from(little(b) as i32)),
        "int16" => all(|b| f64::from(little(b) as i16)),
        "int8" => all(|b| f64::from(little(b) as i8)),
        "uint8" | "bool" => all(|b| f64::from(little(b) as u8)),
        other => {
            let reason = "only tensors of floating-point numbers and integers can be run";
            return Err(ModelError::unsupported(&constant.member, other, reason));
        }
    })
}

/// A little-endian integer of at most 8 bytes.
fn little(bytes: &[u8]) -> i64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | i64::from(*byte))
}
