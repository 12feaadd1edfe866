//! ONNX Runtime through its C API, by the crate `ort`: rows are read where they lie, scores copied
//! out.

use std::env;
use std::path::Path;

use anyhow::{Result, anyhow};
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::TensorRef;

use super::{Batch, Peer};
use crate::files;
use crate::protocol::Missing;

struct OnnxRuntime {
    /// The library's file name, which bears its version.
    library: String,
    session: Session,
    inputs: usize,
}

pub fn load(folder: &Path) -> Result<Box<dyn Peer>> {
    let Some(library) = env::var_os("ORT_DYLIB_PATH") else {
        let why = "no library: Python has no onnxruntime, and ORT_DYLIB_PATH names none";
        return Err(Missing(why.to_owned()).into());
    };
    let library = Path::new(&library).file_name().unwrap_or(&library).to_string_lossy().into();
    let environment = ort::init().with_telemetry(false).build()?;
    let builder = Session::builder(&environment)?;
    let builder = builder.with_intra_threads(1).map_err(|error| anyhow!("{error}"))?;
    let builder = builder.with_inter_threads(1).map_err(|error| anyhow!("{error}"))?;
    let mut builder = builder
        .with_optimization_level(GraphOptimizationLevel::Level3)
        .map_err(|error| anyhow!("{error}"))?;
    let session = builder.commit_from_file(folder.join(files::ONNX))?;
    let shape = session.inputs()[0].dtype().tensor_shape();
    let shape = shape.ok_or_else(|| anyhow!("the network's input is no tensor"))?;
    let inputs = shape.iter().skip(1).product::<i64>() as usize;
    Ok(Box::new(OnnxRuntime { library, session, inputs }))
}

impl Peer for OnnxRuntime {
    fn version(&self) -> String {
        format!("ONNX Runtime, C API, {}", self.library)
    }

    fn run(&mut self, batch: Batch<'_>, scores: &mut [f32]) -> Result<()> {
        let input = TensorRef::from_array_view(([batch.rows, self.inputs], batch.values))?;
        let outputs = self.session.run(ort::inputs![input])?;
        let (_, values) = outputs[0].try_extract_tensor::<f32>()?;
        scores.copy_from_slice(values);
        Ok(())
    }
}
