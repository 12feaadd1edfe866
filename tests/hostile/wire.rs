//! Protobuf messages and zips, written by hand so that they can say what no library would.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A message in the making.
#[derive(Clone, Default)]
pub struct Message(Vec<u8>);

impl Message {
    pub fn int(mut self, tag: u64, number: u64) -> Message {
        varint(&mut self.0, tag << 3);
        varint(&mut self.0, number);
        self
    }

    pub fn bytes(mut self, tag: u64, bytes: impl AsRef<[u8]>) -> Message {
        varint(&mut self.0, tag << 3 | 2);
        varint(&mut self.0, bytes.as_ref().len() as u64);
        self.0.extend(bytes.as_ref());
        self
    }

    pub fn message(self, tag: u64, message: Message) -> Message {
        self.bytes(tag, message.0)
    }

    pub fn done(self) -> Vec<u8> {
        self.0
    }
}

fn varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// A zip of deflated members.
pub fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, bytes) in members {
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// An ONNX initializer of `float`s.
pub fn tensor(name: &str, dims: &[u64]) -> Message {
    let tensor = dims.iter().fold(Message::default(), |tensor, dim| tensor.int(1, *dim));
    tensor.int(2, 1).bytes(8, name)
}

/// An ONNX file of one `Gemm` from [batch, 3] to [batch, 2], with this weight.
pub fn onnx(weight: Message) -> Vec<u8> {
    let axis = |size: u64| Message::default().int(1, size);
    let shape = Message::default().message(1, Message::default().bytes(2, "N")).message(1, axis(3));
    let kind = Message::default().message(1, Message::default().int(1, 1).message(2, shape));
    let value = |name: &str| Message::default().bytes(1, name).message(2, kind.clone());
    let trans = Message::default().bytes(1, "transB").int(3, 1).int(20, 2);
    let gemm = Message::default().bytes(1, "x").bytes(1, "w").bytes(2, "y").bytes(4, "Gemm");
    let graph = Message::default()
        .message(1, gemm.message(5, trans))
        .bytes(2, "g")
        .message(5, weight)
        .message(11, value("x"))
        .message(12, Message::default().bytes(1, "y"));
    let opset = Message::default().bytes(1, "").int(2, 17);
    Message::default().int(1, 8).message(7, graph).message(8, opset).done()
}
