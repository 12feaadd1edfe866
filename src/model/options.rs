//! What a caller says about a model file that the file cannot say itself.

use std::fmt;
use std::str::FromStr;

use super::{Activation, Head, ModelError};

/// What a caller says about a model file beyond what stands in it.
///
/// Files of weights alone (a state_dict, bare arrays) hold neither activations nor, some of them,
/// the order of their layers. Nothing of that is guessed: it is said here, or in a manifest. A file
/// that states it itself is refused where something is said here, because one of the two is wrong.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadOptions {
    /// What follows every layer but the last.
    pub activation: Option<Activation>,
    /// What follows the last layer.
    pub ending: Option<Ending>,
    /// The names of the layers in their order, with the names of activations and heads between them
    /// where these differ from layer to layer.
    pub order: Option<Vec<String>>,
    /// Which axis of a stored weight comes first, where the widths do not say it.
    pub layout: Option<Layout>,
    /// Whether tensors may be read from other files in the model's own folder, as ONNX's external
    /// data; off unless it is asked for.
    pub external_data: bool,
}

/// What follows the last layer: an activation, or a head.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ending {
    /// Scores are the activation of the last layer's sums; [`Activation::Identity`] is none.
    Activation(Activation),
    /// Scores are what the head makes of the last layer's sums.
    Head(Head),
}

/// Which axis of a stored weight comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// `[outputs, inputs]`, as PyTorch and ONNX store weights.
    OutputsFirst,
    /// `[inputs, outputs]`, as Keras and TensorFlow do.
    InputsFirst,
}

/// An activation by [`name`](Activation::name), with its parameters after a colon where they are
/// not ONNX's defaults: `relu`, `leaky_relu:0.2`, `clip:0,6`; `none`, `relu6` and `swish` too.
impl FromStr for Activation {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Activation, ModelError> {
        let invalid = || {
            let names = Activation::ALL.map(Activation::name).join(", ");
            let expected = format!("one of {names}, parameters after a colon (leaky_relu:0.2)");
            ModelError::invalid("activation", expected, format!("'{text}'"))
        };
        let (name, stated) = match text.split_once(':') {
            Some((name, parameters)) => (name, Some(parameters)),
            None => (text, None),
        };
        let activation = match name {
            "none" | "linear" => Activation::Identity,
            "relu6" => Activation::Clip { min: 0.0, max: 6.0 },
            "swish" => Activation::Silu,
            name => Activation::from_name(name).ok_or_else(invalid)?,
        };
        let Some(stated) = stated else { return Ok(activation) };
        let numbers: Vec<f32> = stated
            .split(',')
            .map(|number| number.trim().parse().map_err(|_| invalid()))
            .collect::<Result<_, _>>()?;
        let takes = activation.parameter_count();
        if takes == 0 || numbers.len() > takes {
            return Err(invalid());
        }
        let mut parameters = activation.parameters();
        parameters.iter_mut().zip(numbers).for_each(|(parameter, number)| *parameter = number);
        let activation = activation.with_parameters(parameters);
        activation.check().map(|()| activation)
    }
}

/// `none`, a head by [`name`](Head::name), or an activation as [`Activation::from_str`] reads it.
impl FromStr for Ending {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Ending, ModelError> {
        match Head::from_name(text) {
            Some(head) => Ok(Ending::Head(head)),
            None => text.parse().map(Ending::Activation),
        }
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match (self.parameter_count(), self.parameters()) {
            (0, _) => Ok(()),
            (1, [first, _]) => write!(f, ":{first}"),
            (_, [first, second]) => write!(f, ":{first},{second}"),
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Activation(Activation::Identity) => f.write_str("none"),
            Ending::Activation(activation) => activation.fmt(f),
            Ending::Head(head) => f.write_str(head.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activations_and_endings_round_trip() {
        for activation in Activation::ALL {
            assert_eq!(activation.to_string().parse(), Ok(activation));
            let ending = Ending::Activation(activation);
            assert_eq!(ending.to_string().parse(), Ok(ending));
        }
        let head = Ending::Head(Head::LogSoftmax);
        assert_eq!(head.to_string().parse(), Ok(head));
        let clip = Activation::Clip { min: f32::NEG_INFINITY, max: 3.5 };
        assert_eq!(clip.to_string().parse(), Ok(clip));
    }

    #[test]
    fn nonsense_is_refused_with_the_names_there_are() {
        for text in ["", "rely", "relu:1", "leaky_relu:1,2", "celu:-1", "clip:a,b", "elu:nan"] {
            let error = text.parse::<Activation>().unwrap_err().to_string();
            assert!(!error.contains('\n'), "{error}");
        }
        let error = "rely".parse::<Ending>().unwrap_err().to_string();
        assert!(error.contains("leaky_relu") && error.ends_with("got 'rely'"), "{error}");
    }
}
