//! What can go wrong between a request and its answer.

use crate::tokenizer::TokenizerError;
use resident_models::ModelError;
use resident_models::checkpoint::CheckpointError;

/// A model that cannot be opened or run, or a request that cannot be met.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The model's files.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The model's tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The model's chat template.
    #[error(transparent)]
    Chat(#[from] crate::chat::ChatError),
    /// The tokenizer within a GGUF file.
    #[error("{file}: {source}")]
    GgufTokenizer {
        /// The file.
        file: String,
        /// What is wrong with it.
        source: TokenizerError,
    },
    /// The device.
    #[error(transparent)]
    Runtime(#[from] resident_runtime::Error),
    /// The model needs more memory than the device has.
    #[error("{0}")]
    TooLarge(Box<crate::fit::TooLarge>),
    /// A request outside what the model or this session can do; names the parameter.
    #[error("{0}")]
    Request(String),
    /// The model computed something that is no number.
    #[error(
        "the logits after token {position} are not finite; the weights or the driver are at fault ('resident verify' tells)"
    )]
    NonFinite {
        /// Position of the token that was fed in.
        position: u32,
    },
    /// A golden file.
    #[error("{file}: {problem}")]
    Golden {
        /// The file.
        file: String,
        /// What was found, expected, and the remedy.
        problem: String,
    },
}

impl From<CheckpointError> for EngineError {
    fn from(error: CheckpointError) -> Self {
        Self::Model(error.into())
    }
}
