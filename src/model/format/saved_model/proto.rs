//! The part of TensorFlow's messages that a dense chain needs; unknown fields are skipped by the
//! decoder.
//!
//! Names and tags are those of `framework/*.proto` and `protobuf/*.proto` in
//! <https://github.com/tensorflow/tensorflow/tree/master/tensorflow/core>. Messages of which only
//! few are looked into are left as bytes, which are decoded where they are needed.

use bytes::Bytes;
use prost::Message;

/// `DataType`.
pub(super) mod data_type {
    pub(in super::super) const FLOAT: i32 = 1;
    pub(in super::super) const DOUBLE: i32 = 2;
    pub(in super::super) const INT32: i32 = 3;
    pub(in super::super) const STRING: i32 = 7;
    pub(in super::super) const INT64: i32 = 9;
    pub(in super::super) const BFLOAT16: i32 = 14;
    pub(in super::super) const HALF: i32 = 19;
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedModel {
    /// Messages `MetaGraphDef`.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(super) meta_graphs: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MetaGraphDef {
    #[prost(message, optional, tag = "1")]
    pub(super) meta_info_def: Option<MetaInfoDef>,
    #[prost(message, optional, tag = "2")]
    pub(super) graph_def: Option<GraphDef>,
    #[prost(message, repeated, tag = "5")]
    pub(super) signature_def: Vec<SignatureEntry>,
    #[prost(message, optional, tag = "7")]
    pub(super) object_graph_def: Option<SavedObjectGraph>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MetaInfoDef {
    #[prost(string, repeated, tag = "4")]
    pub(super) tags: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SignatureEntry {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(message, optional, tag = "2")]
    pub(super) value: Option<SignatureDef>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SignatureDef {
    #[prost(message, repeated, tag = "1")]
    pub(super) inputs: Vec<TensorInfoEntry>,
    #[prost(message, repeated, tag = "2")]
    pub(super) outputs: Vec<TensorInfoEntry>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorInfoEntry {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(message, optional, tag = "2")]
    pub(super) value: Option<TensorInfo>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorInfo {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(int32, tag = "2")]
    pub(super) dtype: i32,
    #[prost(message, optional, tag = "3")]
    pub(super) tensor_shape: Option<TensorShape>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorShape {
    #[prost(message, repeated, tag = "2")]
    pub(super) dim: Vec<Dimension>,
    #[prost(bool, tag = "3")]
    pub(super) unknown_rank: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Dimension {
    #[prost(int64, tag = "1")]
    pub(super) size: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct GraphDef {
    #[prost(message, repeated, tag = "1")]
    pub(super) node: Vec<NodeDef>,
    #[prost(message, optional, tag = "2")]
    pub(super) library: Option<FunctionLibrary>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FunctionLibrary {
    /// Messages `FunctionDef`.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(super) function: Vec<Bytes>,
}

/// A `FunctionDef` of which only the name is looked at.
#[derive(Clone, PartialEq, Message)]
pub(super) struct FunctionName {
    #[prost(message, optional, tag = "1")]
    pub(super) signature: Option<OpName>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct OpName {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FunctionDef {
    #[prost(message, optional, tag = "1")]
    pub(super) signature: Option<OpDef>,
    #[prost(message, repeated, tag = "3")]
    pub(super) node_def: Vec<NodeDef>,
    #[prost(message, repeated, tag = "4")]
    pub(super) ret: Vec<StringEntry>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StringEntry {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct OpDef {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) input_arg: Vec<ArgDef>,
    #[prost(message, repeated, tag = "3")]
    pub(super) output_arg: Vec<ArgDef>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ArgDef {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct NodeDef {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) op: String,
    #[prost(string, repeated, tag = "3")]
    pub(super) input: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    pub(super) attr: Vec<AttrEntry>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AttrEntry {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    /// A message `AttrValue`.
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) value: Bytes,
}

/// One of these is there; what is not is empty.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AttrValue {
    #[prost(message, optional, tag = "1")]
    pub(super) list: Option<ListValue>,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) s: Bytes,
    #[prost(int64, tag = "3")]
    pub(super) i: i64,
    #[prost(float, tag = "4")]
    pub(super) f: f32,
    #[prost(bool, tag = "5")]
    pub(super) b: bool,
    #[prost(int32, tag = "6")]
    pub(super) r#type: i32,
    #[prost(message, optional, tag = "7")]
    pub(super) shape: Option<TensorShape>,
    #[prost(message, optional, tag = "8")]
    pub(super) tensor: Option<TensorProto>,
    #[prost(message, optional, tag = "10")]
    pub(super) func: Option<OpName>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ListValue {
    #[prost(int64, repeated, tag = "3")]
    pub(super) i: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorProto {
    #[prost(int32, tag = "1")]
    pub(super) dtype: i32,
    #[prost(message, optional, tag = "2")]
    pub(super) tensor_shape: Option<TensorShape>,
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) tensor_content: Bytes,
    #[prost(float, repeated, tag = "5")]
    pub(super) float_val: Vec<f32>,
    #[prost(double, repeated, tag = "6")]
    pub(super) double_val: Vec<f64>,
    #[prost(int32, repeated, tag = "7")]
    pub(super) int_val: Vec<i32>,
    #[prost(int64, repeated, tag = "10")]
    pub(super) int64_val: Vec<i64>,
    #[prost(int32, repeated, tag = "13")]
    pub(super) half_val: Vec<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedObjectGraph {
    #[prost(message, repeated, tag = "1")]
    pub(super) nodes: Vec<SavedObject>,
    #[prost(message, repeated, tag = "2")]
    pub(super) concrete_functions: Vec<ConcreteFunctionEntry>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedObject {
    #[prost(message, optional, tag = "7")]
    pub(super) variable: Option<SavedVariable>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedVariable {
    #[prost(string, tag = "6")]
    pub(super) name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ConcreteFunctionEntry {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(message, optional, tag = "2")]
    pub(super) value: Option<SavedConcreteFunction>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedConcreteFunction {
    #[prost(int32, repeated, tag = "2")]
    pub(super) bound_inputs: Vec<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TrackableObjectGraph {
    #[prost(message, repeated, tag = "1")]
    pub(super) nodes: Vec<TrackableObject>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TrackableObject {
    #[prost(message, repeated, tag = "2")]
    pub(super) attributes: Vec<SerializedTensor>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SerializedTensor {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) full_name: String,
    #[prost(string, tag = "3")]
    pub(super) checkpoint_key: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct BundleHeader {
    #[prost(int32, tag = "1")]
    pub(super) num_shards: i32,
    /// 0 is little-endian.
    #[prost(int32, tag = "2")]
    pub(super) endianness: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct BundleEntry {
    #[prost(int32, tag = "1")]
    pub(super) dtype: i32,
    #[prost(message, optional, tag = "2")]
    pub(super) shape: Option<TensorShape>,
    #[prost(int32, tag = "3")]
    pub(super) shard_id: i32,
    #[prost(int64, tag = "4")]
    pub(super) offset: i64,
    #[prost(int64, tag = "5")]
    pub(super) size: i64,
    #[prost(fixed32, tag = "6")]
    pub(super) crc32c: u32,
    /// Messages `TensorSliceProto`: the tensor lies in parts under other keys.
    #[prost(bytes = "bytes", repeated, tag = "7")]
    pub(super) slices: Vec<Bytes>,
}
