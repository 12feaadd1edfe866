//! A model's configuration: from JSON to the layers it consists of, in order.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::order::{self, Entry, shown};
use crate::model::{Format, ModelError};

/// The most values a configuration may hold: each takes a hundred bytes in memory, and a layer
/// some eighty values.
const VALUES_MAX: usize = 1 << 18;
/// How deep models may nest.
const DEPTH_MAX: usize = 8;
/// The longest name of a layer or a class.
const NAME_BYTES_MAX: usize = 255;
/// The most layers, those of models within models counted too.
const LAYERS_MAX: usize = 1 << 14;

/// The version of Keras that wrote a file, as far as it matters to what layers compute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Version {
    /// Keras 1 and 2.
    Two,
    Three,
}

impl Version {
    /// The version that a text such as `3.15.1` begins with.
    pub(super) fn of(text: &str) -> Version {
        let major = text.split('.').next().and_then(|major| major.parse::<u32>().ok());
        if major.is_some_and(|major| major < 3) { Version::Two } else { Version::Three }
    }
}

/// What a configuration says.
pub(super) struct Config {
    /// The model's name; empty where it has none.
    pub(super) name: String,
    /// The axes of a row, where all are stated.
    pub(super) row: Option<Vec<usize>>,
    pub(super) layers: Vec<Layer>,
}

/// A layer, and where its weights stand.
pub(super) struct Layer {
    /// Its name, after those of the models it is in.
    pub(super) label: String,
    pub(super) class: String,
    pub(super) config: Map<String, Value>,
    /// The name of the layer of the outermost model that it is, or is in.
    pub(super) top: String,
    /// Its path in an archive: classes and counters.
    pub(super) path: String,
}

/// Reads the configuration of a whole model.
pub(super) fn parse(text: &str, format: Format) -> Result<Config, ModelError> {
    let malformed = |expected: &str, got: String| {
        ModelError::malformed(format, "configuration", expected.to_owned(), got)
    };
    let values = 1 + text.bytes().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count();
    if values > VALUES_MAX {
        return Err(ModelError::too_large("values in the configuration", VALUES_MAX, values));
    }
    let value: Value =
        serde_json::from_str(text).map_err(|error| malformed("JSON", error.to_string()))?;
    let Value::Object(model) = value else {
        return Err(malformed("an object", kind(&value).to_owned()));
    };
    let mut flat = Flat { format, row: None, layers: Vec::new(), labels: HashSet::new() };
    let name = flat.model(model, &Place::default(), 0)?;
    Ok(Config { name, row: flat.row, layers: flat.layers })
}

/// What JSON calls a value.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Which models a layer is in.
#[derive(Default)]
struct Place {
    label: String,
    top: Option<String>,
    path: String,
}

/// The layers gathered so far, models within models laid flat.
struct Flat {
    format: Format,
    row: Option<Vec<usize>>,
    layers: Vec<Layer>,
    labels: HashSet<String>,
}

impl Flat {
    /// Takes up the layers of a serialised model, and gives back its name.
    fn model(
        &mut self,
        mut model: Map<String, Value>,
        place: &Place,
        depth: usize,
    ) -> Result<String, ModelError> {
        let class = text(&model, "class_name").to_owned();
        // The first versions of Keras list the layers of a sequential model and nothing else.
        let mut config = match model.remove("config") {
            Some(Value::Object(config)) => config,
            Some(Value::Array(layers)) => {
                Map::from_iter([(String::from("layers"), Value::Array(layers))])
            }
            _ => return Err(self.malformed(&place.label, "the model's configuration", "none")),
        };
        let name = text(&config, "name").to_owned();
        self.check_names([&name, &class])?;
        if depth > DEPTH_MAX {
            return Err(ModelError::too_large("models within models", DEPTH_MAX, depth));
        }
        let Some(Value::Array(layers)) = config.remove("layers") else {
            return Err(ModelError::unsupported(&name, &class, NO_LAYERS));
        };
        let mut entries = self.entries(layers, place)?;
        match class.as_str() {
            "Sequential" => {}
            "Functional" | "Model" => {
                entries = order::chain(entries, &config, &name, self.format)?;
            }
            _ => return Err(ModelError::unsupported(&name, &class, NO_LAYERS)),
        }
        let built = config.get("build_input_shape").and_then(|shape| row_of(Some(shape)));
        for entry in entries {
            self.layer(entry, place, depth)?;
        }
        if depth == 0 && self.row.is_none() {
            self.row = built;
        }
        Ok(name)
    }

