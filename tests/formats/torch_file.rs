//! PyTorch's files by hand: a pickle of a state_dict, in a zip or before raw storages.

use zip::CompressionMethod;

use super::npy::npz;

/// A tensor: numbers of its storage, and a view of them.
#[derive(Clone)]
pub struct Entry {
    pub name: &'static str,
    /// The class of its storage.
    pub class: &'static str,
    pub storage: Vec<u8>,
    /// The key of its storage, and the elements in that.
    pub key: &'static str,
    pub elements: u32,
    pub offset: u32,
    pub shape: Vec<u32>,
    pub stride: Vec<u32>,
}

/// A tensor of f32 that fills its storage, row by row.
pub fn f32s(name: &'static str, key: &'static str, shape: &[u32], numbers: &[f32]) -> Entry {
    let stride = |axis: usize| shape[axis + 1..].iter().product();
    Entry {
        name,
        class: "FloatStorage",
        storage: numbers.iter().flat_map(|number| number.to_le_bytes()).collect(),
        key,
        elements: numbers.len() as u32,
        offset: 0,
        shape: shape.to_vec(),
        stride: (0..shape.len()).map(stride).collect(),
    }
}

/// 3-2-1 under the names of a Sequential.
pub fn entries() -> Vec<Entry> {
    vec![
        f32s("0.weight", "0", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        f32s("0.bias", "1", &[2], &[0.5, -0.5]),
        f32s("2.weight", "2", &[1, 2], &[1.0, -1.0]),
        f32s("2.bias", "3", &[1], &[0.25]),
    ]
}

fn int(number: u32) -> Vec<u8> {
    [&b"\x8a\x05"[..], &number.to_le_bytes(), &[0]].concat()
}

fn text(text: &str) -> Vec<u8> {
    [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

fn tuple(items: &[u32]) -> Vec<u8> {
    [&b"("[..], &items.iter().flat_map(|item| int(*item)).collect::<Vec<u8>>(), b"t"].concat()
}

fn tensor(entry: &Entry) -> Vec<u8> {
    [
        &b"ctorch._utils\n_rebuild_tensor_v2\n(("[..],
        &text("storage"),
        format!("ctorch\n{}\n", entry.class).as_bytes(),
        &text(entry.key),
        &text("cpu"),
        &int(entry.elements),
        b"tQ",
        &int(entry.offset),
        &tuple(&entry.shape),
        &tuple(&entry.stride),
        b"\x89ccollections\nOrderedDict\n)RtR",
    ]
    .concat()
}

/// The pickle of an OrderedDict of the tensors, without its protocol and its end.
pub fn dict(entries: &[Entry]) -> Vec<u8> {
    let items = entries.iter().flat_map(|entry| [text(entry.name), tensor(entry)].concat());
    let items: Vec<u8> = items.collect();
    [&b"ccollections\nOrderedDict\n)R("[..], &items, b"u"].concat()
}

/// A dictionary of one key.
pub fn under(key: &str, value: &[u8]) -> Vec<u8> {
    [&b"}"[..], &text(key), value, b"s"].concat()
}

pub fn pickle(value: &[u8]) -> Vec<u8> {
    [&b"\x80\x02"[..], value, b"."].concat()
}

/// A zip of this pickle and of the tensors' storages.
pub fn zipped(data: &[u8], entries: &[Entry], method: CompressionMethod) -> Vec<u8> {
    let names: Vec<String> =
        entries.iter().map(|entry| format!("archive/data/{}", entry.key)).collect();
    let mut members = vec![("archive/data.pkl", data.to_vec())];
    for (name, entry) in names.iter().zip(entries) {
        if !members.iter().any(|(other, _)| other == name) {
            members.push((name, entry.storage.clone()));
        }
    }
    members.push(("archive/byteorder", b"little".to_vec()));
    npz(&members, method)
}

/// A state_dict as `torch.save` writes it.
pub fn zip(entries: &[Entry]) -> Vec<u8> {
    zipped(&pickle(&dict(entries)), entries, CompressionMethod::Stored)
}

/// What a file of before 1.6 begins with: magic number, version, byte order.
pub fn preamble(is_little: bool) -> Vec<u8> {
    let magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.";
    let bool = if is_little { b"\x88" } else { b"\x89" };
    [&magic[..], &pickle(&under("little_endian", bool))].concat()
}

/// A state_dict as PyTorch wrote it before 1.6.
pub fn legacy(entries: &[Entry]) -> Vec<u8> {
    let keys: Vec<u8> = entries.iter().flat_map(|entry| text(entry.key)).collect();
    let storage =
        |entry: &Entry| [&u64::from(entry.elements).to_le_bytes()[..], &entry.storage].concat();
    [
        preamble(true),
        pickle(&dict(entries)),
        pickle(&[&b"]("[..], &keys, b"e"].concat()),
        entries.iter().flat_map(storage).collect(),
    ]
    .concat()
}
