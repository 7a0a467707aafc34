//! Language models: from a checkpoint to a program and the weights that fill it.
//!
//! [`checkpoint`] reads files; an architecture file (`llama`, `gemma3`, …) takes the configuration keys it understands and
//! says what the maths is; `decoder` builds the plans for it, of `layers` and `experts`; `layer_weights` knows the tensors and
//! `weights` brings them to the device.
//! Knows plans and kernels, no device, no tokenizer.

pub mod checkpoint;
mod decoder;
mod error;
mod experts;
mod export;
mod gemma2;
mod gemma3;
mod layer_weights;
mod layers;
mod llama;
mod mistral;
mod model;
mod phi3;
mod quantisation;
mod qwen2;
mod qwen3;
mod qwen3_moe;
mod rope;
mod smollm3;
mod synth;
mod weights;

pub use error::ModelError;
pub use export::{Export, ExportError, SynthFile, TensorClass};
pub use model::{EmbedPlan, Executor, Handles, Model, ScorePlan, Shape, StepBuffers, max_context};
pub use quantisation::{ModelFacts, Quantisation, UnknownQuantisation};
pub use synth::{SynthError, SynthSpec};
pub use weights::{RowFiller, SinkError, WeightSink};
