//! The tensors that are computed from the input, and the graph in ONNX's operators that is told of
//! them.

use std::collections::HashMap;

use super::arguments::Arguments;
use super::constant::{Constant, Key, Storages};
use super::value::Value;
use crate::model::format::graph::proto::AttributeProto;
use crate::model::format::graph::{Builder, Numbers};
use crate::model::{Activation, Format, LAYERS_MAX, Model, ModelError, U8Scale};

/// The most operators that are told: a layer takes five or six.
const NODES_MAX: usize = 32 * LAYERS_MAX;

/// A tensor that is computed from the input.
#[derive(Clone)]
struct Computed {
    /// Its name in the graph.
    name: String,
    /// How many values a row has, where that is known.
    width: Option<usize>,
    /// Whether it is known to be `[rows, values]`.
    is_matrix: bool,
    /// Whether its values are the input's, in whatever shape.
    is_input: bool,
    form: Form,
    /// The memory it lies in, which other tensors may look at, too.
    memory: usize,
    /// How often that had been changed in place when this was computed.
    changes: usize,
}

/// What a tensor is, where an operator after it has to know.
#[derive(Clone, PartialEq)]
pub(super) enum Form {
    Any,
    /// `|x|`, of the value of this name.
    Magnitude(String),
    /// `|x| + 1`
    MagnitudePlusOne(String),
}

pub(super) struct Tape<'a> {
    builder: Builder,
    storages: Storages<'a>,
    computed: Vec<Computed>,
    /// How often each memory was changed in place.
    changes: Vec<usize>,
    /// Constants that were told, by what they are, and how many of each name.
    constants: HashMap<Key, String>,
    names: HashMap<String, usize>,
    /// Vectors of one number, by their length and that number.
    filled: HashMap<(usize, i64), String>,
    told: usize,
    notes: Vec<&'static str>,
    /// Whether the code casts its input to floats.
    casts_input: bool,
}

