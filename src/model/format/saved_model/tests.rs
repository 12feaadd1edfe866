//! Small SavedModels told byte by byte: the sound one, and everything that may be wrong with one.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use prost::Message;

use super::checksum;
use super::files::Files;
use super::proto::*;
use crate::model::{Activation, Model, ModelError};

mod damaged;
mod told;

/// Files in memory.
#[derive(Clone, Default)]
struct Memory(HashMap<String, Bytes>);

impl Files for Memory {
    fn read(&self, name: &str) -> Result<Bytes, ModelError> {
        let missing = || super::malformed(name, "a file", "none");
        self.0.get(name).cloned().ok_or_else(missing)
    }
}

const INDEX: &str = "variables/variables.index";
const DATA: &str = "variables/variables.data-00000-of-00001";

fn read(files: &Memory) -> Result<Model, ModelError> {
    super::read(files, "told")
}

fn error(files: &Memory, part: &str) {
    let error = read(files).expect_err(part).to_string();
    assert!(error.contains(part) && !error.contains('\n'), "expected '{part}' in: {error}");
}

fn node(name: &str, op: &str, inputs: &[&str], attributes: &[(&str, AttrValue)]) -> NodeDef {
    let entry = |(key, value): &(&str, AttrValue)| AttrEntry {
        key: (*key).into(),
        value: value.encode_to_vec().into(),
    };
    NodeDef {
        name: name.into(),
        op: op.into(),
        input: inputs.iter().map(|input| (*input).into()).collect(),
        attr: attributes.iter().map(entry).collect(),
    }
}

fn call(name: &str, function: &str, inputs: &[&str]) -> NodeDef {
    let func = Some(OpName { name: function.into() });
    node(name, "StatefulPartitionedCall", inputs, &[("f", AttrValue { func, ..<_>::default() })])
}

fn shape(sizes: &[i64]) -> Option<TensorShape> {
    let dim = sizes.iter().map(|size| Dimension { size: *size }).collect();
    Some(TensorShape { dim, unknown_rank: false })
}

fn handle(name: &str) -> NodeDef {
    let s = Bytes::copy_from_slice(name.as_bytes());
    node(name, "VarHandleOp", &[], &[("shared_name", AttrValue { s, ..<_>::default() })])
}

fn constant(name: &str, tensor: TensorProto) -> NodeDef {
    let tensor = Some(tensor);
    node(name, "Const", &[], &[("value", AttrValue { tensor, ..<_>::default() })])
}

fn function(name: &str, arguments: &[&str], nodes: Vec<NodeDef>, result: &str) -> FunctionDef {
    let argument = |name: &&str| ArgDef { name: (*name).into() };
    FunctionDef {
        signature: Some(OpDef {
            name: name.into(),
            input_arg: arguments.iter().map(argument).collect(),
            output_arg: vec![argument(&"result")],
        }),
        node_def: nodes,
        ret: vec![StringEntry { key: "result".into(), value: result.into() }],
    }
}

fn info(name: &str, sizes: &[i64]) -> Vec<TensorInfoEntry> {
    let value = TensorInfo { name: name.into(), dtype: 1, tensor_shape: shape(sizes) };
    vec![TensorInfoEntry { key: "tensor".into(), value: Some(value) }]
}

/// A model in the making: `relu(x * w + b)` of three inputs and two outputs.
#[derive(Clone)]
struct Told {
    nodes: Vec<NodeDef>,
    functions: Vec<FunctionDef>,
    signatures: Vec<SignatureEntry>,
    names: Vec<String>,
    captures: Vec<(String, Vec<i32>)>,
    /// Checkpoint keys by object.
    keys: Vec<String>,
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    data: Vec<u8>,
}

const WEIGHT: [f32; 6] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];

impl Told {
    fn new() -> Told {
        let value =
            SignatureDef { inputs: info("x:0", &[-1, 3]), outputs: info("call:0", &[-1, 2]) };
        let mut told = Told {
            nodes: vec![
                node("x", "Placeholder", &[], &[]),
                handle("w"),
                handle("b"),
                call("call", "outer", &["x", "w", "b"]),
            ],
            functions: vec![
                function(
                    "outer",
                    &["x", "first", "second"],
                    vec![call("call", "inner", &["x", "first", "second", "^nothing"])],
                    "call:output:0",
                ),
                function("inner", &["x", "w", "b"], inner(), "relu:activations:0"),
            ],
            signatures: vec![SignatureEntry { key: "serving_default".into(), value: Some(value) }],
            names: vec!["root".into(), "w".into(), "b".into()],
            captures: vec![("outer".into(), vec![1, 2])],
            keys: vec![String::new(), "model/w".into(), "model/b".into()],
            entries: BTreeMap::new(),
            data: Vec::new(),
        };
        told.tensor("model/w", &[3, 2], &WEIGHT);
        told.tensor("model/b", &[2], &[0.5, -0.5]);
        told
    }

    fn tensor(&mut self, key: &str, sizes: &[i64], numbers: &[f32]) {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        let entry = BundleEntry { dtype: 1, shape: shape(sizes), ..BundleEntry::default() };
        self.store(key, entry, &bytes, checksum::of(&[&bytes]));
    }

