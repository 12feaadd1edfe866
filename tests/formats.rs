//! Model files: what is read gives the right scores, what is damaged gives a typed error.

mod common;
#[path = "formats/hostile.rs"]
mod hostile;
#[path = "formats/keras.rs"]
mod keras;
#[path = "formats/native.rs"]
mod native;
#[path = "formats/npy.rs"]
mod npy;
#[path = "formats/onnx.rs"]
mod onnx;
#[path = "formats/onnx_file.rs"]
mod onnx_file;
#[path = "formats/paper.rs"]
mod paper;
#[path = "formats/peer.rs"]
mod peer;
