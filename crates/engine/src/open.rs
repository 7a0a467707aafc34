//! A model's files opened: checkpoint and tokenizer, from a folder, a GGUF file or the embedded bytes.

use crate::EngineError;
use crate::tokenizer::{GgufVocabulary, Tokenizer};
use resident_models::checkpoint::gguf::Metadata;
use resident_models::checkpoint::{Checkpoint, CheckpointError};
use std::path::Path;

/// A checkpoint with its tokenizer.
pub struct OpenModel {
    checkpoint: Checkpoint,
    name: String,
}

impl OpenModel {
    /// Opens a folder or a GGUF file.
    ///
    /// # Errors
    /// Whatever is wrong with the files.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Ok(Self { checkpoint: Checkpoint::open(path)?, name })
    }

    /// Opens a GGUF file that is part of the program.
    ///
    /// # Errors
    /// Whatever is wrong with the bytes.
    pub fn embedded(name: &str, bytes: &'static [u8]) -> Result<Self, EngineError> {
        Ok(Self { checkpoint: Checkpoint::from_bytes(name, bytes)?, name: name.to_owned() })
    }

    /// What reports call it: the last part of the path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The weights and the configuration.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The tokenizer that belongs to the weights.
    ///
    /// # Errors
    /// Missing or not understood.
    pub fn tokenizer(&self) -> Result<Tokenizer, EngineError> {
        match (self.checkpoint.folder(), self.checkpoint.gguf_metadata()) {
            (Some(folder), _) => Ok(Tokenizer::from_folder(folder)?),
            (None, Some(metadata)) => Ok(Tokenizer::from_gguf(vocabulary(metadata)?)?),
            (None, None) => unreachable!("a checkpoint is a folder or a GGUF file"),
        }
    }

    /// The context length that the model was made for.
    ///
    /// # Errors
    /// A configuration that is not understood.
    pub fn max_context(&self) -> Result<u32, EngineError> {
        Ok(resident_models::max_context(&self.checkpoint)?)
    }

    /// The tokens that end a text.
    ///
    /// # Errors
    /// Ids outside the vocabulary.
    pub fn eos_ids(&self) -> Result<Vec<u32>, EngineError> {
        Ok(self.checkpoint.token_ids()?.eos)
    }
}

/// The `tokenizer.ggml.*` keys of a GGUF file.
fn vocabulary(metadata: Metadata<'_>) -> Result<GgufVocabulary, CheckpointError> {
    let key = |name: &str| format!("tokenizer.ggml.{name}");
    let texts = |name: &str| -> Result<Vec<String>, CheckpointError> {
        let found = metadata.get::<Vec<&str>>(&key(name))?.unwrap_or_default();
        Ok(found.into_iter().map(str::to_owned).collect())
    };
    Ok(GgufVocabulary {
        model: metadata.require::<&str>(&key("model"))?.to_owned(),
        pre: metadata.get::<&str>(&key("pre"))?.map(str::to_owned),
        tokens: texts("tokens")?,
        scores: metadata.get(&key("scores"))?.unwrap_or_default(),
        token_types: metadata.get(&key("token_type"))?.unwrap_or_default(),
        merges: texts("merges")?,
        bos: metadata.get(&key("bos_token_id"))?,
        eos: metadata.get(&key("eos_token_id"))?,
        unk: metadata.get(&key("unknown_token_id"))?,
        pad: metadata.get(&key("padding_token_id"))?,
        add_bos: metadata.get(&key("add_bos_token"))?,
        add_eos: metadata.get(&key("add_eos_token"))?,
        add_space_prefix: metadata.get(&key("add_space_prefix"))?,
    })
}
