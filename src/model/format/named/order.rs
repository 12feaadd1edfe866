//! Modules in their order, with activations between them, and which axis of weights comes first.

use super::chain::{self, Orders};
use super::modules::{Module, Part};
use super::{Format, Layout, LoadOptions, ModelError};
use crate::model::{Activation, Ending, Head};

/// How a caller says an order.
const SAY_ORDER: &str = "name the modules in their order, as order in a model.toml or in \
                         LoadOptions::order";

/// What a file's format and its reader's caller say about its tensors.
pub(super) struct Told<'o> {
    pub(super) format: Format,
    pub(super) is_registered: bool,
    pub(super) layout: Option<Layout>,
    pub(super) options: &'o LoadOptions,
}

/// What a model does with a row, step by step.
#[derive(Debug)]
pub(super) struct Sequence {
    pub(super) steps: Vec<Step>,
    pub(super) layout: Layout,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    /// A layer or norm, by index.
    Module(usize),
    Activation(Activation),
    Head(Head),
}

/// Modules in an order, and how that was found.
struct Arranged {
    order: Vec<usize>,
    found: &'static str,
}

impl Told<'_> {
    /// The one sequence that all of it allows, and notes on where it is from.
    pub(super) fn sequence(
        &self,
        modules: &[Module],
        notes: &mut Vec<String>,
    ) -> Result<Sequence, ModelError> {
        let said =
            self.options.order.as_ref().map(|order| self.parse(order, modules)).transpose()?;
        let modules_said: Option<Vec<usize>> = said.as_ref().map(|steps| {
            let module = |step: &Step| match step {
                Step::Module(index) => Some(*index),
                _ => None,
            };
            steps.iter().filter_map(module).collect()
        });
        let (layout, arranged) = self.arranged(modules, modules_said.as_deref(), notes)?;
        if modules.len() > 1 {
            notes.push(format!("order: {}", arranged.found));
        }
        let says_activations = |steps: &[Step]| steps.len() > modules.len();
        let steps = match said.filter(|steps| says_activations(steps)) {
            Some(steps) => {
                self.check_activations_are_said_once()?;
                notes.push(String::from("activations: said by the caller, in the order"));
                steps
            }
            None => self.activated(modules, &arranged.order, notes)?,
        };
        check_places(&steps)?;
        Ok(Sequence { steps, layout })
    }

    /// The steps that an order names: modules first of all, then activations and heads.
    fn parse(&self, order: &[String], modules: &[Module]) -> Result<Vec<Step>, ModelError> {
        let mut steps = Vec::with_capacity(order.len());
        let mut is_used = vec![false; modules.len()];
        for name in order {
            let module = modules.iter().position(|module| module.name == *name);
            if let Some(index) = module {
                if is_used[index] {
                    return Err(ModelError::invalid("order", format!("'{name}' once"), "it twice"));
                }
                is_used[index] = true;
                steps.push(Step::Module(index));
                continue;
            }
            match name.parse() {
                Ok(Ending::Activation(activation)) => steps.push(Step::Activation(activation)),
                Ok(Ending::Head(head)) => steps.push(Step::Head(head)),
                Err(_) => {
                    let expected = format!("modules ({}) or activations", names(modules));
                    return Err(ModelError::invalid("order", expected, format!("'{name}'")));
                }
            }
        }
        match is_used.iter().position(|is_used| !is_used) {
            Some(index) => {
                let expected = format!("every module, '{}' too", modules[index].name);
                Err(ModelError::invalid("order", expected, format!("{} names", order.len())))
            }
            None => Ok(steps),
        }
    }

    fn check_activations_are_said_once(&self) -> Result<(), ModelError> {
        let options = self.options;
        let said =
            [("activation", options.activation.is_some()), ("final", options.ending.is_some())];
        match said.into_iter().find(|(_, is_said)| *is_said) {
            Some((what, _)) => Err(ModelError::invalid(
                what,
                "nothing, because the order names activations",
                "one",
            )),
            None => Ok(()),
        }
    }

    /// The layout and the order that fit each other.
    fn arranged(
        &self,
        modules: &[Module],
        said: Option<&[usize]>,
        notes: &mut Vec<String>,
    ) -> Result<(Layout, Arranged), ModelError> {
        if let Some(layout) = self.options.layout.or(self.layout) {
            if self.options.layout.is_some() {
                notes.push(format!("layout {}: said by the caller", layout_name(layout)));
            }
            return Ok((layout, self.arrange(modules, said, layout)?));
        }
        let outputs_first = self.arrange(modules, said, Layout::OutputsFirst);
        let inputs_first = self.arrange(modules, said, Layout::InputsFirst);
        match (outputs_first, inputs_first) {
            (Ok(arranged), Err(error)) if is_misfit(&error) => Ok((Layout::OutputsFirst, arranged)),
            (Err(error), Ok(arranged)) if is_misfit(&error) => {
                let note = "weights are stored as [inputs, outputs], and were transposed";
                notes.push(note.to_owned());
                Ok((Layout::InputsFirst, arranged))
            }
            (Err(error), Err(other)) => {
                Err(if is_misfit(&error) && !is_misfit(&other) { other } else { error })
            }
            _ => Err(ModelError::undeclared(
                self.format,
                "which axis of its weights comes first, and both fit",
                "say layout, outputs_first or inputs_first, in a model.toml or in \
                 LoadOptions::layout",
            )),
        }
    }

    /// The modules' order, where weights have this layout.
    fn arrange(
        &self,
        modules: &[Module],
        said: Option<&[usize]>,
        layout: Layout,
    ) -> Result<Arranged, ModelError> {
        self.check_biases(modules, layout)?;
        if let Some(order) = said {
            check_widths(modules, order, layout)?;
            return Ok(Arranged { order: order.to_vec(), found: "said by the caller" });
        }
        let as_stored: Vec<usize> = (0..modules.len()).collect();
        let fits = check_widths(modules, &as_stored, layout);
        if (self.is_registered || modules.len() == 1) && fits.is_ok() {
            return Ok(Arranged { order: as_stored, found: "as registered in the file" });
        }
        let layers: Option<Vec<_>> = modules.iter().map(|module| widths(module, layout)).collect();
        let Some(layers) = layers else {
            return Err(self.undeclared_order("where its norms stand"));
        };
        match chain::orders(&layers) {
            Orders::One(order) => {
                Ok(Arranged { order, found: "the only one in which widths chain" })
            }
            Orders::Many(a, b) => {
                let (a, b) = (&modules[a].name, &modules[b].name);
                Err(self.undeclared_order(&format!("which of '{a}' and '{b}' comes first")))
            }
            Orders::None => {
                let list = modules.iter().zip(&layers);
                let list = list.map(|(module, (from, to))| format!("{} {from}-{to}", module.name));
                let list = list.collect::<Vec<_>>().join(", ");
                let reason = "in no order are one layer's outputs the next one's inputs";
                Err(ModelError::unsupported(shortened(list), "layers", reason))
            }
        }
    }

    fn undeclared_order(&self, what: &str) -> ModelError {
        ModelError::undeclared(self.format, what, SAY_ORDER)
    }

    fn check_biases(&self, modules: &[Module], layout: Layout) -> Result<(), ModelError> {
        for module in modules {
            let Part::Layer(layer) = &module.part else { continue };
            let (_, outputs) = layer.widths(layout);
            if let Some(bias) = &layer.bias
                && bias.dims != [outputs]
            {
                let at = format!("tensor '{}'", bias.name);
                let got = format!("{:?}", bias.dims);
                return Err(ModelError::malformed(self.format, at, format!("[{outputs}]"), got));
            }
        }
        Ok(())
    }

    /// Modules in their order, and what the options say about activations.
    fn activated(
        &self,
        modules: &[Module],
        order: &[usize],
        notes: &mut Vec<String>,
    ) -> Result<Vec<Step>, ModelError> {
        let is_layer = |index: &&usize| matches!(modules[**index].part, Part::Layer(_));
        let layers = order.iter().filter(is_layer).count();
        let (activation, ending) = self.activations(layers)?;
        let (last, head) = match ending {
            Ending::Activation(activation) => (activation, None),
            Ending::Head(head) => (Activation::Identity, Some(head)),
        };
        let mut steps = Vec::with_capacity(2 * order.len() + 1);
        let mut seen = 0;
        let mut follows = Activation::Identity;
        for index in order {
            steps.push(Step::Module(*index));
            match &modules[*index].part {
                Part::Layer(_) => {
                    seen += 1;
                    follows = if seen == layers { last } else { activation };
                    steps.push(Step::Activation(follows));
                }
                Part::Norm(_) if follows != Activation::Identity => {
                    let name = &modules[*index].name;
                    return Err(ModelError::undeclared(
                        self.format,
                        format!("whether the norm '{name}' stands before or after {follows}"),
                        format!("{SAY_ORDER}, with the names of activations between them"),
                    ));
                }
                Part::Norm(_) => {}
            }
        }
        steps.extend(head.map(Step::Head));
        if layers > 1 {
            notes.push(format!("activations {activation}, final {ending}: said by the caller"));
        } else {
            notes.push(format!("final {ending}: said by the caller"));
        }
        Ok(steps)
    }

    /// What follows every layer but the last, and what follows the last.
    fn activations(&self, layers: usize) -> Result<(Activation, Ending), ModelError> {
        let how = "say it with --activation and --final, as activation and final in a model.toml \
                   beside it, or in LoadOptions::{activation, ending}";
        match (self.options.activation, self.options.ending) {
            (Some(activation), Some(ending)) => Ok((activation, ending)),
            (None, Some(ending)) if layers == 1 => Ok((Activation::Identity, ending)),
            (None, None) if layers > 1 => Err(ModelError::undeclared(
                self.format,
                "which activations follow its layers",
                format!("{how} (--activation relu --final none)"),
            )),
            (None, Some(_)) => {
                let what = "which activation follows each layer but the last";
                Err(ModelError::undeclared(self.format, what, how))
            }
            (_, None) => {
                Err(ModelError::undeclared(self.format, "what follows its last layer", how))
            }
        }
    }
}

