//! Runs small fully-connected (dense, MLP) classifiers as fast as the hardware allows, inside your
//! own service.
//!
//! fusewire reads a trained classifier, plans its layers into as few launches as the device's
//! on-chip memory allows, and runs batches of rows on a GPU through wgpu or on the CPU through SIMD
//! kernels that need no driver at all. It is not a tensor library, not a training framework, and
//! not a runtime for convolutions or language models.
//!
//! # The story in five lines, each of them one layer
//!
//! ```
//! # fn main() -> Result<(), fusewire::Error> {
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/models/fashion-mnist.safetensors");
//! # let pixels = [0.0_f32; 784];
//! use fusewire::{backend, BackendKind, Model, Pipeline, PipelineConfig, Plan, PlanOptions};
//!
//! let model = Model::load(path)?; //                                     model:    pure data
//! let device = backend::open(BackendKind::Cpu)?; //                      backend:  a device
//! let plan = Plan::new(&model, device.limits(), &PlanOptions::default())?; // plan: a program
//! let pipeline = Pipeline::start(device.load(plan)?, PipelineConfig::default())?; // pipeline
//! let class = pipeline.submit(&pixels)?.wait()?.class(); //              a ticket, then a reply
//! # assert!(class < 10);
//! # Ok(())
//! # }
//! ```
//!
//! [`Pipeline::open`] does all of it, on every device there is. Without queue or thread, on the
//! caller's own, rows are run by [`Executable::run`](backend::Executable::run), or by one facade
//! built from the lines above it and nothing else:
//!
//! ```
//! # fn main() -> Result<(), fusewire::Error> {
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/models/fashion-mnist.safetensors");
//! # let pixels = [0.0_f32; 784];
//! let class = fusewire::Classifier::open(path)?.classify(&pixels)?;
//! # assert!(class < 10);
//! # Ok(())
//! # }
//! ```
//!
//! # Layers
//!
//! `sync < model < plan < backend < pipeline < bench < cli`: a layer uses only what stands to its
//! left. A [`Model`] is valid once it exists; a [`Plan`] fits the [`Limits`] it was made for; a
//! [`Device`](backend::Device) can then only fail for reasons nobody could foresee, and a
//! [`Pipeline`] answers for those.

#![deny(missing_docs, unsafe_op_in_unsafe_fn, unsafe_code)]
#![deny(clippy::undocumented_unsafe_blocks)]
#![warn(unreachable_pub, missing_debug_implementations)]

pub mod backend;
#[cfg(feature = "cli")]
pub mod bench;
mod classifier;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
mod error;
pub mod model;
pub mod pipeline;
pub mod plan;
pub(crate) mod sync;

pub use backend::{BackendError, BackendKind, Rows};
pub use classifier::{Classifier, ClassifierOptions};
pub use error::Error;
pub use half::{bf16, f16};
pub use model::{Activation, Dense, Head, InputTransform, Model, ModelError, U8Scale};
pub use pipeline::{Pipeline, PipelineConfig, PipelineOptions, Reply, SubmitOptions, Ticket};
pub use plan::{InputType, Limits, Plan, PlanError, PlanOptions, Precision};

/// The README's snippets, run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