    fn store(&mut self, key: &str, entry: BundleEntry, bytes: &[u8], crc32c: u32) {
        let (offset, size) = (self.data.len() as i64, bytes.len() as i64);
        let entry = BundleEntry { offset, size, crc32c, ..entry };
        self.data.extend(bytes);
        self.entries.insert(key.into(), entry.encode_to_vec());
    }

    /// Changes what the index says about a key.
    fn lie(mut self, key: &str, change: impl Fn(&mut BundleEntry)) -> Told {
        let bytes = self.entries.get_mut(key.as_bytes()).unwrap();
        let mut entry = BundleEntry::decode(&bytes[..]).unwrap();
        change(&mut entry);
        *bytes = entry.encode_to_vec();
        self
    }

    fn objects(&mut self) {
        let object = |(name, key): (&String, &String)| TrackableObject {
            attributes: vec![SerializedTensor {
                name: "VARIABLE_VALUE".into(),
                full_name: name.clone(),
                checkpoint_key: key.clone(),
            }],
        };
        let nodes = self.names.iter().zip(&self.keys).map(object).collect();
        let text = TrackableObjectGraph { nodes }.encode_to_vec();
        let mut bytes = Vec::new();
        prost::encoding::encode_varint(text.len() as u64, &mut bytes);
        let length = (text.len() as u32).to_le_bytes();
        let sum = checksum::of(&[&length]).to_le_bytes();
        bytes.extend(sum);
        bytes.extend(&text);
        let entry = BundleEntry { dtype: 7, shape: shape(&[]), ..BundleEntry::default() };
        let crc32c = checksum::of(&[&length, &sum, &text]);
        self.store("_CHECKPOINTABLE_OBJECT_GRAPH", entry, &bytes, crc32c);
    }

    fn meta_graph(&self) -> MetaGraphDef {
        let functions = self.functions.iter().map(|function| function.encode_to_vec().into());
        let library = FunctionLibrary { function: functions.collect() };
        let object =
            |name: &String| SavedObject { variable: Some(SavedVariable { name: name.clone() }) };
        let captured = |(name, captured): &(String, Vec<i32>)| ConcreteFunctionEntry {
            key: name.clone(),
            value: Some(SavedConcreteFunction { bound_inputs: captured.clone() }),
        };
        MetaGraphDef {
            meta_info_def: Some(MetaInfoDef { tags: vec!["serve".into()] }),
            graph_def: Some(GraphDef { node: self.nodes.clone(), library: Some(library) }),
            signature_def: self.signatures.clone(),
            object_graph_def: Some(SavedObjectGraph {
                nodes: self.names.iter().map(object).collect(),
                concrete_functions: self.captures.iter().map(captured).collect(),
            }),
        }
    }

    fn files(mut self) -> Memory {
        self.objects();
        let header = BundleHeader { num_shards: 1, endianness: 0 };
        self.entries.entry(Vec::new()).or_insert(header.encode_to_vec());
        let file = SavedModel { meta_graphs: vec![self.meta_graph().encode_to_vec().into()] };
        let entries: Vec<_> = self.entries.into_iter().collect();
        Memory(HashMap::from([
            (super::FILE.into(), file.encode_to_vec().into()),
            (INDEX.into(), table(&[&block(&entries)]).into()),
            (DATA.into(), self.data.into()),
        ]))
    }
}

/// The layer's own nodes.
fn inner() -> Vec<NodeDef> {
    vec![
        node("read_w", "ReadVariableOp", &["w"], &[]),
        node("read_b", "ReadVariableOp", &["b"], &[]),
        node("product", "MatMul", &["x", "read_w:value:0"], &[]),
        node("sum", "BiasAdd", &["product:product:0", "read_b:value:0"], &[]),
        node("relu", "Relu", &["sum:output:0", "^read_w"], &[]),
    ]
}

/// A block whose keys share their beginnings, with its one restart.
fn block(entries: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let (mut block, mut last) = (Vec::new(), &Vec::new());
    for (key, value) in entries {
        let shared = key.iter().zip(last).take_while(|(a, b)| a == b).count();
        for number in [shared, key.len() - shared, value.len()] {
            prost::encoding::encode_varint(number as u64, &mut block);
        }
        block.extend(&key[shared..]);
        block.extend(value);
        last = key;
    }
    block.extend([0, 0, 0, 0, 1, 0, 0, 0]);
    block
}

/// A table of these data blocks.
fn table(blocks: &[&[u8]]) -> Vec<u8> {
    let mut handles = Vec::new();
    let mut file = Vec::new();
    for (number, block) in blocks.iter().enumerate() {
        handles.push((vec![b'~', number as u8], append(&mut file, block)));
    }
    let index = append(&mut file, &block(&handles));
    with_footer(file, &index)
}

fn with_footer(mut file: Vec<u8>, index: &[u8]) -> Vec<u8> {
    let start = file.len();
    file.extend([0, 0]);
    file.extend(index);
    file.resize(start + 40, 0);
    file.extend([0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb]);
    file
}

/// Adds a block with its trailer; gives back its handle.
fn append(file: &mut Vec<u8>, block: &[u8]) -> Vec<u8> {
    let mut handle = Vec::new();
    prost::encoding::encode_varint(file.len() as u64, &mut handle);
    prost::encoding::encode_varint(block.len() as u64, &mut handle);
    file.extend(block);
    file.push(0);
    file.extend(checksum::of(&[block, &[0]]).to_le_bytes());
    handle
}