/// Inputs and outputs of a layer; `None` of a norm.
fn widths(module: &Module, layout: Layout) -> Option<(usize, usize)> {
    match &module.part {
        Part::Layer(layer) => Some(layer.widths(layout)),
        Part::Norm(_) => None,
    }
}

/// Refuses an order in which a module reads another number of values than the one before it writes.
fn check_widths(modules: &[Module], order: &[usize], layout: Layout) -> Result<(), ModelError> {
    let mut before: Option<(&str, usize)> = None;
    for module in order.iter().map(|index| &modules[*index]) {
        let (inputs, outputs) = match &module.part {
            Part::Layer(layer) => layer.widths(layout),
            Part::Norm(norm) => (norm.width(), norm.width()),
        };
        if let Some((name, width)) = before.filter(|(_, width)| *width != inputs) {
            let reason = format!("it reads {inputs} values, and '{name}' before it writes {width}");
            return Err(ModelError::unsupported(&module.name, "layer", reason));
        }
        before = Some((&module.name, outputs));
    }
    Ok(())
}

/// Refuses activations where a chain of layers has none.
fn check_places(steps: &[Step]) -> Result<(), ModelError> {
    let misplaced = |expected: &str, got| Err(ModelError::invalid("order", expected, got));
    let mut last = None;
    for (at, step) in steps.iter().enumerate() {
        match step {
            Step::Activation(Activation::Identity) => continue,
            Step::Activation(activation) if last.is_none() => {
                return misplaced("a layer before the activation", activation.to_string());
            }
            Step::Activation(activation) if matches!(last, Some(Step::Activation(_))) => {
                return misplaced("one activation after a layer", activation.to_string());
            }
            Step::Head(head) if at + 1 < steps.len() => {
                return misplaced("a head at the end alone", head.name().to_owned());
            }
            _ => {}
        }
        last = Some(*step);
    }
    Ok(())
}

/// Whether the error says that tensors do not fit, not that something has to be said.
fn is_misfit(error: &ModelError) -> bool {
    !matches!(error, ModelError::Undeclared { .. })
}

fn names(modules: &[Module]) -> String {
    let names: Vec<&str> = modules.iter().map(|module| &module.name[..]).collect();
    shortened(names.join(", "))
}

/// A list of names that fits a line.
fn shortened(list: String) -> String {
    match list.char_indices().nth(200) {
        Some((end, _)) => format!("{} ..", &list[..end]),
        None => list,
    }
}

fn layout_name(layout: Layout) -> &'static str {
    match layout {
        Layout::OutputsFirst => "outputs_first",
        Layout::InputsFirst => "inputs_first",
    }
}
