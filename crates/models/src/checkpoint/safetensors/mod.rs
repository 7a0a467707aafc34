//! Reads the safetensors files of a Hugging Face folder: one file, or the shards that an index lists.
//!
//! - `folder`: which files there are and whether they hold what the index says.
//! - `header`: the tensor list of one file.

mod folder;
mod header;

pub(super) use folder::read_folder;
