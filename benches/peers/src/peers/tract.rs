//! tract, with a plan of its own for each batch size, as its authors advise.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tract_onnx::prelude::*;

use super::{Batch, Peer};
use crate::files::{self, Network};

struct Tract {
    onnx: PathBuf,
    inputs: usize,
    plans: HashMap<usize, TypedSimpleState>,
}

pub fn load(folder: &Path) -> Result<Box<dyn Peer>> {
    let inputs = Network::read(folder)?.inputs;
    let mut tract = Tract { onnx: folder.join(files::ONNX), inputs, plans: HashMap::new() };
    tract.plans.insert(1, tract.plan(1)?);
    Ok(Box::new(tract))
}

impl Tract {
    fn plan(&self, rows: usize) -> Result<TypedSimpleState> {
        let model = tract_onnx::onnx().model_for_path(&self.onnx)?;
        let model = model.with_input_fact(0, f32::fact([rows, self.inputs]).into())?;
        model.into_optimized()?.into_runnable()?.spawn()
    }
}

impl Peer for Tract {
    fn version(&self) -> String {
        format!("tract-onnx {}", files::locked_version("tract-onnx"))
    }

    fn run(&mut self, batch: Batch<'_>, scores: &mut [f32]) -> Result<()> {
        if !self.plans.contains_key(&batch.rows) {
            self.plans.insert(batch.rows, self.plan(batch.rows)?);
        }
        let plan = self.plans.get_mut(&batch.rows).context("a plan of this size")?;
        let input = Tensor::from_shape(&[batch.rows, self.inputs], batch.values)?;
        let outputs = plan.run(tvec!(input.into()))?;
        let values = outputs[0].to_plain_array_view::<f32>()?;
        let values = values.as_slice().context("scores in order")?;
        ensure!(values.len() == scores.len(), "{} scores", values.len());
        scores.copy_from_slice(values);
        Ok(())
    }
}
