//! One set of weights, loaded on every backend that serves: what a swap replaces.

use super::super::backend::{BackendError, Executable, ExecutionContext};
use super::super::model::ContentHash;
use super::super::plan::Precision;
use super::super::sync::{Arc, Mutex, lock};

/// One version of the model.
#[derive(Debug)]
pub(crate) struct Generation {
    /// 1 for the model that the pipeline was started with, and one more with each swap.
    pub(crate) version: u64,
    /// The model's content hash.
    pub(crate) hash: ContentHash,
    /// What its weights are rounded to.
    pub(crate) precision: Precision,
    /// What runs it on each backend, by the backend's serial number.
    executables: Mutex<Vec<(u64, Arc<dyn Executable>)>>,
}

/// A version's contexts on one worker, one for each batch in flight.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) version: u64,
    pub(crate) contexts: Vec<Box<dyn ExecutionContext>>,
}

impl Generation {
    /// A version that no backend has loaded yet.
    pub(crate) fn new(version: u64, hash: ContentHash, precision: Precision) -> Generation {
        Generation { version, hash, precision, executables: Mutex::default() }
    }

    /// Keeps what runs it on a backend.
    pub(crate) fn put(&self, backend: u64, executable: Arc<dyn Executable>) {
        let mut executables = lock(&self.executables);
        executables.retain(|(other, _)| *other != backend);
        executables.push((backend, executable));
    }

    /// What runs it on a backend, where that has loaded it.
    pub(crate) fn on(&self, backend: u64) -> Option<Arc<dyn Executable>> {
        let executables = lock(&self.executables);
        let found = executables.iter().find(|(other, _)| *other == backend);
        found.map(|(_, executable)| Arc::clone(executable))
    }

    /// Contexts for one worker of a backend; `None` where that has not loaded it.
    pub(crate) fn contexts(
        &self,
        backend: u64,
        depth: usize,
    ) -> Result<Option<Loaded>, BackendError> {
        let Some(executable) = self.on(backend) else {
            return Ok(None);
        };
        let contexts = (0..depth).map(|_| executable.create_context()).collect::<Result<_, _>>()?;
        Ok(Some(Loaded { version: self.version, contexts }))
    }
}
