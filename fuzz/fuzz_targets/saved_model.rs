//! SavedModel files of any bytes give a model or a typed error.
//!
//! The bytes are a kind, two lengths, and three parts. The kind says how much of the checkpoint is
//! made here, with the checksums that no fuzzer guesses:
//!
//! * 0: nothing; the parts are the graph, the index and the data.
//! * 1: the table around one block of entries; the parts are the graph, the block and the data.
//! * 2: all of it; the parts are the graph, the object graph, and tensors: rank, axes, numbers.

#![no_main]

use crc::{CRC_32_ISCSI, Crc};
use fusewire::model::saved_model_of_parts;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(([kind, a, b, c, d], rest)) = bytes.split_first_chunk() else { return };
    let cut = |rest: &mut &[u8], length: [u8; 2]| {
        let length = rest.len().min(usize::from(u16::from_le_bytes(length)));
        let (part, after) = rest.split_at(length);
        *rest = after;
        part.to_vec()
    };
    let mut rest = rest;
    let (graph, second) = (cut(&mut rest, [*a, *b]), cut(&mut rest, [*c, *d]));
    let _ = match kind % 3 {
        0 => saved_model_of_parts([&graph, &second, rest]),
        1 => saved_model_of_parts([&graph, &table(&second), rest]),
        _ => {
            let (index, data) = checkpoint(&second, rest);
            saved_model_of_parts([&graph, &index, &data])
        }
    };
});

/// A sound checkpoint of an object graph and of the tensors `k0`, `k1`, .. that `rest` holds.
fn checkpoint(objects: &[u8], mut rest: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut data = Vec::new();
    let length = (objects.len() as u32).to_le_bytes();
    let sum = crc(&length).to_le_bytes();
    let mut text = varint(objects.len() as u64);
    text.extend(sum);
    text.extend(objects);
    let text_crc = crc(&[&length[..], &sum, objects].concat());
    let mut entries = vec![(String::new(), vec![0x08, 1])];
    let object_graph = entry(7, &[], 0, text.len(), text_crc);
    entries.push((String::from("_CHECKPOINTABLE_OBJECT_GRAPH"), object_graph));
    data.extend(&text);
    for number in 0..8 {
        let Some((rank, after)) = rest.split_first() else { break };
        let (axes, after) = after.split_at(usize::from(rank % 3).min(after.len()));
        let size = 4 * axes.iter().map(|axis| usize::from(axis % 16)).product::<usize>();
        let (numbers, after) = after.split_at(size.min(after.len()));
        let mut numbers = numbers.to_vec();
        numbers.resize(size, 0);
        let shape: Vec<u8> = axes.iter().map(|axis| axis % 16).collect();
        entries.push((format!("k{number}"), entry(1, &shape, data.len(), size, crc(&numbers))));
        data.extend(numbers);
        rest = after;
    }
    let mut block = Vec::new();
    for (key, value) in entries {
        block.push(0);
        block.extend(varint(key.len() as u64));
        block.extend(varint(value.len() as u64));
        block.extend(key.as_bytes());
        block.extend(value);
    }
    block.extend([0; 4]);
    (table(&block), data)
}

/// A `BundleEntryProto`.
fn entry(dtype: u8, shape: &[u8], offset: usize, size: usize, crc: u32) -> Vec<u8> {
    let shape: Vec<u8> = shape.iter().flat_map(|axis| [0x12, 2, 0x08, *axis]).collect();
    let mut entry = vec![0x08, dtype, 0x12, shape.len() as u8];
    entry.extend(shape);
    entry.push(0x20);
    entry.extend(varint(offset as u64));
    entry.push(0x28);
    entry.extend(varint(size as u64));
    entry.push(0x35);
    entry.extend(crc.to_le_bytes());
    entry
}

/// A table of one data block.
fn table(block: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let handle = append(&mut file, block);
    let mut index = vec![0, 1, handle.len() as u8, b'~'];
    index.extend(handle);
    index.extend([0; 4]);
    let handle = append(&mut file, &index);
    let start = file.len();
    file.extend([0, 0]);
    file.extend(handle);
    file.resize(start + 40, 0);
    file.extend([0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb]);
    file
}

/// Adds a block with its trailer; gives back its handle.
fn append(file: &mut Vec<u8>, block: &[u8]) -> Vec<u8> {
    let handle = [varint(file.len() as u64), varint(block.len() as u64)].concat();
    file.extend(block);
    file.push(0);
    file.extend(crc(&[block, &[0]].concat()).to_le_bytes());
    handle
}

/// The masked checksum.
fn crc(bytes: &[u8]) -> u32 {
    let crc = Crc::<u32>::new(&CRC_32_ISCSI).checksum(bytes);
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}
