//! No runtime: the classifier of the papers alone, every width a constant, in AVX-512. What a
//! kernel for any network can be held against.

use std::path::Path;

use anyhow::Result;
use fusewire::{Activation, Model};

use super::{Batch, Peer};
use crate::files;
use crate::protocol::Missing;

const WIDTHS: [usize; 6] = [784, 32, 32, 32, 32, 10];
const LANES: usize = 16;
/// Outputs of every layer, padded.
const WIDE: usize = 2 * LANES;
/// The most rows of a tile: their sums and what they are made of fill the registers.
const ROWS: usize = 12;

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

struct HandWritten {
    layers: Vec<Layer>,
}

pub fn load(folder: &Path) -> Result<Box<dyn Peer>> {
    let model = Model::load(folder.join(files::SAFETENSORS))?;
    let widths: Vec<usize> = std::iter::once(model.inputs())
        .chain(model.layers().iter().map(|layer| layer.outputs()))
        .collect();
    if widths != WIDTHS || !has_avx512() {
        let what = "it is written for AVX-512 and 784-32-32-32-32-10 alone";
        return Err(Missing(String::from(what)).into());
    }
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
    Ok(Box::new(HandWritten { layers }))
}

impl Peer for HandWritten {
    fn version(&self) -> String {
        String::from("a fused kernel of this network alone, AVX-512, rows f32, weights f32")
    }

    fn run(&mut self, batch: Batch<'_>, scores: &mut [f32]) -> Result<()> {
        let tiles = batch.values.chunks(ROWS * WIDTHS[0]).zip(scores.chunks_mut(ROWS * WIDTHS[5]));
        for (rows, scores) in tiles {
            run_tile(&self.layers, rows, scores);
        }
        Ok(())
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx512() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn run_tile(_layers: &[Layer], _rows: &[f32], _scores: &mut [f32]) {
    unreachable!("loaded with AVX-512 alone");
}

#[cfg(target_arch = "x86_64")]
use with_avx512::{has_avx512, run_tile};

#[cfg(target_arch = "x86_64")]
mod with_avx512 {
    use std::arch::x86_64::*;

    use super::{LANES, Layer, Line, ROWS, WIDE, WIDTHS, ZEROS};

    pub fn has_avx512() -> bool {
        is_x86_feature_detected!("avx512f")
    }

    /// Runs up to [`ROWS`] rows through all layers.
    pub fn run_tile(layers: &[Layer], rows: &[f32], scores: &mut [f32]) {
        let run = match rows.len() / WIDTHS[0] {
            1 => tile::<1, 4>,
            2 => tile::<2, 4>,
            3 => tile::<3, 2>,
            4 => tile::<4, 2>,
            5 => tile::<5, 2>,
            6 => tile::<6, 2>,
            7 => tile::<7, 1>,
            8 => tile::<8, 1>,
            9 => tile::<9, 1>,
            10 => tile::<10, 1>,
            11 => tile::<11, 1>,
            _ => tile::<ROWS, 1>,
        };
        // SAFETY: loaded where the processor has AVX-512.
        unsafe { run(layers, rows, scores) }
    }

    /// `R` rows through all layers, inputs split in `C` chunks.
    ///
    /// # Safety
    /// The processor has AVX-512; `R` rows are there, and layers of the widths above.
    #[target_feature(enable = "avx512f")]
    unsafe fn tile<const R: usize, const C: usize>(
        layers: &[Layer],
        rows: &[f32],
        scores: &mut [f32],
    ) {
        let (mut one, mut other) = ([ZEROS; R], [ZEROS; R]);
        // SAFETY: `R` rows of so many values are there, and the layers' widths are the constants.
        unsafe {
            layer::<R, 2, C, { WIDTHS[0] }>(&layers[0], rows.as_ptr(), WIDTHS[0], &mut one);
            layer::<R, 2, C, WIDE>(&layers[1], one[0].0.as_ptr(), WIDE, &mut other);
            layer::<R, 2, C, WIDE>(&layers[2], other[0].0.as_ptr(), WIDE, &mut one);
            layer::<R, 2, C, WIDE>(&layers[3], one[0].0.as_ptr(), WIDE, &mut other);
            layer::<R, 1, C, WIDE>(&layers[4], other[0].0.as_ptr(), WIDE, &mut one);
        }
        for (scores, row) in scores.chunks_exact_mut(WIDTHS[5]).zip(&one) {
            scores.copy_from_slice(&row.0[..WIDTHS[5]]);
        }
    }

    /// One layer of `R` rows of `K` inputs, `P` vectors of outputs.
    ///
    /// # Safety
    /// The processor has AVX-512; `x` are `R` rows of `K` values, of which the layer has weights.
    #[target_feature(enable = "avx512f")]
    unsafe fn layer<const R: usize, const P: usize, const C: usize, const K: usize>(
        layer: &Layer,
        x: *const f32,
        stride: usize,
        y: &mut [Line; R],
    ) {
        let mut sums = [[[_mm512_setzero_ps(); P]; R]; C];
        let chunk = const { K / C };
        let weight = layer.weight.as_ptr().cast::<f32>();
        for k in 0..chunk {
            // The next tile's rows, a cache line of one of them at a time.
            if const { K > WIDE && C == 1 } {
                let (line, row) = (k / LANES * LANES, k % LANES);
                let next = x.wrapping_add((R + row.min(R - 1)) * stride + line);
                _mm_prefetch::<_MM_HINT_T1>(next.cast());
            }
            for (c, sums) in sums.iter_mut().enumerate() {
                let k = c * chunk + k;
                for p in 0..P {
                    // SAFETY: `k` is below `K`, as many as the layer has weights of.
                    let w = unsafe { _mm512_load_ps(weight.add(k * WIDE + p * LANES)) };
                    for (r, sums) in sums.iter_mut().enumerate() {
                        // SAFETY: the caller promises `R` rows of `K` values.
                        let x = _mm512_set1_ps(unsafe { *x.add(r * stride + k) });
                        sums[p] = _mm512_fmadd_ps(x, w, sums[p]);
                    }
                }
            }
        }
        for (r, y) in y.iter_mut().enumerate() {
            for p in 0..P {
                let mut sum = sums[0][r][p];
                for chunk in &sums[1..] {
                    sum = _mm512_add_ps(sum, chunk[r][p]);
                }
                // SAFETY: a line holds two vectors.
                unsafe {
                    let bias = _mm512_load_ps(layer.bias.0.as_ptr().add(p * LANES));
                    let value =
                        _mm512_max_ps(_mm512_add_ps(sum, bias), _mm512_set1_ps(layer.floor));
                    _mm512_store_ps(y.0.as_mut_ptr().add(p * LANES), value);
                }
            }
        }
    }
}
