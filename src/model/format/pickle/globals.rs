//! The classes and functions that a pickle may name.

use std::rc::Rc;

use super::{Call, Element, Global, StorageType};

/// Classes of storages, by their names in `torch` or `torch.storage`.
const STORAGES: [(&str, StorageType); 18] = [
    ("FloatStorage", of("float32", 4, Some(Element::F32))),
    ("DoubleStorage", of("float64", 8, Some(Element::F64))),
    ("HalfStorage", of("float16", 2, Some(Element::F16))),
    ("BFloat16Storage", of("bfloat16", 2, Some(Element::Bf16))),
    ("LongStorage", of("int64", 8, None)),
    ("IntStorage", of("int32", 4, None)),
    ("ShortStorage", of("int16", 2, None)),
    ("CharStorage", of("int8", 1, None)),
    ("ByteStorage", of("uint8", 1, None)),
    ("BoolStorage", of("bool", 1, None)),
    ("ComplexFloatStorage", of("complex64", 8, None)),
    ("ComplexDoubleStorage", of("complex128", 16, None)),
    ("QInt8Storage", of("qint8", 1, None)),
    ("QUInt8Storage", of("quint8", 1, None)),
    ("QInt32Storage", of("qint32", 4, None)),
    ("QUInt4x2Storage", of("quint4x2", 1, None)),
    ("QUInt2x4Storage", of("quint2x4", 1, None)),
    ("UntypedStorage", of("untyped bytes", 1, None)),
];

const fn of(name: &'static str, bytes: usize, element: Option<Element>) -> StorageType {
    StorageType { name, bytes, element }
}

/// Constants of `torch`, which checkpoints hold beside their tensors.
const CONSTANTS: [&str; 27] = [
    "float32",
    "float64",
    "float16",
    "bfloat16",
    "float",
    "double",
    "half",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "long",
    "int",
    "short",
    "bool",
    "complex64",
    "complex128",
    "qint8",
    "quint8",
    "qint32",
    "strided",
    "contiguous_format",
    "preserve_format",
    "channels_last",
    "per_tensor_affine",
    "per_channel_affine",
];

/// Functions and classes, by module and name.
const CALLS: [(&str, &str, Call); 27] = [
    ("collections", "OrderedDict", Call::Dict),
    ("collections", "defaultdict", Call::Dict),
    ("collections", "Counter", Call::Dict),
    ("builtins", "dict", Call::Dict),
    ("__builtin__", "dict", Call::Dict),
    ("builtins", "set", Call::Same),
    ("__builtin__", "set", Call::Same),
    ("builtins", "frozenset", Call::Same),
    ("__builtin__", "frozenset", Call::Same),
    ("builtins", "complex", Call::Inert("complex")),
    ("__builtin__", "complex", Call::Inert("complex")),
    ("_codecs", "encode", Call::Inert("bytes")),
    ("torch", "Size", Call::Same),
    ("torch", "device", Call::Inert("torch.device")),
    ("torch.serialization", "_get_layout", Call::Inert("torch.layout")),
    ("torch._utils", "_rebuild_tensor", Call::Tensor),
    ("torch._utils", "_rebuild_tensor_v2", Call::Tensor),
    ("torch._utils", "_rebuild_qtensor", Call::Tensor),
    ("torch._utils", "_rebuild_parameter", Call::First),
    ("torch._utils", "_rebuild_parameter_with_state", Call::First),
    ("torch.jit._pickle", "build_intlist", Call::Same),
    ("torch.jit._pickle", "build_doublelist", Call::Same),
    ("torch.jit._pickle", "build_boollist", Call::Same),
    ("torch.jit._pickle", "build_tensorlist", Call::Same),
    ("torch.jit._pickle", "build_tensor_from_id", Call::Inert("a tensor by its number")),
    ("torch.jit._pickle", "restore_type_tag", Call::First),
    ("pathlib", "PosixPath", Call::Inert("pathlib.PosixPath")),
];

/// The global of this module and name, where it is a known one; TorchScript's classes are where
/// `objects` says so.
pub(super) fn find(module: &str, name: &str, objects: bool) -> Option<Global> {
    if objects && (module == "__torch__" || module.starts_with("__torch__.")) {
        return Some(Global::Class(Rc::from(format!("{module}.{name}"))));
    }
    let call = CALLS.iter().find(|(of, called, _)| (*of, *called) == (module, name));
    if let Some((.., call)) = call {
        return Some(Global::Call(*call));
    }
    let storage = || STORAGES.iter().find(|(storage, _)| *storage == name);
    match module {
        "torch" => {
            let constant = || CONSTANTS.iter().find(|constant| **constant == name);
            let storage = storage().map(|(_, kind)| Global::Storage(kind));
            storage.or_else(|| constant().map(|name| Global::Constant(name)))
        }
        "torch.storage" => storage().map(|(_, kind)| Global::Storage(kind)),
        _ => None,
    }
}
