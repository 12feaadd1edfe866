//! Graphs told in ONNX's operators: by formats that have others, and by the writer of ONNX files.

use bytes::Bytes;

use super::proto::{
    AttributeProto, Dimension, GraphProto, ModelProto, NodeProto, OperatorSetId, TensorProto,
    TensorShape, TensorType, TypeProto, ValueInfo, attribute_type, data_type,
};
use crate::model::format::numbers::Element;
use crate::model::{Activation, Format, Head, Model, ModelError};

/// The operator set that graphs are built in: the first that has every activation but silu.
const OPSET: i64 = 20;

/// The bytes of a node in an ONNX file, or some more.
const NODE_BYTES: usize = 64;

const INPUT: &str = "input";

/// A graph in the making. Values are named by the methods that make them.
pub(in crate::model::format) struct Builder {
    graph: GraphProto,
    format: Format,
    /// Bytes in constants, and for each node as many as one has in a file: what bounds the work
    /// that reading the graph may take.
    bytes: usize,
}

/// A constant's numbers, row-major.
#[derive(Clone, Debug)]
pub(in crate::model::format) enum Numbers {
    /// As a file stores them, little-endian.
    Stored(Element, Bytes),
    Doubles(Vec<f64>),
    Integers(Vec<i64>),
}

impl Builder {
    /// A graph of this name that reads rows of these axes, the batch left out; `None`: of axes that
    /// its first layer decides.
    pub(in crate::model::format) fn new(
        format: Format,
        name: &str,
        row: Option<&[usize]>,
    ) -> Builder {
        let axes = row.map_or_else(|| vec![None], |row| row.iter().map(|n| Some(*n)).collect());
        let graph = GraphProto {
            name: name.to_owned(),
            input: vec![value_info(INPUT, &axes)],
            ..GraphProto::default()
        };
        Builder { graph, format, bytes: 0 }
    }

    /// The value that the graph reads.
    pub(in crate::model::format) fn input(&self) -> String {
        String::from(INPUT)
    }

    /// A constant; its name is for errors to point at, and no other constant's.
    pub(in crate::model::format) fn constant(
        &mut self,
        name: &str,
        dims: &[usize],
        numbers: Numbers,
    ) -> String {
        let mut tensor = TensorProto {
            name: name.to_owned(),
            // What does not fit is no length of stored numbers, and refused where it is decoded.
            dims: dims.iter().map(|dim| i64::try_from(*dim).unwrap_or(i64::MAX)).collect(),
            ..TensorProto::default()
        };
        match numbers {
            Numbers::Stored(element, bytes) => {
                tensor.data_type = data_type_of(element);
                self.bytes += bytes.len();
                tensor.raw_data = bytes;
            }
            Numbers::Doubles(numbers) => {
                tensor.data_type = data_type::DOUBLE;
                self.bytes += 8 * numbers.len();
                tensor.double_data = numbers;
            }
            Numbers::Integers(numbers) => {
                tensor.data_type = data_type::INT64;
                self.bytes += 8 * numbers.len();
                tensor.int64_data = numbers;
            }
        }
        self.graph.initializer.push(tensor);
        name.to_owned()
    }

    /// A constant of no axes.
    pub(in crate::model::format) fn scalar(&mut self, number: f64) -> String {
        let name = format!("%scalar{}", self.graph.initializer.len());
        self.constant(&name, &[], Numbers::Doubles(vec![number]))
    }

