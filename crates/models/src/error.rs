//! What can go wrong between a checkpoint and a program.

use crate::checkpoint::CheckpointError;
use resident_tensor::DType;

/// A model that cannot be built or loaded.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The checkpoint cannot be read, or asks for something that is not done.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// An architecture without a file of its own.
    #[error("{file}: architecture \"{architecture}\" is not supported (have {have})")]
    UnknownArchitecture {
        /// The checkpoint.
        file: String,
        /// Its architecture.
        architecture: String,
        /// Those that are.
        have: String,
    },
    /// A weight that no trained model has.
    #[error("{file}: {tensor}: weight {index} is NaN or infinite; the file is damaged, fetch it again")]
    NonFinite {
        /// The checkpoint.
        file: String,
        /// Canonical name.
        tensor: String,
        /// Which element.
        index: u64,
    },
    /// A weight beyond the range of the type that it should be rounded to.
    #[error("{file}: {tensor}: a weight is too large for {dtype}; choose other --weights")]
    TooLarge {
        /// The checkpoint.
        file: String,
        /// Canonical name.
        tensor: String,
        /// The type.
        dtype: DType,
    },
    /// A context or a shape that cannot be run.
    #[error("{0}")]
    Shape(String),
    /// The device refused the weights.
    #[error(transparent)]
    Device(Box<dyn std::error::Error + Send + Sync>),
}
