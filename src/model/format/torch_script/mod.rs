//! TorchScript archives, as `torch.jit.trace` and `torch.jit.script` save them.
//!
//! An archive is a zip of a module's attributes (`data.pkl`, a pickle), the code of its methods (in
//! the subset of Python that TorchScript's printer writes) and the numbers of its tensors. The code
//! is run here once, with one tensor as input of which nothing is known but that it has rows of
//! values: whatever does not depend on it is computed, a branch that does is refused, and what
//! operators make of it is told as a graph, which decides whether it is a dense chain.
//!
//! ```text
//! members    the zip by name             constant    tensors of the file
//! lexer      words                       value       what the code computes with
//! syntax     what code consists of       objects     modules and their attributes
//! parser     files and statements        tape        tensors computed from the input
//! expression expressions                 operators   linear algebra, told in ONNX's operators
//! code       functions by dotted name    activations, shapes: more of them
//! machine    runs a function             known       operators on numbers and truths
//! ```
//!
//! Nothing of it is Python: there are no imports, no loops and no side effects, and the work is
//! bounded. What is no step of a chain is refused with its name and the line it stands on.

mod activations;
mod arguments;
mod code;
mod constant;
mod expression;
mod known;
mod lexer;
mod machine;
mod members;
mod objects;
mod operators;
mod parser;
mod shapes;
mod syntax;
mod tape;
mod value;

use super::pickle::Reader;
use super::{Format, Model, ModelError};

/// Reads a model; `fallback_name` names it, as an archive only names classes.
pub(super) fn read(bytes: &[u8], fallback_name: &str) -> Result<Model, ModelError> {
    let members = members::Members::open(bytes)?;
    if let Some(order) = members.find("byteorder")?.filter(|order| order != b"little") {
        let got = String::from_utf8_lossy(&order).into_owned();
        return Err(ModelError::malformed(Format::TorchScript, "byteorder", "little", got));
    }
    let reader = |source| Reader { format: Format::TorchScript, source, objects: true };
    let data = members.read("data.pkl")?;
    let data = reader("data.pkl").read(&data)?;
    let constants = members.read("constants.pkl")?;
    let constants = reader("constants.pkl").read(&constants)?;
    let storages = constant::Storages::new(&members);
    let machine = machine::Machine::new(
        code::Code::new(&members),
        objects::Objects::new(&data, "data"),
        objects::Objects::new(&constants, "constants"),
        tape::Tape::new(fallback_name, storages),
    );
    machine.model()
}

/// A place in the code.
fn place(file: &str, line: u32) -> String {
    format!("{file}:{line}")
}
