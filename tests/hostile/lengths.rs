//! Lengths that lie: files that ask for more memory or work than they have bytes.

use super::wire::{Message, onnx, tensor, zip};
use super::{Attack, put};

pub fn attacks() -> Vec<Attack> {
    vec![
        Attack::file("npy that asks for 32 GiB in 80 bytes", asks_for_32_gib, "[8589934592] needs"),
        Attack::file(
            "npy whose header is longer than the file",
            long_header,
            "a header of at most",
        ),
        Attack::file("npy whose shape overflows", npy_overflow, "as many bytes as"),
        Attack::file("CVE-2019-6446 kin: an array of pickled objects", object_array, "got |O"),
        Attack::file("onnx whose dimensions overflow", onnx_overflow, "fits memory"),
        Attack::file("onnx whose tensor is longer than the file", onnx_lies, "expected 24 bytes"),
        Attack::file("onnx of a million empty messages", onnx_messages, "parts of the ONNX graph"),
        Attack::file(
            "onnx of a message within itself a thousand times",
            onnx_depth,
            "opset_import",
        ),
        Attack::file("safetensors whose header is 2^63 bytes long", huge_header, "no model"),
        Attack::file("safetensors whose header is longer than the file", header_lies, "header"),
        Attack::file("safetensors whose shape overflows", safetensors_overflow, "header"),
        Attack::file("npz that inflates a thousandfold", npz_bomb, "inflated bytes"),
        Attack::file("zip of 100,000 members", many_members, "members of the npz"),
        Attack::file("manifest nested a million deep", nested_manifest, "manifest bytes"),
        Attack::file("manifest nested as deep as it may be long", deep_manifest, "model.toml"),
    ]
}

fn npy(header: &str) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes
}

fn layer(array: &[u8]) -> Vec<u8> {
    zip(&[("0-WEIGHT-w.npy", array)])
}

fn asks_for_32_gib(folder: &std::path::Path) {
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (8589934592,), }\n";
    put(folder, layer(&npy(header)));
}

fn long_header(folder: &std::path::Path) {
    let mut bytes = b"\x93NUMPY\x02\x00".to_vec();
    bytes.extend(u32::MAX.to_le_bytes());
    put(folder, layer(&bytes));
}

fn npy_overflow(folder: &std::path::Path) {
    let shape = format!("({0}, {0})", u64::MAX);
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
    put(folder, layer(&npy(&header)));
}

fn object_array(folder: &std::path::Path) {
    let header = "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n";
    let mut bytes = npy(header);
    bytes.extend(super::pickles::runs_a_command());
    put(folder, layer(&bytes));
}

fn onnx_overflow(folder: &std::path::Path) {
    put(folder, onnx(tensor("w", &[1 << 62, 1 << 62]).bytes(9, [0; 24])));
}

fn onnx_lies(folder: &std::path::Path) {
    put(folder, onnx(tensor("w", &[2, 3]).bytes(9, [0; 4])));
}

fn onnx_messages(folder: &std::path::Path) {
    let nodes = (0..1_000_000).fold(Message::default(), |graph, _| graph.bytes(1, []));
    put(folder, Message::default().message(7, nodes).done());
}

fn onnx_depth(folder: &std::path::Path) {
    // An attribute's graph is field 6 of the attribute, whose node is field 1 of the graph.
    let mut bytes = vec![];
    for _ in 0..1000 {
        bytes = Message::default().bytes(6, Message::default().bytes(1, bytes).done()).done();
    }
    let node = Message::default().bytes(4, "Gemm").bytes(5, bytes);
    put(folder, Message::default().message(7, Message::default().message(1, node)).done());
}

fn huge_header(folder: &std::path::Path) {
    put(folder, [&(1_u64 << 63).to_le_bytes()[..], b"{\"w\":{}}"].concat());
}

fn header_lies(folder: &std::path::Path) {
    put(folder, [&99_000_000_u64.to_le_bytes()[..], b"{\"w\":{}}"].concat());
}

fn safetensors_overflow(folder: &std::path::Path) {
    let header =
        format!(r#"{{"w":{{"dtype":"F32","shape":[{0},{0}],"data_offsets":[0,8]}}}}"#, 1_u64 << 62);
    let length = header.len() as u64;
    put(folder, [&length.to_le_bytes()[..], header.as_bytes(), &[0; 8]].concat());
}

fn npz_bomb(folder: &std::path::Path) {
    put(folder, layer(&vec![0; 64 << 20]));
}

fn many_members(folder: &std::path::Path) {
    let names: Vec<String> = (0..100_000).map(|n| format!("{n}-ACTIVATION-RELU.npy")).collect();
    let members: Vec<_> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    put(folder, zip(&members));
}

fn nested_manifest(folder: &std::path::Path) {
    put(folder, format!("weights = \"a\"\nname = {}", "[".repeat(1_000_000)));
}

fn deep_manifest(folder: &std::path::Path) {
    put(folder, format!("weights = \"a\"\nname = {}", "[".repeat(260_000)));
}
