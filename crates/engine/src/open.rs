//! A model's files opened: checkpoint and tokenizer, from a folder, a GGUF file or the embedded bytes.

use crate::EngineError;
use crate::chat::ChatTemplates;
use crate::tokenizer::{GgufVocabulary, Tokenizer};
use resident_kernels::pool_rows::Pooling;
use resident_models::checkpoint::{Checkpoint, StoredPooling};
use resident_models::{Export, Quantisation, SynthFile, SynthSpec};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// A checkpoint with its tokenizer, or a synthetic model with one of bytes and numbers.
pub struct OpenModel {
    source: Source,
    name: String,
    weights: Option<Quantisation>,
}

/// What the weights come from.
pub(crate) enum Source {
    Checkpoint(Box<Checkpoint>),
    Synthetic(SynthSpec),
}

impl OpenModel {
    /// Opens a folder or a GGUF file.
    ///
    /// # Errors
    /// Whatever is wrong with the files.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Ok(Self { source: Source::Checkpoint(Box::new(Checkpoint::open(path)?)), name, weights: None })
    }

    /// Opens a GGUF file that is part of the program.
    ///
    /// # Errors
    /// Whatever is wrong with the bytes.
    pub fn embedded(name: &str, bytes: &'static [u8]) -> Result<Self, EngineError> {
        let checkpoint = Checkpoint::from_bytes(name, bytes)?;
        Ok(Self { source: Source::Checkpoint(Box::new(checkpoint)), name: name.to_owned(), weights: None })
    }

    /// A model of random weights, which says numbers.
    pub fn synthetic(spec: SynthSpec) -> Self {
        Self { name: spec.to_string(), source: Source::Synthetic(spec), weights: None }
    }

    /// Rounds matrices of more bits to this quantisation when they are loaded. Random weights keep their own types.
    pub fn with_weights(self, weights: Option<Quantisation>) -> Self {
        Self { weights, ..self }
    }

    /// Called otherwise than by its path.
    pub fn named(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// What matrices are rounded to. Random weights have their own types.
    pub(crate) fn weights(&self) -> Option<Quantisation> {
        self.weights.filter(|_| matches!(self.source, Source::Checkpoint(_)))
    }

    /// What reports call it: the last part of the path, unless it has been given another name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What of the files is left out though it is no mistake, a line each.
    pub fn notices(&self) -> &[String] {
        match &self.source {
            Source::Checkpoint(checkpoint) => checkpoint.notices(),
            Source::Synthetic(_) => &[],
        }
    }

    /// The types that the files store tensors in, with number and bytes of those, the largest share first. Random weights are
    /// stored nowhere.
    pub fn stored_types(&self) -> Vec<(&'static str, u64, u64)> {
        let Source::Checkpoint(checkpoint) = &self.source else { return Vec::new() };
        let mut types: Vec<(&'static str, u64, u64)> = Vec::new();
        for tensor in checkpoint.tensors() {
            let (name, bytes) = (tensor.dtype.name(), tensor.data.len() as u64);
            match types.iter_mut().find(|(known, ..)| *known == name) {
                Some((_, tensors, sum)) => (*tensors, *sum) = (*tensors + 1, *sum + bytes),
                None => types.push((name, 1, bytes)),
            }
        }
        types.sort_by_key(|(_, _, bytes)| std::cmp::Reverse(*bytes));
        types
    }

    /// How the model makes one vector of a text, if its files say it.
    ///
    /// # Errors
    /// Ways of pooling that are not implemented.
    pub fn pooling(&self) -> Result<Option<Pooling>, EngineError> {
        let Source::Checkpoint(checkpoint) = &self.source else { return Ok(None) };
        Ok(checkpoint.pooling()?.map(|stored| match stored {
            StoredPooling::Mean => Pooling::Mean,
            StoredPooling::Last => Pooling::Last,
        }))
    }

    /// Whether it was saved without the head that makes logits.
    pub(crate) fn has_no_head(&self) -> bool {
        matches!(&self.source, Source::Checkpoint(checkpoint) if checkpoint.has_no_head())
    }

    /// What the weights come from.
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// The tokenizer that belongs to the weights.
    ///
    /// # Errors
    /// Missing or not understood.
    pub fn tokenizer(&self) -> Result<Tokenizer, EngineError> {
        let checkpoint = match &self.source {
            Source::Checkpoint(checkpoint) => checkpoint,
            Source::Synthetic(spec) => {
                let made = Tokenizer::from_gguf(GgufVocabulary::synthetic(spec.vocab_size()));
                return made.map_err(|source| EngineError::GgufTokenizer { file: spec.to_string(), source });
            }
        };
        match (checkpoint.folder(), checkpoint.gguf_metadata()) {
            (Some(folder), _) => Ok(Tokenizer::from_folder(folder)?),
            (None, Some(metadata)) => Tokenizer::from_gguf(GgufVocabulary::from_metadata(metadata)?)
                .map_err(|source| EngineError::GgufTokenizer { file: checkpoint.label().to_owned(), source }),
            (None, None) => unreachable!("a checkpoint is a folder or a GGUF file"),
        }
    }

    /// The chat templates that the model's files carry; none for a model that was not made for conversations.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn chat_templates(&self) -> Result<ChatTemplates, EngineError> {
        let Source::Checkpoint(checkpoint) = &self.source else { return Ok(ChatTemplates::default()) };
        Ok(match (checkpoint.folder(), checkpoint.gguf_metadata()) {
            (Some(folder), _) => ChatTemplates::of_folder(folder)?,
            (None, metadata) => metadata.map(ChatTemplates::of_gguf).transpose()?.unwrap_or_default(),
        })
    }

    /// Plans a GGUF file of the model, its matrices quantised, its tokenizer whole.
    ///
    /// # Errors
    /// A model without files, a folder whose architecture or tokenizer GGUF has no words for.
    pub fn export(&self, to: Quantisation) -> Result<Export<'_>, EngineError> {
        let Source::Checkpoint(checkpoint) = &self.source else {
            return Err(EngineError::Request(format!(
                "{} has random weights; there is nothing to write",
                self.name
            )));
        };
        let mut export = Export::plan(checkpoint, to)?;
        if let Some(folder) = checkpoint.folder() {
            let rows = checkpoint.tensor("model.embed_tokens.weight")?.shape[0] as u32;
            self.tokenizer()?.write_gguf(folder, rows, &checkpoint.token_ids()?, export.file())?;
        }
        Ok(export)
    }

    /// The context length that the model was made for.
    ///
    /// # Errors
    /// A configuration that is not understood.
    pub fn max_context(&self) -> Result<u32, EngineError> {
        match &self.source {
            Source::Checkpoint(checkpoint) => Ok(resident_models::max_context(checkpoint)?),
            Source::Synthetic(spec) => Ok(spec.max_context()),
        }
    }

    /// The tokens that end a text.
    ///
    /// # Errors
    /// Ids outside the vocabulary.
    pub fn eos_ids(&self) -> Result<Vec<u32>, EngineError> {
        match &self.source {
            Source::Checkpoint(checkpoint) => Ok(checkpoint.token_ids()?.eos),
            Source::Synthetic(_) => Ok(vec![GgufVocabulary::SYNTHETIC_END]),
        }
    }
}

/// Plans a GGUF file of a synthetic model, its tokenizer included.
///
/// # Errors
/// Types that random weights have no file for.
pub fn synthetic_file(spec: &SynthSpec) -> Result<SynthFile, EngineError> {
    let mut file = SynthFile::plan(spec)?;
    GgufVocabulary::write_synthetic(spec.vocab_size(), file.file());
    Ok(file)
}

/// Loads a tokenizer from anything that holds one: a model's folder, a GGUF file (a vocabulary alone will do), a
/// `tokenizer.json` or a `tokenizer.model`, told apart by what they begin with.
///
/// # Errors
/// The file cannot be read, or is not understood.
pub fn open_tokenizer(path: &Path) -> Result<Tokenizer, EngineError> {
    if path.is_dir() {
        return Ok(Tokenizer::from_folder(path)?);
    }
    let mut magic = [0; 4];
    let is_gguf = path.is_file()
        && File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok()
        && &magic == b"GGUF";
    if is_gguf || path.extension().is_some_and(|extension| extension == "gguf") {
        return OpenModel::open(path)?.tokenizer();
    }
    Ok(Tokenizer::from_file(path)?)
}
