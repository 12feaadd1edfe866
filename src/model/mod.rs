//! Pure data: a trained dense classifier, valid from the moment it exists.
//!
//! A [`Model`] is a chain of [`Dense`] layers, an affine [`InputTransform`] before the first, and a
//! [`Head`] after the last. Bytes from outside are hostile until [`Model::load`] or
//! [`Model::from_layers`] has returned; everything to the right of this module relies on what they
//! checked: the widths chain, there is at least one layer, every number is finite, sizes are
//! bounded.

mod activation;
mod dense;
mod difference;
mod error;
mod format;
mod hash;
mod head;
pub(crate) mod npy;
mod options;
pub(crate) mod replace;
mod transform;
mod u8_scale;
mod weights;

use std::path::Path;
use std::sync::OnceLock;

pub use activation::Activation;
pub use dense::Dense;
pub use difference::{Difference, Part};
pub use error::ModelError;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub use format::saved_model_of_parts;
pub use format::{FILE_BYTES_MAX, Format};
pub use hash::ContentHash;
pub use head::Head;
pub use options::{Ending, Layout, LoadOptions};
pub use transform::{InputTransform, PerInput};
pub use u8_scale::U8Scale;

/// The most layers a model may have.
pub const LAYERS_MAX: usize = 1024;
/// The widest a layer's input or output may be.
pub const WIDTH_MAX: usize = 1 << 20;
/// The most parameters (weights and biases) a model may have: 2 GiB of f32.
pub const PARAMETERS_MAX: usize = 1 << 29;

/// A trained dense classifier: input transform, layers, head, labels.
#[derive(Clone, Debug)]
pub struct Model {
    name: String,
    transform: InputTransform,
    u8_scale: U8Scale,
    layers: Vec<Dense>,
    head: Head,
    labels: Option<Vec<String>>,
    notes: Vec<String>,
    format: Option<Format>,
    /// Computed when it is first asked for; emptied by whatever changes the scores.
    content_hash: OnceLock<ContentHash>,
}

impl Model {
    /// The value one step of a byte stands for when rows are `u8`, where nothing says otherwise and
    /// the model has no input transform.
    pub const U8_SCALE: f32 = 1.0 / 255.0;

    /// Reads a model from a file, or from a directory of `.npy` layers, by its content.
    ///
    /// The file is read into the process's own memory: whatever happens to it later, the model
    /// stays what it is. A file that is written to while it is read is an error; [`Model::save`]
    /// renames a new file over the old one, so that readers see either.
    ///
    /// A file that an index of shards names, the index, or its folder is read with all the others
    /// that the index names.
    ///
    /// # Errors
    /// [`ModelError`]: the file cannot be read, is of no known format, is damaged, holds something
    /// that is not a dense chain, or does not say all there is to know of one.
    pub fn load(path: impl AsRef<Path>) -> Result<Model, ModelError> {
        Model::load_with(path, &LoadOptions::default())
    }

    /// As [`Model::load`], with what the file cannot say itself.
    ///
    /// # Errors
    /// As [`Model::load`]; [`ModelError::Invalid`] where something is said that the file states.
    pub fn load_with(path: impl AsRef<Path>, options: &LoadOptions) -> Result<Model, ModelError> {
        format::load(path.as_ref(), options)
    }

