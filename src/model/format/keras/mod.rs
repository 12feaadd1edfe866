//! Keras: whole models in HDF5 (`.h5`, of Keras 2 and 3) and in Keras 3's archive (`.keras`).
//!
//! Both hold a configuration in JSON, which says what the layers are and in which order, and
//! their weights in HDF5:
//!
//! ```text
//! h5       `.h5`: configuration and version are attributes, weights stand under layers' names
//! archive  `.keras`: a zip; weights stand under classes' names and counters
//! bare     `.weights.h5`, and `.h5` without configuration: arrays by their names
//! hdf5     what is read of HDF5, and what bounds it
//! config   JSON to layers, models within models too
//! order    the layers of a functional model, from its output to its input
//! weights  where an array of a layer stands
//! layers   layers to a graph      activations  their names in Keras 2 and 3
//! ```
//!
//! A chain of layers that are dense or fold into dense ones is read; anything else is refused by
//! its layer's name. No code is executed: lambda layers and classes of the user's own are refused.

mod activations;
mod archive;
mod bare;
mod config;
mod h5;
mod hdf5;
mod layers;
mod numbers;
mod order;
mod weights;

pub(super) use archive::{is_archive, read as read_archive};
pub(super) use h5::read as read_h5;
