//! ONNX files built in tests: a writer of its own, so that the reader's idea of the format and the
//! test's are two.

use prost::Message;

#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(string, tag = "2")]
    producer_name: String,
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<Opset>,
    #[prost(message, repeated, tag = "14")]
    metadata_props: Vec<Entry>,
}

#[derive(Clone, PartialEq, Message)]
struct Opset {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, repeated, tag = "1")]
    node: Vec<Node>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<Tensor>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<Value>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Node {
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(string, tag = "4")]
    pub op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<Attribute>,
    #[prost(string, tag = "7")]
    pub domain: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Attribute {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(float, tag = "2")]
    pub f: f32,
    #[prost(int64, tag = "3")]
    pub i: i64,
    #[prost(bytes = "vec", tag = "4")]
    pub s: Vec<u8>,
    #[prost(message, optional, tag = "5")]
    pub t: Option<Tensor>,
    #[prost(float, repeated, tag = "7")]
    pub floats: Vec<f32>,
    #[prost(int64, repeated, tag = "8")]
    pub ints: Vec<i64>,
    #[prost(int32, tag = "20")]
    pub kind: i32,
}

pub fn float(name: &str, f: f32) -> Attribute {
    Attribute { name: name.into(), f, kind: 1, ..Attribute::default() }
}

pub fn int(name: &str, i: i64) -> Attribute {
    Attribute { name: name.into(), i, kind: 2, ..Attribute::default() }
}

pub fn text(name: &str, s: &str) -> Attribute {
    Attribute { name: name.into(), s: s.into(), kind: 3, ..Attribute::default() }
}

pub fn value(t: Tensor) -> Attribute {
    Attribute { name: "value".into(), t: Some(t), kind: 4, ..Attribute::default() }
}

pub fn numbers(name: &str, floats: &[f32]) -> Attribute {
    Attribute { name: name.into(), floats: floats.to_vec(), kind: 6, ..Attribute::default() }
}

pub fn ints(name: &str, ints: &[i64]) -> Attribute {
    Attribute { name: name.into(), ints: ints.to_vec(), kind: 7, ..Attribute::default() }
}

#[derive(Clone, PartialEq, Message)]
pub struct Tensor {
    #[prost(int64, repeated, tag = "1")]
    pub dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    #[prost(float, repeated, tag = "4")]
    pub float_data: Vec<f32>,
    #[prost(int32, repeated, tag = "5")]
    pub int32_data: Vec<i32>,
    #[prost(int64, repeated, tag = "7")]
    pub int64_data: Vec<i64>,
    #[prost(string, tag = "8")]
    pub name: String,
    #[prost(bytes = "vec", tag = "9")]
    pub raw_data: Vec<u8>,
    #[prost(double, repeated, tag = "10")]
    pub double_data: Vec<f64>,
    #[prost(message, repeated, tag = "13")]
    pub external_data: Vec<Entry>,
    #[prost(int32, tag = "14")]
    pub data_location: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct Entry {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

pub fn entry(key: &str, value: &str) -> Entry {
    Entry { key: key.into(), value: value.into() }
}

pub fn floats(dims: &[i64], numbers: &[f32]) -> Tensor {
    let raw_data = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    Tensor { dims: dims.to_vec(), data_type: 1, raw_data, ..Tensor::default() }
}

pub fn int64s(numbers: &[i64]) -> Tensor {
    let dims = vec![numbers.len() as i64];
    Tensor { dims, data_type: 7, int64_data: numbers.to_vec(), ..Tensor::default() }
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, Message)]
struct Kind {
    #[prost(message, optional, tag = "1")]
    tensor: Option<TensorKind>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorKind {
    #[prost(int32, tag = "1")]
    element: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<Shape>,
}

#[derive(Clone, PartialEq, Message)]
struct Shape {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<Dim>,
}

#[derive(Clone, PartialEq, Message)]
struct Dim {
    #[prost(int64, optional, tag = "1")]
    value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    name: Option<String>,
}

/// A file in the making: input `x`; every node's output is its name; the last one is the output.
#[derive(Clone)]
pub struct File {
    pub opset: i64,
    pub name: String,
    pub nodes: Vec<Node>,
    pub tensors: Vec<Tensor>,
    pub tensors_are_inputs: bool,
    pub element: i32,
    pub shape: Vec<i64>,
    pub metadata: Vec<Entry>,
    /// Outputs and their data types; none: the last node's.
    pub outputs: Vec<(String, i32)>,
}

impl File {
    /// A file whose input `x` has this shape; -1 is an axis of any size.
    pub fn new(opset: i64, shape: &[i64]) -> File {
        File {
            opset,
            name: "main_graph".into(),
            nodes: Vec::new(),
            tensors: Vec::new(),
            tensors_are_inputs: false,
            element: 1,
            shape: shape.to_vec(),
            metadata: Vec::new(),
            outputs: Vec::new(),
        }
    }

    pub fn tensor(mut self, name: &str, mut tensor: Tensor) -> File {
        tensor.name = name.into();
        self.tensors.push(tensor);
        self
    }

    pub fn node(mut self, op: &str, input: &[&str], name: &str, attribute: &[Attribute]) -> File {
        self.nodes.push(Node {
            input: input.iter().map(|input| input.to_string()).collect(),
            output: vec![name.into()],
            name: name.into(),
            op_type: op.into(),
            attribute: attribute.to_vec(),
            domain: String::new(),
        });
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let dim = |size: &i64| match size {
            -1 => Dim { value: None, name: Some("N".into()) },
            size => Dim { value: Some(*size), name: None },
        };
        let shape = Shape { dim: self.shape.iter().map(dim).collect() };
        let tensor = TensorKind { element: self.element, shape: Some(shape) };
        let kind = Some(Kind { tensor: Some(tensor) });
        let mut input = vec![Value { name: "x".into(), kind }];
        if self.tensors_are_inputs {
            let names = self.tensors.iter().map(|tensor| tensor.name.clone());
            input.extend(names.map(|name| Value { name, kind: None }));
        }
        let last = self.nodes.last().map_or("x".into(), |node| node.output[0].clone());
        let typed = |(name, element): &(String, i32)| {
            let tensor = (*element > 0).then_some(TensorKind { element: *element, shape: None });
            Value { name: name.clone(), kind: Some(Kind { tensor }) }
        };
        let output = match &self.outputs[..] {
            [] => vec![Value { name: last, kind: None }],
            outputs => outputs.iter().map(typed).collect(),
        };
        let graph = Graph {
            node: self.nodes.clone(),
            name: self.name.clone(),
            initializer: self.tensors.clone(),
            input,
            output,
        };
        let opset = Opset { domain: String::new(), version: self.opset };
        let model = ModelProto {
            ir_version: 8,
            producer_name: "test".into(),
            graph: Some(graph),
            opset_import: vec![opset],
            metadata_props: self.metadata.clone(),
        };
        model.encode_to_vec()
    }
}
