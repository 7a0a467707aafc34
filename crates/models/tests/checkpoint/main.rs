//! The checkpoint readers: real models from the shared data, hand-built damage, and random damage.

mod architectures;
mod config;
mod gguf_damage;
mod gguf_values;
mod gguf_writer;
mod pooling;
mod real_models;
mod safetensors_folders;
mod support;