    /// The layers of one model, with their paths, which count the layers of each class.
    fn entries(&self, layers: Vec<Value>, place: &Place) -> Result<Vec<Entry>, ModelError> {
        let mut counts = HashMap::new();
        let mut entries = Vec::new();
        for value in layers {
            let Value::Object(mut object) = value else {
                let got = kind(&value);
                return Err(self.malformed(&place.label, "a layer", got));
            };
            let class = text(&object, "class_name").to_owned();
            let snake = snake_case(&class);
            let count = counts.entry(snake.clone()).or_insert(0_usize);
            let path = match *count {
                0 => format!("{}{snake}", place.path),
                count => format!("{}{snake}_{count}", place.path),
            };
            *count += 1;
            let config = object.get("config").and_then(Value::as_object);
            let own = config.map_or("", |config| text(config, "name"));
            let name = if own.is_empty() { text(&object, "name") } else { own }.to_owned();
            self.check_names([&name, &class])?;
            let inbound = object.remove("inbound_nodes");
            entries.push(Entry { name, class, path, inbound, object });
        }
        Ok(entries)
    }

    fn layer(&mut self, entry: Entry, place: &Place, depth: usize) -> Result<(), ModelError> {
        let Entry { name, class, path, mut object, .. } = entry;
        let label = match name.as_str() {
            "" => path.clone(),
            name => format!("{}{name}", place.label),
        };
        if !self.labels.insert(label.clone()) {
            return Err(self.malformed(&label, "a name that no other layer has", "one of two"));
        }
        check_origin(&label, &class, &object)?;
        let top = place.top.clone().unwrap_or_else(|| name.clone());
        if matches!(class.as_str(), "Sequential" | "Functional" | "Model") {
            let inner =
                Place { label: label + "/", top: Some(top), path: format!("{path}/layers/") };
            return self.model(object, &inner, depth + 1).map(|_| ());
        }
        let config = match object.remove("config") {
            Some(Value::Object(config)) => config,
            _ => Map::new(),
        };
        if self.layers.is_empty() && self.row.is_none() {
            let stated = config.get("batch_shape").or_else(|| config.get("batch_input_shape"));
            self.row = row_of(stated);
        }
        if self.layers.len() == LAYERS_MAX {
            return Err(ModelError::too_large("layers", LAYERS_MAX, LAYERS_MAX + 1));
        }
        self.layers.push(Layer { label, class, config, top, path });
        Ok(())
    }

    /// Names stand in errors, which are one line each.
    fn check_names(&self, names: [&str; 2]) -> Result<(), ModelError> {
        let is_odd = |name: &&str| name.len() > NAME_BYTES_MAX || name.contains(char::is_control);
        match names.into_iter().find(is_odd) {
            Some(name) => {
                let expected = format!("at most {NAME_BYTES_MAX} bytes, all of them printable");
                let got = shown(name);
                Err(ModelError::malformed(self.format, "a name", expected, format!("'{got}..'")))
            }
            None => Ok(()),
        }
    }

    fn malformed(&self, label: &str, expected: &str, got: &str) -> ModelError {
        let at = format!("configuration of '{}'", label.trim_end_matches('/'));
        ModelError::malformed(self.format, at, expected, got)
    }
}

const NO_LAYERS: &str = "its layers are not listed, only code of its own class knows them; export \
                         the model to ONNX, or build it as Sequential";

/// Refuses classes that are not Keras' own, whatever they are called.
fn check_origin(label: &str, class: &str, object: &Map<String, Value>) -> Result<(), ModelError> {
    let module = text(object, "module");
    let first = module.split('.').next().unwrap_or_default();
    let is_kerass = matches!(first, "" | "keras" | "tf_keras" | "tensorflow");
    if !is_kerass || text(object, "registered_name").contains('>') || class.contains('>') {
        let reason = "a class of the user's own is code, which is not executed";
        return Err(ModelError::unsupported(label, class, reason));
    }
    Ok(())
}

/// The axes after the batch, where the shape states all of them.
fn row_of(shape: Option<&Value>) -> Option<Vec<usize>> {
    let (_, row) = shape?.as_array()?.split_first()?;
    let axes = row.iter().map(|axis| usize::try_from(axis.as_u64()?).ok());
    axes.collect::<Option<Vec<usize>>>().filter(|row| !row.is_empty())
}

/// The text under a key; empty where there is none.
pub(super) fn text<'a>(object: &'a Map<String, Value>, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A class's name as archives spell it: `BatchNormalization` is `batch_normalization`.
fn snake_case(class: &str) -> String {
    let letters: Vec<char> = class.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
    let mut words = String::new();
    for (index, letter) in letters.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| letters[before]);
        let next_is_lower = letters.get(index + 1).is_some_and(char::is_ascii_lowercase);
        let begins = letter.is_ascii_uppercase()
            && before.is_some_and(|before| before.is_ascii_lowercase() || next_is_lower);
        if begins {
            words.push('_');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Keras' own `to_snake_case` spells them.
    #[test]
    fn classes_are_spelt_as_in_archives() {
        for (class, path) in [
            ("Dense", "dense"),
            ("BatchNormalization", "batch_normalization"),
            ("PReLU", "p_re_lu"),
            ("LeakyReLU", "leaky_re_lu"),
            ("ReLU", "re_lu"),
            ("ELU", "elu"),
            ("SpatialDropout1D", "spatial_dropout1d"),
            ("Conv2DTranspose", "conv2d_transpose"),
        ] {
            assert_eq!(snake_case(class), path);
        }
    }
}
