//! TorchScript archives written by hand: a zip of pickles and code.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// The attributes of the module that every archive here holds, as class `__torch__.M`:
/// `w` and `b` are a layer from 3 values to 2, `v` is positive, `n` is of integers, and `sub` is a
/// module of class `__torch__.S` that has `w` too.
pub fn data() -> Vec<u8> {
    let w = || tensor("FloatStorage", "0", &[2, 3], &[3, 1], 0);
    let sub = object("__torch__", "S", &[("w", w())]);
    let attributes = [
        ("training", vec![0x89]),
        ("w", w()),
        ("b", tensor("FloatStorage", "1", &[2], &[1], 0)),
        ("v", tensor("FloatStorage", "1", &[2], &[1], 2)),
        ("n", tensor("LongStorage", "2", &[2], &[1], 0)),
        ("slope", tensor("FloatStorage", "1", &[1], &[1], 0)),
        ("k", [&b"]("[..], &int(1), &int(2), b"e"].concat()),
        ("none", vec![b'N']),
        ("table", vec![b'}']),
        ("sub", sub),
    ];
    pickle(&object("__torch__", "M", &attributes))
}

/// `CONSTANTS.c0` is the integer 1, and `CONSTANTS.c1` a vector of 2 numbers.
pub fn constants() -> Vec<u8> {
    let scalar = tensor("LongStorage", "0", &[], &[], 0);
    let vector = tensor("FloatStorage", "1", &[2], &[1], 0);
    pickle(&[&b"("[..], &scalar, &vector, b"t"].concat())
}

/// The archive whose `forward` consists of these lines.
pub fn forward(lines: &str) -> Vec<u8> {
    archive(&module(lines))
}

/// The code of the module, whose `forward` consists of these lines.
pub fn module(lines: &str) -> String {
    format!(
        "class M(Module):\n  training : bool\n  def forward(self: __torch__.M,\n    x: Tensor) -> \
         Tensor:\n    {}\n",
        lines.replace('\n', "\n    ")
    )
}

/// The archive with this code.
pub fn archive(code: &str) -> Vec<u8> {
    let mut members = members();
    members[2].1 = code.as_bytes().to_vec();
    zipped(&members)
}

/// The members of an archive: `data.pkl`, `constants.pkl`, the code, and storages.
pub fn members() -> Vec<(&'static str, Vec<u8>)> {
    let floats = |numbers: &[f32]| numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    let longs = |numbers: &[i64]| numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    vec![
        ("data.pkl", data()),
        ("constants.pkl", constants()),
        ("code/__torch__.py", module("return torch.linear(x, self.w, self.b)").into_bytes()),
        ("data/0", floats(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])),
        ("data/1", floats(&[0.5, -0.5, 0.25, 4.0])),
        ("data/2", longs(&[2, -3])),
        ("constants/0", longs(&[1])),
        ("constants/1", floats(&[0.125, 8.0])),
        ("byteorder", b"little".to_vec()),
    ]
}

pub fn zipped(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in members {
        // As PyTorch does with code; what is large would be an attack by its inflation alone.
        let is_small = content.len() < 1 << 16;
        let method = if is_small { CompressionMethod::Deflated } else { CompressionMethod::Stored };
        let options = SimpleFileOptions::default().compression_method(method);
        zip.start_file(format!("archive/{name}"), options).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

pub fn pickle(value: &[u8]) -> Vec<u8> {
    [b"\x80\x02", value, b"."].concat()
}

/// An instance of a class with attributes.
pub fn object(module: &str, class: &str, attributes: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let state: Vec<u8> =
        attributes.iter().flat_map(|(name, value)| [text(name), value.clone()].concat()).collect();
    [global(module, class), b")\x81}(".to_vec(), state, b"ub".to_vec()].concat()
}

/// A tensor of a storage.
pub fn tensor(kind: &str, key: &str, shape: &[i32], stride: &[i32], offset: i32) -> Vec<u8> {
    let sizes = |sizes: &[i32]| {
        let sizes: Vec<u8> = sizes.iter().flat_map(|size| int(*size)).collect();
        [b"(", &sizes[..], b"t"].concat()
    };
    let storage =
        [text("storage"), global("torch", kind), text(key), text("cpu"), int(64)].concat();
    [
        global("torch._utils", "_rebuild_tensor_v2"),
        [b"((", &storage[..], b"tQ"].concat(),
        [int(offset), sizes(shape), sizes(stride), vec![0x89]].concat(),
        [global("collections", "OrderedDict"), b")RtR".to_vec()].concat(),
    ]
    .concat()
}

fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}

fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

pub fn int(int: i32) -> Vec<u8> {
    [b"J", &int.to_le_bytes()[..]].concat()
}