impl<'a> Tape<'a> {
    /// A tape with the input on it, which is number 0.
    pub(super) fn new(name: &str, storages: Storages<'a>) -> Tape<'a> {
        let builder = Builder::new(Format::TorchScript, name, None);
        let input = Computed {
            name: builder.input(),
            width: None,
            is_matrix: false,
            is_input: true,
            form: Form::Any,
            memory: 0,
            changes: 0,
        };
        Tape {
            builder,
            storages,
            computed: vec![input],
            changes: vec![0],
            constants: HashMap::new(),
            names: HashMap::new(),
            filled: HashMap::new(),
            told: 0,
            notes: Vec::new(),
            casts_input: false,
        }
    }

    /// The model that the tape computes as number `output`.
    pub(super) fn finish(self, output: usize) -> Result<Model, ModelError> {
        let mut model = self.builder.finish(&self.computed[output].name)?;
        if self.casts_input && model.u8_scale() == U8Scale::Assumed {
            model = model.with_u8_scale_from(U8Scale::Unknown)?.with_note(
                "the code casts its input to floats: whether it takes bytes or values from 0 to 1 \
                 is unknown",
            );
        }
        Ok(self.notes.into_iter().fold(model, Model::with_note))
    }

    /// Says something of the model that its file does not say, once.
    pub(super) fn note(&mut self, note: &'static str) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    pub(super) fn width(&self, id: usize) -> Option<usize> {
        self.computed[id].width
    }

    pub(super) fn is_matrix(&self, id: usize) -> bool {
        self.computed[id].is_matrix
    }

    pub(super) fn form(&self, id: usize) -> &Form {
        &self.computed[id].form
    }

    /// The name of a computed tensor in the graph, where it still is what it was.
    pub(super) fn name(&self, call: &Arguments, id: usize) -> Result<String, ModelError> {
        let computed = &self.computed[id];
        if self.changes[computed.memory] != computed.changes {
            let reason = "it reads a tensor that was changed in place under another name";
            return Err(call.refuse(reason));
        }
        Ok(computed.name.clone())
    }

    /// A tensor that an operator writes from `of` and others, shaped as `of` is.
    pub(super) fn node(
        &mut self,
        call: &Arguments,
        of: usize,
        op: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> Result<usize, ModelError> {
        self.tell()?;
        let name = self.builder.node(&call.place(), op, inputs, attributes);
        Ok(self.push_written(of, name))
    }

    pub(super) fn activation(
        &mut self,
        call: &Arguments,
        of: usize,
        activation: Activation,
    ) -> Result<Value, ModelError> {
        let x = self.name(call, of)?;
        self.tell()?;
        let name = self.builder.activation(&call.place(), &x, activation);
        Ok(Value::Computed(self.push_written(of, name)))
    }

    /// The same tensor once more: in the same memory, or in one of its own.
    pub(super) fn again(
        &mut self,
        call: &Arguments,
        of: usize,
        is_copy: bool,
    ) -> Result<usize, ModelError> {
        let name = self.name(call, of)?;
        self.tell()?;
        let memory = if is_copy { self.new_memory() } else { self.computed[of].memory };
        Ok(self.push(Computed { name, memory, ..self.computed[of].clone() }))
    }

    /// Lets `id` look at the same memory as `of`, as every change of shape does.
    pub(super) fn share(&mut self, id: usize, of: usize) {
        let (memory, changes) = (self.computed[of].memory, self.computed[of].changes);
        (self.computed[id].memory, self.computed[id].changes) = (memory, changes);
        self.computed[id].is_input = self.computed[of].is_input;
    }

    /// Notes a cast of `id` to floats.
    pub(super) fn cast(&mut self, id: usize) {
        self.casts_input |= self.computed[id].is_input;
    }

    /// Says what rows of `id` are: of this many values, where known, and in one axis or not.
    pub(super) fn shape(&mut self, id: usize, width: Option<usize>, is_matrix: bool) {
        (self.computed[id].width, self.computed[id].is_matrix) = (width, is_matrix);
    }

    pub(super) fn set_form(&mut self, id: usize, form: Form) {
        self.computed[id].form = form;
    }

    /// Puts the value of `by` into the memory of `id`, as operators do that work in place: whatever
    /// else looks at that memory is no longer what it was.
    pub(super) fn overwrite(&mut self, id: usize, by: usize) {
        let memory = self.computed[id].memory;
        if self.computed[id].name == self.computed[by].name {
            return;
        }
        self.changes[memory] += 1;
        let changes = self.changes[memory];
        self.computed[id] = Computed { memory, changes, ..self.computed[by].clone() };
    }

    /// The name of a constant in the graph.
    pub(super) fn constant(&mut self, constant: &Constant) -> Result<String, ModelError> {
        let key = constant.key();
        if let Some(name) = self.constants.get(&key) {
            return Ok(name.clone());
        }
        self.tell()?;
        let numbers = self.storages.numbers(constant)?;
        let name = self.new_name(&constant.member);
        let name = self.builder.constant(&name, &constant.shape, numbers);
        self.constants.insert(key, name.clone());
        Ok(name)
    }

    /// A constant vector as long as another one, told before, that is `number` throughout.
    pub(super) fn filled(&mut self, like: &Constant, number: i64) -> String {
        let count = like.count();
        if let Some(name) = self.filled.get(&(count, number)) {
            return name.clone();
        }
        let numbers = Numbers::Doubles(vec![number as f64; count]);
        let name = self.new_name(&format!("{number}"));
        let name = self.builder.constant(&name, &[count], numbers);
        self.filled.insert((count, number), name.clone());
        name
    }

    pub(super) fn scalar(&mut self, number: f64) -> Result<String, ModelError> {
        self.tell()?;
        Ok(self.builder.scalar(number))
    }

    pub(super) fn integers(&mut self, integers: Vec<i64>) -> Result<String, ModelError> {
        self.tell()?;
        let name = self.new_name("shape");
        Ok(self.builder.constant(&name, &[integers.len()], Numbers::Integers(integers)))
    }

    /// The number that a value is, where it is one: a constant with one number is.
    pub(super) fn number(&mut self, value: &Value) -> Result<Option<f64>, ModelError> {
        match value {
            Value::Int(int) => Ok(Some(*int as f64)),
            Value::Float(float) => Ok(Some(*float)),
            Value::Constant(constant) => self.storages.scalar(constant),
            _ => Ok(None),
        }
    }

    /// A number that an argument has to be, where it is given.
    pub(super) fn argument(
        &mut self,
        call: &Arguments,
        name: &str,
        value: &Option<Value>,
        default: f64,
    ) -> Result<f64, ModelError> {
        let Some(value) = value else { return Ok(default) };
        self.number(value)?.ok_or_else(|| call.wrong(name, "a known number", value))
    }

    fn tell(&mut self) -> Result<(), ModelError> {
        self.told += 1;
        if self.told > NODES_MAX {
            let what = "operators that the TorchScript code runs";
            return Err(ModelError::too_large(what, NODES_MAX, self.told));
        }
        Ok(())
    }

    /// A name that no other constant has.
    fn new_name(&mut self, name: &str) -> String {
        let count = self.names.entry(name.to_owned()).or_default();
        *count += 1;
        if *count == 1 { name.to_owned() } else { format!("{name} ({count})") }
    }

    fn new_memory(&mut self) -> usize {
        self.changes.push(0);
        self.changes.len() - 1
    }

    /// Puts a tensor on the tape that an operator writes, shaped as `of` is.
    fn push_written(&mut self, of: usize, name: String) -> usize {
        let (memory, form) = (self.new_memory(), Form::Any);
        let shaped = self.computed[of].clone();
        self.push(Computed { name, is_input: false, form, memory, ..shaped })
    }

    /// Puts a tensor on the tape as it is now.
    fn push(&mut self, mut computed: Computed) -> usize {
        computed.changes = self.changes[computed.memory];
        self.computed.push(computed);
        self.computed.len() - 1
    }
}
