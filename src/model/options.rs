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
    /// where these differ from layer to layer. What an order does not name is left out, with a note
    /// that lists it.
    pub order: Option<Vec<String>>,
    /// Which axis of a stored weight comes first, where the widths do not say it.
    pub layout: Option<Layout>,
    /// What each BatchNorm adds to its variance, where the file does not hold it; else the default
    /// of the framework that names its tensors so, which a note states.
    pub epsilon: Option<f32>,
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

/// A name as it is compared with others: `LeakyReLU`, `leaky-relu` and `leaky_relu` are one.
pub(super) fn plain(name: &str) -> String {
    let is_said = |character: &char| !matches!(character, '-' | '_' | ' ');
    name.chars().filter(is_said).flat_map(char::to_lowercase).collect()
}

/// `outputs_first` or `inputs_first`, in upper or lower case.
impl FromStr for Layout {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Layout, ModelError> {
        let is_it = |layout: &Layout| plain(&layout.to_string()) == plain(text);
        [Layout::OutputsFirst, Layout::InputsFirst].into_iter().find(is_it).ok_or_else(|| {
            let got = format!("'{text}'");
            ModelError::invalid("layout", "outputs_first or inputs_first", got)
        })
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Layout::OutputsFirst => "outputs_first",
            Layout::InputsFirst => "inputs_first",
        })
    }
}

/// An activation by [`name`](Activation::name), with its parameters after a colon where they are
/// not ONNX's defaults: `relu`, `leaky_relu:0.2`, `clip:0,6`; `none`, `relu6` and `swish` too.
/// Upper and lower case are one, and so are names with and without `_` or `-`: `LeakyReLU`.
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
        let activation = match &plain(name)[..] {
            "none" | "linear" => Activation::Identity,
            "relu6" => Activation::Clip { min: 0.0, max: 6.0 },
            "swish" => Activation::Silu,
            name => {
                let is_it = |activation: &Activation| plain(activation.name()) == name;
                Activation::ALL.into_iter().find(is_it).ok_or_else(invalid)?
            }
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

/// `none`, a head by [`name`](Head::name) in any case, or an activation as
/// [`Activation::from_str`] reads it.
impl FromStr for Ending {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Ending, ModelError> {
        let is_it = |head: &Head| plain(head.name()) == plain(text);
        match [Head::Logits, Head::Softmax, Head::LogSoftmax].into_iter().find(is_it) {
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
    fn names_ignore_case_and_what_joins_their_words() {
        for (text, name) in [
            ("ReLU", "relu"),
            ("GELU", "gelu"),
            ("LeakyReLU:0.2", "leaky_relu:0.2"),
            ("Hard-Swish", "hard_swish"),
            ("hardsigmoid", "hard_sigmoid"),
            ("ReLU6", "clip:0,6"),
            ("SiLU", "swish"),
            ("None", "identity"),
            ("LogSoftmax", "log_softmax"),
            ("log-softmax", "log_softmax"),
            ("SOFTMAX", "softmax"),
            ("Logits", "logits"),
        ] {
            assert_eq!(text.parse::<Ending>(), name.parse::<Ending>(), "{text}");
        }
        for layout in [Layout::OutputsFirst, Layout::InputsFirst] {
            assert_eq!(layout.to_string().to_uppercase().replace('_', "-").parse(), Ok(layout));
        }
        let error = "sideways".parse::<Layout>().unwrap_err().to_string();
        assert_eq!(error, "layout: expected outputs_first or inputs_first, got 'sideways'");
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
