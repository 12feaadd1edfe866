//! Named arrays to a model: order, biases and activations by name, orientation by width.

use super::Member;
use super::array::{Array, Origin};
use crate::model::format::numbers::transpose;
use crate::model::{Activation, Dense, Ending, Format, Head, Model, ModelError};

/// Whether the name says a layer's index and what of it the array is.
pub(super) fn is_by_convention(member: &Member) -> bool {
    Part::of(member).is_some()
}

/// The model that the members are.
pub(super) fn model(
    format: Format,
    members: &[Member],
    fallback_name: &str,
) -> Result<Model, ModelError> {
    let mut parts = Vec::with_capacity(members.len());
    for member in members {
        let origin = Origin { format, name: &member.name };
        let part = Part::of(member).ok_or_else(|| {
            origin.malformed(
                "<index>-WEIGHT-*, <index>-BIAS-* or <index>-ACTIVATION-<NAME>-*",
                "another name",
            )
        })?;
        parts.push((part, origin, &member.bytes[..]));
    }
    parts.sort_by_key(|(part, ..)| (part.index, part.kind.order()));
    let name =
        parts.iter().find(|(part, ..)| part.kind == Kind::Weight).map(|(part, ..)| part.name);
    let mut chain = Chain::default();
    for (part, origin, bytes) in parts {
        chain.take(part.kind, origin, bytes)?;
    }
    let model = chain.model()?;
    Ok(model.with_name(name.filter(|name| !name.is_empty()).unwrap_or(fallback_name)))
}

/// What a name says.
struct Part<'a> {
    index: u32,
    kind: Kind<'a>,
    name: &'a str,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind<'a> {
    Weight,
    Bias,
    Activation(&'a str),
}

impl Kind<'_> {
    /// The order of parts that share an index.
    fn order(self) -> u8 {
        match self {
            Kind::Weight => 0,
            Kind::Bias => 1,
            Kind::Activation(_) => 2,
        }
    }
}

impl<'a> Part<'a> {
    fn of(member: &'a Member) -> Option<Part<'a>> {
        let (index, rest) = member.name.split_once('-')?;
        let index = index.parse().ok()?;
        let (kind, rest) = rest.split_once('-').unwrap_or((rest, ""));
        let (kind, name) = match kind {
            "WEIGHT" => (Kind::Weight, rest),
            "BIAS" => (Kind::Bias, rest),
            "ACTIVATION" => {
                let (activation, name) = rest.split_once('-').unwrap_or((rest, ""));
                (Kind::Activation(activation), name)
            }
            _ => return None,
        };
        Some(Part { index, kind, name })
    }
}

struct Draft<'a> {
    origin: Origin<'a>,
    /// Rows and columns as stored.
    shape: [usize; 2],
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
    activation: Option<Activation>,
}

#[derive(Default)]
struct Chain<'a> {
    drafts: Vec<Draft<'a>>,
    head: Option<Head>,
}

impl<'a> Chain<'a> {
    fn take(&mut self, kind: Kind<'_>, origin: Origin<'a>, bytes: &[u8]) -> Result<(), ModelError> {
        if self.head.is_some() {
            return Err(origin.malformed("nothing after the softmax", "this"));
        }
        match kind {
            Kind::Weight => self.weight(origin, bytes),
            Kind::Bias => self.bias(origin, bytes),
            Kind::Activation(name) => self.activation(name, origin, bytes),
        }
    }

    fn weight(&mut self, origin: Origin<'a>, bytes: &[u8]) -> Result<(), ModelError> {
        let array = Array::read(bytes, origin)?;
        let [rows, columns] = array.dims[..] else {
            return Err(origin.malformed("shape [outputs, inputs]", format!("{:?}", array.dims)));
        };
        let shape = [rows, columns];
        let weight = array.values;
        self.drafts.push(Draft { origin, shape, weight, bias: None, activation: None });
        Ok(())
    }

    fn bias(&mut self, origin: Origin<'a>, bytes: &[u8]) -> Result<(), ModelError> {
        let array = Array::read(bytes, origin)?;
        if !matches!(array.dims[..], [_] | [1, _] | [_, 1]) {
            return Err(origin.malformed("shape [outputs]", format!("{:?}", array.dims)));
        }
        match self.drafts.last_mut() {
            Some(draft) if draft.bias.is_none() && draft.activation.is_none() => {
                draft.bias = Some(array.values);
                Ok(())
            }
            _ => Err(origin.malformed("a weight just before the bias", "none")),
        }
    }

    fn activation(
        &mut self,
        name: &str,
        origin: Origin<'a>,
        bytes: &[u8],
    ) -> Result<(), ModelError> {
        // numpy itself cannot write a member without a header, but an array without numbers.
        if !bytes.is_empty() && !Array::read(bytes, origin)?.values.is_empty() {
            return Err(origin.malformed("no content", format!("{} bytes", bytes.len())));
        }
        let Some(draft) = self.drafts.last_mut() else {
            return Err(origin.malformed("a weight before the activation", "none"));
        };
        let ending = if name.contains(':') { None } else { name.parse().ok() };
        match ending {
            Some(Ending::Activation(activation)) if draft.activation.is_none() => {
                draft.activation = Some(activation);
            }
            Some(Ending::Activation(_)) => {
                return Err(origin.malformed("one activation after a weight", "a second"));
            }
            Some(Ending::Head(head)) if head != Head::Logits => self.head = Some(head),
            _ => return Err(origin.malformed("the name of an activation", name)),
        }
        Ok(())
    }

    fn model(self) -> Result<Model, ModelError> {
        let inputs_first = !self.fits(|[rows, columns]| (rows, columns))
            && self.fits(|[rows, columns]| (columns, rows));
        let has_no_bias = self.drafts.iter().all(|draft| draft.bias.is_none());
        let head = self.head.unwrap_or_default();
        let layers: Result<_, _> =
            self.drafts.into_iter().map(|draft| draft.layer(inputs_first)).collect();
        let mut model = Model::from_layers(layers?)?.with_head(head);
        if inputs_first {
            model = model.with_note("weights are stored as [inputs, outputs], and were transposed");
        }
        if has_no_bias {
            model = model.with_note("there are no biases");
        }
        Ok(model)
    }

    /// Whether widths chain and biases fit, where a stored shape is read as (outputs, inputs).
    fn fits(&self, widths: impl Fn([usize; 2]) -> (usize, usize)) -> bool {
        let chains =
            self.drafts.windows(2).all(|pair| widths(pair[0].shape).0 == widths(pair[1].shape).1);
        let bias_fits = |draft: &Draft<'_>| {
            draft.bias.as_ref().is_none_or(|bias| bias.len() == widths(draft.shape).0)
        };
        chains && self.drafts.iter().all(bias_fits)
    }
}

impl Draft<'_> {
    fn layer(self, inputs_first: bool) -> Result<Dense, ModelError> {
        let [rows, columns] = self.shape;
        let (outputs, inputs, weight) = if inputs_first {
            (columns, rows, transpose(&self.weight, rows, columns))
        } else {
            (rows, columns, self.weight)
        };
        Dense::new(inputs, outputs, weight, self.bias, self.activation.unwrap_or_default())
            .map_err(|error| self.origin.malformed("a layer", error))
    }
}