    /// Reads a model from the bytes of a file, by their content; for models that are embedded in a
    /// program or come over the network.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Model, ModelError> {
        Model::from_bytes_with(bytes, &LoadOptions::default())
    }

    /// As [`Model::from_bytes`], with what the bytes cannot say themselves.
    ///
    /// # Errors
    /// As [`Model::load_with`].
    pub fn from_bytes_with(bytes: &[u8], options: &LoadOptions) -> Result<Model, ModelError> {
        format::from_bytes(bytes, options)
    }

    /// Writes the model as safetensors, with order, activations, transform and labels in the
    /// file's metadata, so that [`Model::load`] gives back the same model, and with a checksum, so
    /// that it refuses a damaged one. A file that is there already is replaced as a whole.
    ///
    /// # Errors
    /// [`ModelError::Io`] where the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), ModelError> {
        format::safetensors::save(self, path.as_ref())
    }

    /// Writes the model as ONNX, for other programs to run: opset 20, an input `input` of
    /// `[batch, inputs]` and an output `output` of `[batch, classes]`.
    ///
    /// Name, labels and what a byte stands for travel in the file's metadata, so that
    /// [`Model::load`] gives back a model of the same content hash.
    ///
    /// # Errors
    /// [`ModelError::Io`] where the file cannot be written; [`ModelError::TooLarge`] where it would
    /// be larger than a protobuf message may be, 2 GiB.
    pub fn save_onnx(&self, path: impl AsRef<Path>) -> Result<(), ModelError> {
        format::onnx::save(self, path.as_ref())
    }

    /// A model from its layers in order, with no transform, [`Head::Logits`] and no labels.
    ///
    /// # Errors
    /// [`ModelError::Invalid`] where there is no layer, widths do not chain, or a number is not
    /// finite; [`ModelError::TooLarge`] past [`LAYERS_MAX`] or [`PARAMETERS_MAX`].
    pub fn from_layers(layers: Vec<Dense>) -> Result<Model, ModelError> {
        check_chain(&layers)?;
        Ok(Model {
            name: String::from("unnamed"),
            transform: InputTransform::default(),
            u8_scale: U8Scale::Assumed,
            layers,
            head: Head::Logits,
            labels: None,
            notes: Vec::new(),
            format: None,
            content_hash: OnceLock::new(),
        })
    }

    /// The same model under another name; the name is no part of the content hash.
    pub fn with_name(mut self, name: impl Into<String>) -> Model {
        self.name = name.into();
        self
    }

    /// The same layers behind another input transform.
    ///
    /// What one step of a byte stands for is what the caller said, or else what follows from the
    /// transform: 1 where its numbers are those of bytes, 1/255 where they are those of values from
    /// 0 to 1. Where they may be either it is [`U8Scale::Unknown`].
    ///
    /// # Errors
    /// [`ModelError::Invalid`] where the transform does not fit the input width or is not finite.
    pub fn with_transform(mut self, transform: InputTransform) -> Result<Model, ModelError> {
        transform.check(self.inputs())?;
        self.transform = transform.simplified();
        if !matches!(self.u8_scale, U8Scale::User(_)) {
            self.u8_scale = U8Scale::of_transform(&self.transform, self.inputs());
        }
        self.content_hash = OnceLock::new();
        Ok(self)
    }

    /// The same model, reading a `u8` row's byte `b` as the value `b * u8_scale`.
    ///
    /// # Errors
    /// [`ModelError::Invalid`] where the scale is zero or not finite.
    pub fn with_u8_scale(self, u8_scale: f32) -> Result<Model, ModelError> {
        self.with_u8_scale_from(U8Scale::User(u8_scale))
    }

    /// The same model with what is known of the step of a byte.
    pub(crate) fn with_u8_scale_from(mut self, u8_scale: U8Scale) -> Result<Model, ModelError> {
        if let Some(scale) = u8_scale.value().filter(|scale| !scale.is_finite() || *scale == 0.0) {
            return Err(ModelError::invalid("u8_scale", "a finite number other than 0", scale));
        }
        self.u8_scale = u8_scale;
        self.content_hash = OnceLock::new();
        Ok(self)
    }

    /// The same layers with another head.
    pub fn with_head(mut self, head: Head) -> Model {
        self.head = head;
        self.content_hash = OnceLock::new();
        self
    }

    /// The same model with one label per class; labels are no part of the content hash.
    ///
    /// # Errors
    /// [`ModelError::Invalid`] where the number of labels is not the number of classes.
    pub fn with_labels(mut self, labels: Vec<String>) -> Result<Model, ModelError> {
        if labels.len() != self.classes() {
            let expected = format!("{} (one per class)", self.classes());
            return Err(ModelError::invalid("labels", expected, labels.len()));
        }
        self.labels = Some(labels);
        Ok(self)
    }

    /// The same model with a remark on how it was read, for `inspect` to show.
    pub fn with_note(mut self, note: impl Into<String>) -> Model {
        self.notes.push(note.into());
        self
    }

    /// The same model, read from a file of this format.
    fn with_format(mut self, format: Format) -> Model {
        self.format = Some(format);
        self
    }

    /// The model's name: what its file says, or the file's own name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The affine transform between a row's values and the first layer.
    pub fn transform(&self) -> &InputTransform {
        &self.transform
    }

    /// What one step of a byte stands for when rows are `u8`, and where that is known from.
    pub fn u8_scale(&self) -> U8Scale {
        self.u8_scale
    }

    /// The layers, first to last; never empty.
    pub fn layers(&self) -> &[Dense] {
        &self.layers
    }

    /// What turns the last layer's outputs into scores.
    pub fn head(&self) -> Head {
        self.head
    }

    /// One label per class, where the model has them.
    pub fn labels(&self) -> Option<&[String]> {
        self.labels.as_deref()
    }

    /// Remarks of the importer: what it generalised, folded or assumed.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The format of the file that the layers were read from; `None` where they were made in a
    /// program.
    pub fn format(&self) -> Option<Format> {
        self.format
    }

    /// Values in a row.
    pub fn inputs(&self) -> usize {
        self.layers[0].inputs()
    }

    /// Scores of a row.
    pub fn classes(&self) -> usize {
        self.layers[self.layers.len() - 1].outputs()
    }

    /// Weights and biases, counted.
    pub fn parameters(&self) -> usize {
        self.layers.iter().map(Dense::parameters).sum()
    }

    /// The widths from input to output, such as `784-32-32-32-32-10`.
    pub fn architecture(&self) -> String {
        let outputs = self.layers.iter().map(|layer| format!("-{}", layer.outputs()));
        format!("{}{}", self.inputs(), outputs.collect::<String>())
    }

    /// The first difference to another model in what decides the scores; `None` where both are the
    /// same network, and their content hashes the same.
    pub fn difference(&self, other: &Model) -> Option<Difference> {
        Difference::first(self, other)
    }

    /// SHA-256 over everything that decides the scores, and over nothing else.
    pub fn content_hash(&self) -> ContentHash {
        let hash = || hash::of(&self.layers, &self.transform, self.u8_scale, self.head);
        *self.content_hash.get_or_init(hash)
    }
}

