//! Modules in their order, with activations between them, and which axis of weights comes first.

use std::collections::BTreeMap;

use super::chain::{self, Orders};
use super::clues;
use super::left::{Left, Named};
use super::modules::{Grouped, Module, Other, Part};
use super::words::{is_number, words};
use super::{Format, Layout, LoadOptions, ModelError, SAY_ORDER, shortened};
use crate::model::{Activation, Ending, Head};

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

impl Sequence {
    /// The modules in their order.
    pub(super) fn named<'m>(&self, modules: &'m [Module], is_registered: bool) -> Named<'m> {
        let named = indices(&self.steps).map(|index| &modules[index]).collect();
        Named::new(named, self.layout, is_registered)
    }
}

/// The modules among the steps.
fn indices(steps: &[Step]) -> impl Iterator<Item = usize> {
    steps.iter().filter_map(|step| match step {
        Step::Module(index) => Some(*index),
        _ => None,
    })
}

/// Modules in an order, and how that was found.
struct Arranged {
    order: Vec<usize>,
    found: String,
}

/// The modules that the model is made of, the steps that the caller's order names, and what that
/// order leaves out.
type Chosen = (Vec<Module>, Option<Vec<Step>>, Left);

impl Told<'_> {
    /// The modules of the model, by the caller's order where there is one.
    pub(super) fn chosen(&self, grouped: Grouped) -> Result<Chosen, ModelError> {
        let Some(order) = &self.options.order else {
            clues::check(self.format, &grouped)?;
            return match grouped.others.into_iter().next() {
                Some(other) => Err(other.reason),
                None => {
                    let left = Left { modules: Vec::new(), others: Vec::new() };
                    Ok((grouped.modules, None, left))
                }
            };
        };
        let Grouped { modules, others, .. } = grouped;
        let mut places: Vec<Option<usize>> = vec![None; modules.len()];
        let mut chosen = 0;
        let mut steps = Vec::with_capacity(order.len());
        for name in order {
            if let Some(index) = modules.iter().position(|module| module.name == *name) {
                if places[index].is_some() {
                    return Err(ModelError::invalid("order", format!("'{name}' once"), "it twice"));
                }
                places[index] = Some(chosen);
                steps.push(Step::Module(chosen));
                chosen += 1;
                continue;
            }
            match name.parse() {
                Ok(Ending::Activation(activation)) => steps.push(Step::Activation(activation)),
                Ok(Ending::Head(head)) => steps.push(Step::Head(head)),
                Err(_) => return Err(unknown(name, &modules, others)),
            }
        }
        if !modules.iter().zip(&places).any(|(one, place)| place.is_some() && one.layer().is_some())
        {
            return Err(ModelError::invalid("order", "the name of a layer", "none"));
        }
        let (mut named, mut left) = (Vec::new(), Left { modules: Vec::new(), others });
        for (module, place) in modules.into_iter().zip(places) {
            match place {
                Some(place) => named.push((place, module)),
                None => left.modules.push(module),
            }
        }
        named.sort_by_key(|(place, _)| *place);
        Ok((named.into_iter().map(|(_, module)| module).collect(), Some(steps), left))
    }

    /// The one sequence that all of it allows, and notes on where it is from.
    pub(super) fn sequence(
        &self,
        modules: &[Module],
        said: Option<Vec<Step>>,
        notes: &mut Vec<String>,
    ) -> Result<Sequence, ModelError> {
        let modules_said: Option<Vec<usize>> = said.as_ref().map(|steps| indices(steps).collect());
        let (layout, arranged) = self.arranged(modules, modules_said.as_deref(), notes)?;
        if modules.len() > 1 {
            notes.push(format!("order: {}", arranged.found));
        }
        let says_activations = |steps: &[Step]| steps.len() > modules.len();
        let steps = match said.filter(|steps| says_activations(steps)) {
            Some(steps) => self.ended(steps, notes)?,
            None => self.activated(modules, &arranged.order, notes)?,
        };
        check_places(&steps)?;
        Ok(Sequence { steps, layout })
    }

    /// The steps of an order that names activations, and what the options say comes last.
    fn ended(
        &self,
        mut steps: Vec<Step>,
        notes: &mut Vec<String>,
    ) -> Result<Vec<Step>, ModelError> {
        let nothing = |what, because| {
            Err(ModelError::invalid(what, format!("nothing, because the order {because}"), "one"))
        };
        if self.options.activation.is_some() {
            return nothing("activation", "names activations");
        }
        notes.push(String::from("activations: said by the caller, in the order"));
        let Some(ending) = self.options.ending else { return Ok(steps) };
        if !matches!(steps.last(), Some(Step::Module(_))) {
            return nothing("final", "says what follows its last layer");
        }
        notes.push(format!("final {ending}: said by the caller"));
        steps.push(match ending {
            Ending::Activation(activation) => Step::Activation(activation),
            Ending::Head(head) => Step::Head(head),
        });
        Ok(steps)
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
                notes.push(format!("layout {layout}: said by the caller"));
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
            let found = String::from("said by the caller");
            return Ok(Arranged { order: order.to_vec(), found });
        }
        let as_stored: Vec<usize> = (0..modules.len()).collect();
        let fits = check_widths(modules, &as_stored, layout);
        if (self.is_registered || modules.len() == 1) && fits.is_ok() {
            let found = self.as_registered(modules, layout)?;
            return Ok(Arranged { order: as_stored, found });
        }
        let layers: Option<Vec<_>> = modules.iter().map(|module| widths(module, layout)).collect();
        let Some(layers) = layers else {
            return Err(self.undeclared_order("where its norms stand"));
        };
        match chain::orders(&layers) {
            Orders::One(order) => {
                Ok(Arranged { order, found: String::from("the only one in which widths chain") })
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

    /// How the order of registration, which fits, was found.
    ///
    /// # Errors
    /// [`ModelError::Undeclared`] where numbers in names give another order that fits, too.
    fn as_registered(&self, modules: &[Module], layout: Layout) -> Result<String, ModelError> {
        let layers: Vec<&Module> =
            modules.iter().filter(|module| module.layer().is_some()).collect();
        let all: Vec<_> = layers.iter().filter_map(|module| widths(module, layout)).collect();
        let registered = "as registered in the file";
        let Orders::Many(a, b) = chain::orders(&all) else { return Ok(registered.to_owned()) };
        let numbered = by_numbers(modules);
        let differs = |(place, index): &(usize, &usize)| place != *index;
        if check_widths(modules, &numbered, layout).is_ok()
            && let Some((place, index)) = numbered.iter().enumerate().find(differs)
        {
            let (registered, numbered) = (&modules[place].name, &modules[*index].name);
            return Err(self.undeclared_order(&format!(
                "whether '{registered}' comes before '{numbered}', as it is registered, or after \
                 it, as it is numbered"
            )));
        }
        let (a, b) = (&layers[a].name, &layers[b].name);
        Ok(format!("{registered}, where '{a}' and '{b}' fit in other orders, too; --order says it"))
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

/// The error of a name in an order that is neither a module's nor an activation's.
fn unknown(name: &str, modules: &[Module], others: Vec<Other>) -> ModelError {
    let is_of = |tensor: &str| {
        tensor == name || tensor.strip_prefix(name).is_some_and(|rest| rest.starts_with(['.', '/']))
    };
    let known = |other: &Other| other.tensors.iter().any(|(tensor, _)| is_of(tensor));
    match others.into_iter().find(known) {
        Some(other) => other.reason,
        None => {
            let expected = format!("modules ({}) or activations", names(modules));
            ModelError::invalid("order", expected, format!("'{name}'"))
        }
    }
}

/// The modules in the order of the numbers in their names, where names differ in numbers alone.
fn by_numbers(modules: &[Module]) -> Vec<usize> {
    let mut kinds: BTreeMap<Vec<String>, Vec<(Vec<String>, usize)>> = BTreeMap::new();
    for (index, module) in modules.iter().enumerate() {
        let (numbers, text): (Vec<_>, Vec<_>) = words(&module.name)
            .into_iter()
            .map(|word| (is_number(&word), word))
            .partition(|(is_number, _)| *is_number);
        // Numbers without zeros in front are larger where they are longer.
        let number = |(_, word): (bool, String)| word.trim_start_matches('0').to_owned();
        let numbers = numbers.into_iter().map(number).collect();
        let text = text.into_iter().map(|(_, word)| word).collect();
        kinds.entry(text).or_default().push((numbers, index));
    }
    let mut order: Vec<usize> = (0..modules.len()).collect();
    for kind in kinds.into_values() {
        let places: Vec<usize> = kind.iter().map(|(_, index)| *index).collect();
        let mut kind = kind;
        kind.sort_by_key(|(numbers, index)| {
            let sizes = numbers.iter().map(|number| (number.len(), number.clone()));
            (sizes.collect::<Vec<_>>(), *index)
        });
        places.into_iter().zip(kind).for_each(|(place, (_, index))| order[place] = index);
    }
    order
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
