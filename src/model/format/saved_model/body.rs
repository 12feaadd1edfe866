//! Graphs of nodes: the top one, and the functions that it calls.

use std::collections::HashMap;
use std::rc::Rc;

use bytes::Bytes;

use super::limits::{ATTRIBUTE, Decoder, FUNCTION, FUNCTION_NAME};
use super::malformed;
use super::proto::{AttrValue, FunctionDef, FunctionName, GraphDef, NodeDef};
use crate::model::ModelError;

/// Where an input of a node comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Source {
    Argument(usize),
    Output {
        node: usize,
        index: usize,
    },
    /// A name that nothing has.
    Nowhere,
}

/// A node with its inputs resolved; those that only order the nodes are left out.
pub(super) struct Node {
    pub(super) name: String,
    pub(super) op: String,
    pub(super) inputs: Vec<Source>,
    attributes: HashMap<String, Bytes>,
}

impl Node {
    /// The attribute of this name; nothing in it is set where the node leaves it at its default.
    pub(super) fn attribute(
        &self,
        decoder: &mut Decoder,
        name: &str,
    ) -> Result<Option<AttrValue>, ModelError> {
        let Some(bytes) = self.attributes.get(name) else { return Ok(None) };
        let what = format!("attribute '{name}' of node '{}'", self.name);
        decoder.decode(bytes.clone(), &ATTRIBUTE, &what).map(Some)
    }
}

/// The top graph, or a function.
pub(super) struct Body {
    pub(super) nodes: Vec<Node>,
    by_name: HashMap<String, usize>,
    /// How many arguments the function has.
    pub(super) arguments: usize,
    /// Where the function's outputs come from.
    pub(super) outputs: Vec<Source>,
}

impl Body {
    fn new(nodes: Vec<NodeDef>, arguments: &HashMap<String, usize>) -> Result<Body, ModelError> {
        let mut by_name = HashMap::with_capacity(nodes.len());
        for (index, node) in nodes.iter().enumerate() {
            if by_name.insert(node.name.clone(), index).is_some() {
                return Err(malformed(format!("node '{}'", node.name), "one of the name", "two"));
            }
        }
        let resolved = |node: NodeDef| Node {
            inputs: node
                .input
                .iter()
                .filter(|input| !input.starts_with('^'))
                .map(|input| source(&by_name, arguments, input))
                .collect(),
            attributes: node.attr.into_iter().map(|entry| (entry.key, entry.value)).collect(),
            name: node.name,
            op: node.op,
        };
        let nodes = nodes.into_iter().map(resolved).collect();
        Ok(Body { nodes, by_name, arguments: arguments.len(), outputs: Vec::new() })
    }

    /// Where a tensor of this name comes from: `node`, `node:index`, or `node:output:index`.
    pub(super) fn source(&self, name: &str) -> Source {
        source(&self.by_name, &HashMap::new(), name)
    }
}

fn source(
    nodes: &HashMap<String, usize>,
    arguments: &HashMap<String, usize>,
    name: &str,
) -> Source {
    let (node, output) = name.split_once(':').unwrap_or((name, ""));
    if let (true, Some(argument)) = (output.is_empty(), arguments.get(node)) {
        return Source::Argument(*argument);
    }
    let index = output.rsplit_once(':').map_or(output, |(_, index)| index);
    let index = if output.is_empty() { Some(0) } else { index.parse().ok() };
    match (nodes.get(node), index) {
        (Some(node), Some(index)) => Source::Output { node: *node, index },
        _ => Source::Nowhere,
    }
}

/// The functions of a model, decoded when they are called.
pub(super) struct Library {
    encoded: HashMap<String, Bytes>,
    decoded: HashMap<String, Rc<Body>>,
}

impl Library {
    /// The top graph, and the functions it may call.
    pub(super) fn of(
        graph: GraphDef,
        decoder: &mut Decoder,
    ) -> Result<(Rc<Body>, Library), ModelError> {
        let mut encoded = HashMap::new();
        for bytes in graph.library.unwrap_or_default().function {
            let name: FunctionName = decoder.decode(bytes.clone(), &FUNCTION_NAME, "a function")?;
            encoded.insert(name.signature.unwrap_or_default().name, bytes);
        }
        let top = Rc::new(Body::new(graph.node, &HashMap::new())?);
        Ok((top, Library { encoded, decoded: HashMap::new() }))
    }

    /// The function of this name.
    pub(super) fn function(
        &mut self,
        decoder: &mut Decoder,
        name: &str,
    ) -> Result<Rc<Body>, ModelError> {
        if let Some(body) = self.decoded.get(name) {
            return Ok(body.clone());
        }
        let at = format!("function '{name}'");
        let bytes = self.encoded.get(name).ok_or_else(|| malformed(&at, "one", "none"))?;
        let function: FunctionDef = decoder.decode(bytes.clone(), &FUNCTION, &at)?;
        let signature = function.signature.unwrap_or_default();
        let arguments = signature.input_arg.into_iter().map(|argument| argument.name);
        let arguments: HashMap<_, _> = arguments.zip(0..).collect();
        let mut body = Body::new(function.node_def, &arguments)?;
        let returned: HashMap<_, _> =
            function.ret.iter().map(|entry| (entry.key.as_str(), entry.value.as_str())).collect();
        let output = |name: &str| match returned.get(name) {
            Some(value) => source(&body.by_name, &arguments, value),
            None => Source::Nowhere,
        };
        body.outputs =
            signature.output_arg.iter().map(|output_of| output(&output_of.name)).collect();
        let body = Rc::new(body);
        self.decoded.insert(name.to_owned(), body.clone());
        Ok(body)
    }
}
