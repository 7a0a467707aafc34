//! The engine that CLI and server share: an opened model with its tokenizer, made resident on one device, and what it
//! does there: generate text, score or embed a text, verify itself against a golden.
//!
//! - [`OpenModel`]: checkpoint and tokenizer, before any device is involved.
//! - [`Engine`]: the resident model. `generate`, `score`, `embed` and `verify` are its uses, `bench` measures them.
//! - [`tokenizer`]: text to ids and back, stop strings.
//! - [`chat`]: conversations to prompts, by the templates that models bring.

mod bench;
pub mod chat;
mod embed;
mod engine;
mod error;
mod executor;
mod fit;
mod generate;
mod open;
mod perplexity;
mod sampling;
mod score;
pub mod tokenizer;
mod tuning;
mod verify;

pub use bench::{Phase, Series};
pub use engine::{Activations, Engine, EngineOptions};
pub use error::EngineError;
pub use executor::ChosenExecutor;
pub use fit::{Alternative, Fit, Planned, TooLarge};
pub use generate::{FinishReason, Generated, Request};
pub use open::{OpenModel, open_tokenizer, synthetic_file};
pub use perplexity::{Divergence, PERPLEXITY_CONTEXT, Perplexity};
pub use resident_kernels::pool_rows::Pooling;
pub use resident_kernels::rope_kv::KvType;
pub use resident_models::Executor;
pub use sampling::Sampling;
pub use verify::{Golden, PromptResult, Verification};
