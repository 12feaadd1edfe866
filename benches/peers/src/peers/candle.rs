//! candle on the processor, with its default features: no vendor's BLAS.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor};
use candle_nn::{Activation, Linear, Module, VarBuilder};

use super::{Batch, Peer};
use crate::files::{self, Network};
use crate::protocol::Missing;

struct Candle {
    layers: Vec<(Linear, Option<Activation>)>,
    inputs: usize,
}

pub fn load(folder: &Path) -> Result<Box<dyn Peer>> {
    let network = Network::read(folder)?;
    network.ensure_plain()?;
    let bytes = fs::read(folder.join(files::SAFETENSORS))?;
    let tensors = VarBuilder::from_buffered_safetensors(bytes, DType::F32, &Device::Cpu)?;
    let mut layers = Vec::with_capacity(network.layers.len());
    for layer in &network.layers {
        let weight = tensors.get((layer.outputs, layer.inputs), &layer.weight)?;
        let bias = layer.bias.as_ref().map(|name| tensors.get(layer.outputs, name)).transpose()?;
        layers.push((Linear::new(weight, bias), activation(&layer.activation)?));
    }
    Ok(Box::new(Candle { layers, inputs: network.inputs }))
}

fn activation(name: &str) -> Result<Option<Activation>> {
    match name {
        "identity" => Ok(None),
        "relu" => Ok(Some(Activation::Relu)),
        "sigmoid" => Ok(Some(Activation::Sigmoid)),
        other => Err(Missing(format!("{other} is not written down for candle")).into()),
    }
}

impl Peer for Candle {
    fn version(&self) -> String {
        format!("candle {}", files::locked_version("candle-core"))
    }

    fn run(&mut self, batch: Batch<'_>, scores: &mut [f32]) -> Result<()> {
        let mut x = Tensor::from_slice(batch.values, (batch.rows, self.inputs), &Device::Cpu)?;
        for (linear, activation) in &self.layers {
            x = linear.forward(&x)?;
            if let Some(activation) = activation {
                x = activation.forward(&x)?;
            }
        }
        let (storage, layout) = x.storage_and_layout();
        let candle_core::Storage::Cpu(values) = &*storage else { anyhow::bail!("not in memory") };
        let (start, end) = layout.contiguous_offsets().context("scores in order")?;
        ensure!(end - start == scores.len(), "{} scores", end - start);
        scores.copy_from_slice(&values.as_slice::<f32>()?[start..end]);
        Ok(())
    }
}
