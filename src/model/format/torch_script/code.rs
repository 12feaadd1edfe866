//! The archive's code: files, read when something of them is first needed.

use std::collections::HashMap;
use std::rc::Rc;

use super::members::Members;
use super::parser;
use super::syntax::{File, Item};
use crate::model::{Format, ModelError};

/// The most bytes of code that are read of an archive.
const CODE_BYTES_MAX: usize = 1 << 21;

pub(super) struct Code<'a> {
    members: &'a Members<'a>,
    files: HashMap<String, File>,
    bytes: usize,
    /// Expressions and statements in all files.
    nodes: usize,
}

impl<'a> Code<'a> {
    pub(super) fn new(members: &'a Members<'a>) -> Code<'a> {
        Code { members, files: HashMap::new(), bytes: 0, nodes: 0 }
    }

    /// The class or function of this dotted name: `__torch__.torch.nn.functional.relu` stands in
    /// `code/__torch__/torch/nn/functional.py`.
    pub(super) fn item(&mut self, path: &str) -> Result<Item, ModelError> {
        let (module, name) = path.rsplit_once('.').unwrap_or(("", path));
        if !self.files.contains_key(module) {
            let file = self.read(module)?;
            self.files.insert(module.to_owned(), file);
        }
        let item = self.files.get(module).and_then(|file| file.get(name)).cloned();
        item.ok_or_else(|| {
            let at = format!("{:.200}", name_of(module));
            ModelError::malformed(
                Format::TorchScript,
                at,
                format!("a definition of {name}"),
                "none",
            )
        })
    }

    /// Whether the class of this name is defined, and has the method.
    pub(super) fn method(
        &mut self,
        class: &str,
        name: &str,
    ) -> Result<Option<Rc<super::syntax::Function>>, ModelError> {
        match self.item(class)? {
            Item::Class(methods) => Ok(methods.get(name).cloned()),
            Item::Function(_) => Ok(None),
        }
    }

    fn read(&mut self, module: &str) -> Result<File, ModelError> {
        let name = name_of(module);
        let bytes = self.members.read(&name)?;
        self.bytes += bytes.len();
        if self.bytes > CODE_BYTES_MAX {
            let what = "bytes of TorchScript code";
            return Err(ModelError::too_large(what, CODE_BYTES_MAX, self.bytes));
        }
        let text = str::from_utf8(&bytes).map_err(|_| {
            ModelError::malformed(Format::TorchScript, &name, "UTF-8", "other bytes")
        })?;
        parser::parse(&name, text, &mut self.nodes)
    }
}

/// The name of the member that a module of the code stands in.
fn name_of(module: &str) -> String {
    format!("code/{}.py", module.replace('.', "/"))
}
