//! Model files: what is read gives the right scores, what is damaged gives a typed error.

#[path = "formats/changed.rs"]
mod changed;
mod common;
#[cfg(feature = "cli")]
#[path = "formats/documented.rs"]
mod documented;
#[path = "formats/external.rs"]
mod external;
#[path = "formats/foreign.rs"]
mod foreign;
#[path = "formats/hostile.rs"]
mod hostile;
#[path = "formats/hostile_torch.rs"]
mod hostile_torch;
#[path = "formats/hostile_torch_script.rs"]
mod hostile_torch_script;
#[path = "formats/irregular.rs"]
mod irregular;
#[path = "formats/keras.rs"]
mod keras;
#[path = "formats/manifest.rs"]
mod manifest;
#[path = "formats/native.rs"]
mod native;
#[path = "formats/npy.rs"]
mod npy;
#[path = "formats/onnx.rs"]
mod onnx;
#[path = "formats/onnx_chain.rs"]
mod onnx_chain;
#[path = "formats/onnx_file.rs"]
mod onnx_file;
#[path = "formats/onnx_written.rs"]
mod onnx_written;
#[path = "formats/paper.rs"]
mod paper;
#[path = "formats/peer.rs"]
mod peer;
#[path = "formats/saved_model.rs"]
mod saved_model;
#[path = "formats/shards.rs"]
mod shards;
#[path = "formats/suite.rs"]
mod suite;
#[path = "formats/torch.rs"]
mod torch;
#[path = "formats/torch_file.rs"]
mod torch_file;
#[path = "formats/torch_script.rs"]
mod torch_script;
#[path = "formats/torch_script_file.rs"]
mod torch_script_file;
#[path = "formats/u8_scale.rs"]
mod u8_scale;
#[path = "formats/zips.rs"]
mod zips;
