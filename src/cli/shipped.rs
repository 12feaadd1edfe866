//! The model that comes with the program, so that a fresh binary has something to run.

use anyhow::{Context, Result};

use crate::model::Model;

/// 784-32-32-32-32-10, trained on Fashion-MNIST by `scripts/train_sample_model.py`.
const BYTES: &[u8] = include_bytes!("../../models/fashion-mnist.safetensors");

/// The shipped classifier.
pub(super) fn model() -> Result<Model> {
    Model::from_bytes(BYTES).context("the shipped model")
}
