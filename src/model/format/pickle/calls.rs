//! What a known function or class makes of its arguments.

use std::rc::Rc;

use super::heap::Heap;
use super::{Call, Global, Id, StorageRef, TensorRef, Value};
use crate::model::ModelError;

/// The most arguments of a call; functions that rebuild tensors take eight.
const ARGUMENTS_MAX: usize = 16;
/// The most axes of a tensor.
const AXES_MAX: usize = 8;

/// What the call makes of a tuple of arguments.
pub(super) fn call(heap: &mut Heap<'_, '_>, call: Call, tuple: Id) -> Result<Id, ModelError> {
    let arguments = arguments(heap, tuple)?;
    match (call, &arguments[..]) {
        (Call::Dict, []) => heap.add(Value::Dict(Vec::new())),
        (Call::Dict, [of]) => dict(heap, *of),
        (Call::Same, [only]) => Ok(*only),
        (Call::First, [first, ..]) => Ok(*first),
        (Call::Tensor, [storage, offset, shape, stride, ..]) => {
            let tensor = tensor(heap, *storage, *offset, *shape, *stride)?;
            heap.add(Value::Tensor(Box::new(tensor)))
        }
        (Call::Inert(class), _) => {
            heap.add(Value::Object { class: Rc::from(class), state: Some(tuple) })
        }
        (_, arguments) => {
            Err(heap.malformed("the arguments of the call", format!("{} of them", arguments.len())))
        }
    }
}

fn arguments(heap: &Heap<'_, '_>, tuple: Id) -> Result<Vec<Id>, ModelError> {
    match heap.get(tuple) {
        Value::Tuple(ids) if ids.len() <= ARGUMENTS_MAX => Ok(ids.clone()),
        Value::Tuple(ids) => {
            Err(heap.malformed(format!("at most {ARGUMENTS_MAX} arguments"), ids.len()))
        }
        other => Err(heap.malformed("a tuple of arguments", other.kind())),
    }
}

/// A dictionary of pairs, of a dictionary's entries, or, where it is told what makes missing
/// entries, an empty one.
fn dict(heap: &mut Heap<'_, '_>, of: Id) -> Result<Id, ModelError> {
    // A list may be handed over many times, so what is copied of it counts as work.
    if let Value::List(ids) = heap.get(of) {
        let count = ids.len();
        heap.charge(count)?;
    }
    let entries = match heap.get(of) {
        Value::Dict(_) => return Ok(of),
        Value::Global(Global::Call(_)) | Value::None => Vec::new(),
        Value::List(ids) => {
            let pair = |id: &Id| match heap.get(*id) {
                Value::Tuple(pair) | Value::List(pair) => <[Id; 2]>::try_from(&pair[..]).ok(),
                _ => None,
            };
            let entries = ids.iter().map(|id| pair(id).map(|[key, value]| (key, value)));
            let entries: Option<Vec<_>> = entries.collect();
            entries.ok_or_else(|| heap.malformed("a list of pairs", "another"))?
        }
        other => return Err(heap.malformed("entries of a dictionary", other.kind())),
    };
    heap.add(Value::Dict(entries))
}

fn tensor<'a>(
    heap: &Heap<'a, '_>,
    storage: Id,
    offset: Id,
    shape: Id,
    stride: Id,
) -> Result<TensorRef<'a>, ModelError> {
    let Value::Storage(storage) = heap.get(storage) else {
        return Err(heap.malformed("a tensor's storage", heap.get(storage).kind()));
    };
    let (shape, stride) = (sizes(heap, shape)?, sizes(heap, stride)?);
    if shape.len() != stride.len() {
        let expected = format!("as many strides as axes, {}", shape.len());
        return Err(heap.malformed(expected, stride.len()));
    }
    Ok(TensorRef { storage: (**storage).clone(), offset: size(heap, offset)?, shape, stride })
}

fn sizes(heap: &Heap<'_, '_>, id: Id) -> Result<Vec<usize>, ModelError> {
    match heap.get(id) {
        Value::Tuple(ids) | Value::List(ids) if ids.len() <= AXES_MAX => {
            ids.iter().map(|id| size(heap, *id)).collect()
        }
        Value::Tuple(ids) | Value::List(ids) => {
            Err(heap.malformed(format!("at most {AXES_MAX} axes"), ids.len()))
        }
        other => Err(heap.malformed("a tensor's sizes", other.kind())),
    }
}

fn size(heap: &Heap<'_, '_>, id: Id) -> Result<usize, ModelError> {
    match heap.get(id) {
        Value::Int(size) => {
            usize::try_from(*size).map_err(|_| heap.malformed("a size from 0 up", size))
        }
        other => Err(heap.malformed("a size", other.kind())),
    }
}

/// The storage that a persistent id names: `('storage', class, key, device, elements)`, and in old
/// files a view of another storage, which no file has that a PyTorch of this decade wrote.
pub(super) fn storage<'a>(heap: &Heap<'a, '_>, id: Id) -> Result<StorageRef<'a>, ModelError> {
    let parts: Vec<&Value<'a>> = arguments(heap, id)?.iter().map(|id| heap.get(*id)).collect();
    let (word, rest) = parts.split_first().unwrap_or((&&Value::None, &[]));
    match (word, rest) {
        (Value::Text("storage"), [class, key, _, elements])
        | (Value::Text("storage"), [class, key, _, elements, Value::None]) => {
            let (Value::Global(Global::Storage(kind)), Value::Text(key), Value::Int(elements)) =
                (class, key, elements)
            else {
                return Err(heap.malformed("a storage's class, key and length", "others"));
            };
            let elements = usize::try_from(*elements)
                .map_err(|_| heap.malformed("a storage's length from 0 up", elements))?;
            Ok(StorageRef { kind, key, elements })
        }
        (Value::Text("storage"), _) => Err(heap.refuse("storage", "a view of another storage")),
        (word, _) => Err(heap.malformed("a storage's persistent id", word.kind())),
    }
}