    /// The value that an operator writes; `name` is the node's own in its file.
    pub(in crate::model::format) fn node(
        &mut self,
        name: &str,
        op: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> String {
        self.bytes += NODE_BYTES;
        let output = format!("%{}", self.graph.node.len());
        self.graph.node.push(NodeProto {
            input: inputs.iter().map(|input| (*input).to_owned()).collect(),
            output: vec![output.clone()],
            name: name.to_owned(),
            op_type: op.to_owned(),
            attribute: attributes,
            domain: String::new(),
        });
        output
    }

    /// The value that an activation makes of `x`.
    pub(in crate::model::format) fn activation(
        &mut self,
        name: &str,
        x: &str,
        activation: Activation,
    ) -> String {
        let (op, attributes) = match activation {
            Activation::Identity => ("Identity", vec![]),
            Activation::Relu => ("Relu", vec![]),
            Activation::LeakyRelu { alpha } => ("LeakyRelu", vec![float("alpha", alpha)]),
            Activation::Elu { alpha } => ("Elu", vec![float("alpha", alpha)]),
            Activation::Selu { alpha, gamma } => {
                ("Selu", vec![float("alpha", alpha), float("gamma", gamma)])
            }
            Activation::Celu { alpha } => ("Celu", vec![float("alpha", alpha)]),
            Activation::Gelu => ("Gelu", vec![]),
            Activation::GeluTanh => ("Gelu", vec![text("approximate", "tanh")]),
            Activation::Sigmoid => ("Sigmoid", vec![]),
            Activation::HardSigmoid { alpha, beta } => {
                ("HardSigmoid", vec![float("alpha", alpha), float("beta", beta)])
            }
            Activation::Tanh => ("Tanh", vec![]),
            Activation::Softplus => ("Softplus", vec![]),
            Activation::Softsign => ("Softsign", vec![]),
            Activation::Silu => {
                // ONNX Runtime refuses two nodes of one name.
                let gate = self.node(&format!("{name}.gate"), "Sigmoid", &[x], vec![]);
                return self.node(name, "Mul", &[x, &gate], vec![]);
            }
            Activation::HardSwish => ("HardSwish", vec![]),
            Activation::Mish => ("Mish", vec![]),
            Activation::Clip { min, max } => {
                let bounds = [min, max].map(|bound| self.single(bound));
                return self.node(name, "Clip", &[x, &bounds[0], &bounds[1]], vec![]);
            }
        };
        self.node(name, op, &[x], attributes)
    }

    /// The scores that a head makes of the last layer's outputs.
    pub(in crate::model::format) fn head(&mut self, name: &str, x: &str, head: Head) -> String {
        let op = match head {
            Head::Logits => return x.to_owned(),
            Head::Softmax => "Softmax",
            Head::LogSoftmax => "LogSoftmax",
        };
        self.node(name, op, &[x], vec![int("axis", -1)])
    }

    /// The model that the graph computes, where it is a dense chain.
    pub(in crate::model::format) fn finish(self, output: &str) -> Result<Model, ModelError> {
        let (format, bytes) = (self.format, self.bytes);
        super::model(&self.into_proto(output, None), bytes, format)
    }

    /// The graph as a message, with its output and, where it is known, how many scores that has.
    pub(in crate::model::format) fn into_proto(
        mut self,
        output: &str,
        classes: Option<usize>,
    ) -> ModelProto {
        self.graph.output = vec![value_info(output, &[classes])];
        ModelProto {
            opset_import: vec![OperatorSetId { domain: String::new(), version: OPSET }],
            graph: Some(self.graph),
            ..ModelProto::default()
        }
    }

    /// A constant of no axes and of single precision, as `Clip` takes its bounds.
    fn single(&mut self, number: f32) -> String {
        let name = format!("%scalar{}", self.graph.initializer.len());
        let bytes = Bytes::copy_from_slice(&number.to_le_bytes());
        self.constant(&name, &[], Numbers::Stored(Element::F32, bytes))
    }
}

/// A value of single precision with a batch axis before the others; `None` is any size.
fn value_info(name: &str, axes: &[Option<usize>]) -> ValueInfo {
    let batch = Dimension { dim_value: None, dim_param: Some(String::from("batch")) };
    let axis = |size: &Option<usize>| Dimension {
        dim_value: size.and_then(|size| i64::try_from(size).ok()),
        dim_param: None,
    };
    let dim = std::iter::once(batch).chain(axes.iter().map(axis)).collect();
    let tensor = TensorType { elem_type: data_type::FLOAT, shape: Some(TensorShape { dim }) };
    ValueInfo { name: name.to_owned(), r#type: Some(TypeProto { tensor_type: Some(tensor) }) }
}

fn data_type_of(element: Element) -> i32 {
    match element {
        Element::F16 => data_type::FLOAT16,
        Element::Bf16 => data_type::BFLOAT16,
        Element::F32 => data_type::FLOAT,
        Element::F64 => data_type::DOUBLE,
    }
}

fn attribute(name: &str, kind: i32) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: kind, ..AttributeProto::default() }
}

pub(in crate::model::format) fn float(name: &str, number: f32) -> AttributeProto {
    AttributeProto { f: number, ..attribute(name, attribute_type::FLOAT) }
}

pub(in crate::model::format) fn int(name: &str, number: i64) -> AttributeProto {
    AttributeProto { i: number, ..attribute(name, attribute_type::INT) }
}

fn text(name: &str, words: &str) -> AttributeProto {
    let bytes = Bytes::copy_from_slice(words.as_bytes());
    AttributeProto { s: bytes, ..attribute(name, attribute_type::STRING) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every activation and head, told in operators, is recognised as what it was.
    #[test]
    fn activations_and_heads_round_trip() {
        for head in [Head::Logits, Head::Softmax, Head::LogSoftmax] {
            for activation in Activation::ALL {
                let mut builder = Builder::new(Format::Onnx, "all", Some(&[2]));
                let weight = Numbers::Doubles(vec![1.0, 2.0, 3.0, 4.0]);
                let weight = builder.constant("weight", &[2, 2], weight);
                let input = builder.input();
                let sums = builder.node("dense", "MatMul", &[&input, &weight], vec![]);
                let values = builder.activation("activation", &sums, activation);
                let scores = builder.head("head", &values, head);
                let model = builder.finish(&scores).unwrap();
                assert_eq!(model.layers()[0].activation(), activation);
                assert_eq!(model.layers()[0].weight(), [1.0, 3.0, 2.0, 4.0]);
                assert_eq!((model.head(), model.name()), (head, "all"));
            }
        }
    }
}
