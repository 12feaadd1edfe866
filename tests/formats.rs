//! Model files: what is read gives the right scores, what is damaged gives a typed error.

#[path = "formats/native.rs"]
mod native;
