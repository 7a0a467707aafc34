//! Language models: from a checkpoint to a program and the weights that fill it.
//!
//! [`checkpoint`] reads files; an architecture file (`llama`, `qwen3`) takes the configuration keys it understands and
//! says what the maths is; `decoder` builds the plans for it; `weights` brings the tensors to the device.
//! Knows plans and kernels, no device, no tokenizer.

pub mod checkpoint;
mod decoder;
mod error;
mod layers;
mod llama;
mod model;
mod qwen3;
mod rope;
mod synth;
mod weights;

pub use error::ModelError;
pub use model::{Executor, Handles, Model, ScorePlan, Shape, StepBuffers, max_context};
pub use synth::{SynthError, SynthSpec};
pub use weights::{SinkError, WeightSink};
