//! A node's attributes, with the types and defaults the operator specification gives them.

use super::proto::{AttributeProto, NodeProto, attribute_type, data_type, is_float};
use super::refuse;
use crate::model::ModelError;

/// The attributes of one node, none of them outside the operator's own list.
pub(super) struct Attributes<'a> {
    node: &'a NodeProto,
}

impl<'a> Attributes<'a> {
    /// The attributes of `node`, which may only have the `known` ones: another could change what
    /// the operator computes.
    pub(super) fn of(node: &'a NodeProto, known: &[&str]) -> Result<Attributes<'a>, ModelError> {
        let unknown = |attribute: &&AttributeProto| !known.contains(&attribute.name.as_str());
        match node.attribute.iter().find(unknown) {
            Some(attribute) => {
                Err(refuse(node, format!("attribute '{}' is not known here", attribute.name)))
            }
            None => Ok(Attributes { node }),
        }
    }

    pub(super) fn float(&self, name: &str, default: f32) -> Result<f32, ModelError> {
        Ok(self.get(name, attribute_type::FLOAT)?.map_or(default, |attribute| attribute.f))
    }

    pub(super) fn int(&self, name: &str, default: i64) -> Result<i64, ModelError> {
        Ok(self.get(name, attribute_type::INT)?.map_or(default, |attribute| attribute.i))
    }

    pub(super) fn floats(&self, name: &str) -> Result<&'a [f32], ModelError> {
        let floats = self.get(name, attribute_type::FLOATS)?;
        Ok(floats.map_or(&[], |attribute| attribute.floats.as_slice()))
    }

    pub(super) fn ints(&self, name: &str) -> Result<Option<&'a [i64]>, ModelError> {
        Ok(self.get(name, attribute_type::INTS)?.map(|attribute| attribute.ints.as_slice()))
    }

    pub(super) fn string(&self, name: &str, default: &'a str) -> Result<&'a str, ModelError> {
        match self.get(name, attribute_type::STRING)? {
            None => Ok(default),
            Some(attribute) => std::str::from_utf8(&attribute.s)
                .map_err(|_| refuse(self.node, format!("attribute '{name}' is no text"))),
        }
    }

    fn get(&self, name: &str, kind: i32) -> Result<Option<&'a AttributeProto>, ModelError> {
        let attribute = self.node.attribute.iter().find(|attribute| attribute.name == name);
        match attribute {
            // The first version of the format had no types.
            Some(attribute) if attribute.r#type != kind && attribute.r#type != 0 => {
                Err(refuse(self.node, format!("attribute '{name}' is of the wrong type")))
            }
            found => Ok(found),
        }
    }
}

/// Whether a `Cast` goes to a floating-point type.
pub(super) fn casts_to_float(node: &NodeProto) -> Result<bool, ModelError> {
    Ok(is_float(cast_to(node)?))
}

/// Whether the node is a `Cast` to one of the types of 16 bits.
pub(super) fn rounds_to_half(node: &NodeProto) -> bool {
    let halves = [data_type::FLOAT16, data_type::BFLOAT16];
    node.op_type == "Cast" && cast_to(node).is_ok_and(|to| halves.contains(&to))
}

/// The data type that a `Cast` goes to.
pub(super) fn cast_to(node: &NodeProto) -> Result<i32, ModelError> {
    let attributes = Attributes::of(node, &["to", "saturate", "round_mode"])?;
    Ok(i32::try_from(attributes.int("to", 0)?).unwrap_or(data_type::INT32))
}