/// Checks what no single layer can: that there are layers, not too many, and that they chain.
fn check_chain(layers: &[Dense]) -> Result<(), ModelError> {
    if layers.is_empty() {
        return Err(ModelError::invalid("layers", "at least 1", 0));
    }
    if layers.len() > LAYERS_MAX {
        return Err(ModelError::too_large("layers", LAYERS_MAX, layers.len()));
    }
    for (index, pair) in layers.windows(2).enumerate() {
        if pair[0].outputs() != pair[1].inputs() {
            return Err(ModelError::invalid(
                format!("layer {} inputs", index + 1),
                format!("{} (the outputs of layer {index})", pair[0].outputs()),
                pair[1].inputs(),
            ));
        }
    }
    let parameters = layers.iter().map(Dense::parameters).sum::<usize>();
    if parameters > PARAMETERS_MAX {
        return Err(ModelError::too_large("parameters", PARAMETERS_MAX, parameters));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(inputs: usize, outputs: usize) -> Dense {
        Dense::new(inputs, outputs, vec![0.5; inputs * outputs], None, Activation::Relu).unwrap()
    }

    #[test]
    fn layers_must_chain() {
        let error = Model::from_layers(vec![layer(4, 3), layer(2, 1)]).unwrap_err();
        assert_eq!(error.to_string(), "layer 1 inputs: expected 3 (the outputs of layer 0), got 2");
        assert!(Model::from_layers(vec![]).is_err());
    }

    #[test]
    fn widths_and_parameters_are_those_of_the_chain() {
        let model = Model::from_layers(vec![layer(4, 3), layer(3, 2)]).unwrap();
        assert_eq!((model.inputs(), model.classes(), model.parameters()), (4, 2, 18));
        assert_eq!(model.architecture(), "4-3-2");
    }

    #[test]
    fn the_hash_follows_what_decides_the_scores() {
        let model = Model::from_layers(vec![layer(4, 3)]).unwrap();
        let hash = model.content_hash();
        assert_eq!(model.clone().with_name("other").content_hash(), hash);
        let labels = vec![String::from("a"), String::from("b"), String::from("c")];
        assert_eq!(model.clone().with_labels(labels).unwrap().content_hash(), hash);
        assert_ne!(model.clone().with_head(Head::Softmax).content_hash(), hash);
        assert_ne!(model.clone().with_u8_scale(1.0).unwrap().content_hash(), hash);
        let zero_bias =
            Dense::new(4, 3, vec![0.5; 12], Some(vec![0.0; 3]), Activation::Relu).unwrap();
        assert_eq!(Model::from_layers(vec![zero_bias]).unwrap().content_hash(), hash);
    }
}
