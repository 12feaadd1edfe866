//! The part of `onnx.proto` that a dense chain needs; unknown fields are skipped by the decoder.
//!
//! Names and tags are those of <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3>.

use bytes::Bytes;
use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(in crate::model::format) struct ModelProto {
    #[prost(int64, tag = "1")]
    pub(in crate::model::format) ir_version: i64,
    #[prost(string, tag = "2")]
    pub(in crate::model::format) producer_name: String,
    #[prost(message, repeated, tag = "8")]
    pub(in crate::model::format) opset_import: Vec<OperatorSetId>,
    #[prost(message, optional, tag = "7")]
    pub(in crate::model::format) graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "14")]
    pub(in crate::model::format) metadata_props: Vec<StringEntry>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::model::format) struct StringEntry {
    #[prost(string, tag = "1")]
    pub(in crate::model::format) key: String,
    #[prost(string, tag = "2")]
    pub(in crate::model::format) value: String,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::model::format) struct OperatorSetId {
    #[prost(string, tag = "1")]
    pub(in crate::model::format) domain: String,
    #[prost(int64, tag = "2")]
    pub(in crate::model::format) version: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::model::format) struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    pub(in crate::model::format) node: Vec<NodeProto>,
    #[prost(string, tag = "2")]
    pub(in crate::model::format) name: String,
    #[prost(message, repeated, tag = "5")]
    pub(in crate::model::format) initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    pub(in crate::model::format) input: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "12")]
    pub(in crate::model::format) output: Vec<ValueInfo>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::model::format) struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    pub(in crate::model::format) input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(in crate::model::format) output: Vec<String>,
    #[prost(string, tag = "3")]
    pub(in crate::model::format) name: String,
    #[prost(string, tag = "4")]
    pub(in crate::model::format) op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub(in crate::model::format) attribute: Vec<AttributeProto>,
    #[prost(string, tag = "7")]
    pub(in crate::model::format) domain: String,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::model::format) struct AttributeProto {
    #[prost(string, tag = "1")]
    pub(in crate::model::format) name: String,
    #[prost(float, tag = "2")]
    pub(in crate::model::format) f: f32,
    #[prost(int64, tag = "3")]
    pub(in crate::model::format) i: i64,
    #[prost(bytes = "bytes", tag = "4")]
    pub(in crate::model::format) s: Bytes,
    #[prost(message, optional, tag = "5")]
    pub(in crate::model::format) t: Option<TensorProto>,
    #[prost(float, repeated, tag = "7")]
    pub(in crate::model::format) floats: Vec<f32>,
    #[prost(int64, repeated, tag = "8")]
    pub(in crate::model::format) ints: Vec<i64>,
    #[prost(int32, tag = "20")]
    pub(in crate::model::format) r#type: i32,
}

/// `AttributeProto.AttributeType`.
pub(in crate::model::format) mod attribute_type {
    pub(in crate::model::format) const FLOAT: i32 = 1;
    pub(in crate::model::format) const INT: i32 = 2;
    pub(in crate::model::format) const STRING: i32 = 3;
    pub(in crate::model::format) const FLOATS: i32 = 6;
    pub(in crate::model::format) const INTS: i32 = 7;
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::model::format) struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    pub(in crate::model::format) dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    pub(in crate::model::format) data_type: i32,
    #[prost(float, repeated, tag = "4")]
    pub(in crate::model::format) float_data: Vec<f32>,
    #[prost(int32, repeated, tag = "5")]
    pub(in crate::model::format) int32_data: Vec<i32>,
    #[prost(int64, repeated, tag = "7")]
    pub(in crate::model::format) int64_data: Vec<i64>,
    #[prost(string, tag = "8")]
    pub(in crate::model::format) name: String,
    #[prost(bytes = "bytes", tag = "9")]
    pub(in crate::model::format) raw_data: Bytes,
    #[prost(double, repeated, tag = "10")]
    pub(in crate::model::format) double_data: Vec<f64>,
    #[prost(message, repeated, tag = "13")]
    pub(in crate::model::format) external_data: Vec<StringEntry>,
    #[prost(int32, tag = "14")]
    pub(in crate::model::format) data_location: i32,
}

/// `TensorProto.DataLocation.EXTERNAL`.
pub(in crate::model::format) const LOCATION_EXTERNAL: i32 = 1;

/// `TensorProto.DataType`.
pub(in crate::model::format) mod data_type {
    pub(in crate::model::format) const FLOAT: i32 = 1;
    pub(in crate::model::format) const UINT8: i32 = 2;
    pub(in crate::model::format) const INT32: i32 = 6;
    pub(in crate::model::format) const INT64: i32 = 7;
    pub(in crate::model::format) const BOOL: i32 = 9;
    pub(in crate::model::format) const FLOAT16: i32 = 10;
    pub(in crate::model::format) const DOUBLE: i32 = 11;
    pub(in crate::model::format) const BFLOAT16: i32 = 16;
}

/// Whether a data type is one of floats.
pub(super) fn is_float(element: i32) -> bool {
    let floats = [data_type::FLOAT, data_type::DOUBLE, data_type::FLOAT16, data_type::BFLOAT16];
    floats.contains(&element)
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::model::format) struct ValueInfo {
    #[prost(string, tag = "1")]
    pub(in crate::model::format) name: String,
    #[prost(message, optional, tag = "2")]
    pub(in crate::model::format) r#type: Option<TypeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::model::format) struct TypeProto {
    #[prost(message, optional, tag = "1")]
    pub(in crate::model::format) tensor_type: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::model::format) struct TensorType {
    #[prost(int32, tag = "1")]
    pub(in crate::model::format) elem_type: i32,
    #[prost(message, optional, tag = "2")]
    pub(in crate::model::format) shape: Option<TensorShape>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::model::format) struct TensorShape {
    #[prost(message, repeated, tag = "1")]
    pub(in crate::model::format) dim: Vec<Dimension>,
}

/// A dimension; one that is only named has no value.
#[derive(Clone, PartialEq, Message)]
pub(in crate::model::format) struct Dimension {
    #[prost(int64, optional, tag = "1")]
    pub(in crate::model::format) dim_value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    pub(in crate::model::format) dim_param: Option<String>,
}
