//! No runtime: the classifier of the papers alone, every width a constant, in AVX-512 or AVX2. What
//! a kernel for any network can be held against.

#[cfg(target_arch = "x86_64")]
mod kernel;

use std::path::Path;

use anyhow::Result;
use fusewire::{Activation, Model};

use super::{Batch, Peer};
use crate::files;
use crate::protocol::Missing;

const WIDTHS: [usize; 6] = [784, 32, 32, 32, 32, 10];
/// Outputs of every layer, padded.
const WIDE: usize = 32;

/// The weights of one input, or the values of a row.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([f32; WIDE]);

const ZEROS: Line = Line([0.0; WIDE]);

struct Layer {
    weight: Vec<Line>,
    bias: Line,
    floor: f32,
}

/// What runs a tile of rows through all layers, and brings the rows of the next tile near.
struct Kernel {
    name: &'static str,
    /// The most rows of a tile: their sums and what they are made of fill the registers.
    rows: usize,
    run: fn(&[Layer], Rows<'_>, &mut [f32]),
}

/// Rows of a tile, and of the one after it, of which there are none at the end of a call.
#[derive(Clone, Copy)]
struct Rows<'a> {
    here: &'a [f32],
    next: &'a [f32],
}

/// The best kernel that the processor has the instructions for.
#[cfg(target_arch = "x86_64")]
use kernel::find;

#[cfg(not(target_arch = "x86_64"))]
fn find() -> Option<Kernel> {
    None
}

struct HandWritten {
    layers: Vec<Layer>,
    kernel: Kernel,
}

pub fn load(folder: &Path) -> Result<Box<dyn Peer>> {
    let model = Model::load(folder.join(files::SAFETENSORS))?;
    let widths: Vec<usize> = std::iter::once(model.inputs())
        .chain(model.layers().iter().map(|layer| layer.outputs()))
        .collect();
    let kernel = find().filter(|_| widths == WIDTHS).ok_or_else(|| {
        let what = "it is written for AVX-512 or AVX2, and for 784-32-32-32-32-10 alone";
        Missing(String::from(what))
    })?;
    let mut layers = Vec::new();
    for layer in model.layers() {
        let floor = match layer.activation() {
            Activation::Relu => 0.0,
            Activation::Identity => f32::NEG_INFINITY,
            other => return Err(Missing(format!("it has no {other:?}")).into()),
        };
        let mut weight = vec![ZEROS; layer.inputs()];
        let mut bias = ZEROS;
        for output in 0..layer.outputs() {
            for (input, line) in weight.iter_mut().enumerate() {
                line.0[output] = layer.weight()[output * layer.inputs() + input];
            }
            bias.0[output] = layer.bias().map_or(0.0, |bias| bias[output]);
        }
        layers.push(Layer { weight, bias, floor });
    }
    Ok(Box::new(HandWritten { layers, kernel }))
}

impl Peer for HandWritten {
    fn version(&self) -> String {
        let name = self.kernel.name;
        format!("a fused kernel of this network alone, {name}, rows f32, weights f32")
    }

    fn run(&mut self, batch: Batch<'_>, scores: &mut [f32]) -> Result<()> {
        // As few tiles as can be, as even as can be.
        let tiles = batch.rows.div_ceil(self.kernel.rows).max(1);
        let rows = batch.rows.div_ceil(tiles).max(1);
        let mut values = batch.values.chunks(rows * WIDTHS[0]).peekable();
        for scores in scores.chunks_mut(rows * WIDTHS[5]) {
            let Some(here) = values.next() else { break };
            let next = values.peek().copied().unwrap_or_default();
            (self.kernel.run)(&self.layers, Rows { here, next }, scores);
        }
        Ok(())
    }
}
