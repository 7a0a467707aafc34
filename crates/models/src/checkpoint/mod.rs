//! Reads checkpoints: GGUF files and Hugging Face folders, memory-mapped, under one set of names. Nothing in a file
//! is believed before it is checked; a damaged file is an error, never a panic.
//!
//! - [`Checkpoint`]: tensors by canonical name, configuration, special tokens.
//! - [`gguf`]: the GGUF format. `split`: models in several such files. `safetensors`: the Hugging Face weights.
//! - [`config`]: a reader of configuration keys that refuses what nobody understood.
//! - [`error`](CheckpointError): every way in which a file can be wrong.
//! - `pooling`: how a model for embeddings pools.
//! - `mapped_file`: the only `unsafe` outside the Vulkan crate.

pub mod config;
mod error;
pub mod gguf;
mod json_file;
mod mapped_file;
mod pooling;
mod safetensors;
mod split;
mod tensor_names;
mod tensors;

pub(crate) use config::yarn_mscale;
pub use config::{ConfigReader, DecoderConfig, Rope, RopeScaling, TokenIds};
pub use error::{CheckpointError, Place};
pub use pooling::StoredPooling;
pub use tensor_names::{ROPE_FACTORS_LONG, ROPE_FACTORS_SHORT, ROPE_FREQ_FACTORS, gguf as gguf_tensor_name};
pub use tensors::{StoredTensor, TensorView};

use config::HuggingFaceConfig;
use mapped_file::FileBytes;
use split::Parts;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tensors::{TensorFile, TensorTable};

/// The architectures whose rotary pairs GGUF stores side by side.
pub(crate) const INTERLEAVED: [&str; 2] = ["llama", "smollm3"];

const EMBEDDING: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";

/// An opened model: its tensors, found by the names Hugging Face gives them, and its configuration.
#[derive(Debug)]
pub struct Checkpoint {
    label: String,
    source: Source,
    tensors: TensorTable,
    /// What of the files is left out, for the user.
    notices: Vec<String>,
}

#[derive(Debug)]
enum Source {
    Gguf { bytes: Arc<FileBytes>, directory: gguf::Directory, architecture: String },
    Folder { path: PathBuf, config: HuggingFaceConfig },
}

impl Checkpoint {
    /// Opens a GGUF file, with the others of a split model, or the folder of a Hugging Face model.
    pub fn open(path: &Path) -> Result<Checkpoint, CheckpointError> {
        let label = path.display().to_string();
        if path.is_dir() {
            let config = HuggingFaceConfig::read(path)?;
            let wrapped = config.is_wrapped();
            let canonical = if wrapped { tensor_names::without_wrapper } else { tensor_names::with_prefix };
            let tensors = safetensors::read_folder(path, canonical)?;
            let source = Source::Folder { path: path.to_owned(), config };
            let mut checkpoint = Checkpoint { label, source, tensors, notices: Vec::new() };
            if wrapped {
                checkpoint.skip_vision();
            }
            return Ok(checkpoint);
        }
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            return Err(CheckpointError::NotACheckpoint {
                path: label,
                problem: "a safetensors file has no configuration".to_owned(),
                remedy: "give the folder it lies in".to_owned(),
            });
        }
        match Parts::of(path) {
            None => Checkpoint::from_gguf(label, FileBytes::map(path)?, None),
            Some(parts) => {
                let first = parts.path(0);
                Checkpoint::from_gguf(first.display().to_string(), FileBytes::map(&first)?, Some(&parts))
            }
        }
    }

    /// Opens a GGUF file that is embedded in the program. `label` names it in messages.
    pub fn from_bytes(label: &str, bytes: &'static [u8]) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::from_gguf(label.to_owned(), FileBytes::Embedded(bytes), None)
    }

    fn from_gguf(
        label: String,
        bytes: FileBytes,
        parts: Option<&Parts>,
    ) -> Result<Checkpoint, CheckpointError> {
        let bytes = Arc::new(bytes);
        let mut directory = gguf::Directory::parse(&label, bytes.as_slice())?;
        let stored = std::mem::take(&mut directory.tensors);
        let metadata = directory.metadata(bytes.as_slice());
        split::check(metadata, parts, 0)?;
        metadata.refuse_other_contents()?;
        let architecture = metadata.require::<&str>("general.architecture")?.to_owned();
        let canonical = |name: &str| tensor_names::canonical(&architecture, name);
        let mut tensors = TensorTable::default();
        let file = TensorFile { label: label.clone(), bytes: Arc::clone(&bytes) };
        tensors.add_file(file, stored, canonical)?;
        for (index, path) in (1..).zip(parts.map_or(Ok(Vec::new()), Parts::others)?) {
            let label = path.display().to_string();
            let bytes = Arc::new(FileBytes::map(&path)?);
            let mut part = gguf::Directory::parse(&label, bytes.as_slice())?;
            split::check(part.metadata(bytes.as_slice()), parts, index)?;
            let stored = std::mem::take(&mut part.tensors);
            tensors.add_file(TensorFile { label, bytes }, stored, canonical)?;
        }
        let source = Source::Gguf { bytes, directory, architecture };
        Ok(Checkpoint { label, source, tensors, notices: Vec::new() })
    }

    /// Counts the tensors that only images go through as used, and says so.
    fn skip_vision(&mut self) {
        let skipped = self.tensors.iter().filter(|tensor| tensor_names::is_vision(tensor.name));
        let (names, bytes): (Vec<String>, Vec<usize>) =
            skipped.map(|tensor| (tensor.name.to_owned(), tensor.data.len())).unzip();
        names.iter().for_each(|name| self.ignore_tensor(name));
        if !names.is_empty() {
            let megabytes = bytes.iter().sum::<usize>() as f64 / 1e6;
            self.notices.push(format!(
                "{}: {} tensors of the vision tower, {megabytes:.1} MB, are left out: text only",
                self.label,
                names.len()
            ));
        }
    }

    /// What of the files is left out though it is no mistake, a line each.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// Path of the file or folder, for messages.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Name of the architecture as the file gives it: `qwen3`, `llama`, `gemma3_text`, `gemma3`.
    pub fn architecture(&self) -> &str {
        match &self.source {
            Source::Gguf { architecture, .. } => architecture,
            Source::Folder { config, .. } => config.architecture(),
        }
    }

    /// The folder, which holds the tokenizer too; None for GGUF, which holds it in its metadata.
    pub fn folder(&self) -> Option<&Path> {
        match &self.source {
            Source::Gguf { .. } => None,
            Source::Folder { path, .. } => Some(path),
        }
    }

    /// Whether it is a GGUF file.
    pub fn is_gguf(&self) -> bool {
        matches!(&self.source, Source::Gguf { .. })
    }

    /// The metadata of a GGUF file; None for a folder.
    pub fn gguf_metadata(&self) -> Option<gguf::Metadata<'_>> {
        match &self.source {
            Source::Gguf { bytes, directory, .. } => Some(directory.metadata(bytes.as_slice())),
            Source::Folder { .. } => None,
        }
    }

    /// Whether the rows of q_proj and k_proj are permuted so that a rotary pair is (2i, 2i + 1) instead of
    /// (i, i + head_dim / 2): GGUF stores Llama so.
    pub fn interleaved_rope(&self) -> bool {
        matches!(&self.source, Source::Gguf { architecture, .. } if INTERLEAVED.contains(&architecture.as_str()))
    }

    /// The configuration, every key still to be taken.
    pub fn config(&self) -> Result<ConfigReader, CheckpointError> {
        let is_tied = self.tensors.get(HEAD).is_none();
        match &self.source {
            Source::Gguf { bytes, directory, architecture } => {
                let metadata = directory.metadata(bytes.as_slice());
                let vocab_size = self.embedding_rows().ok_or_else(|| CheckpointError::Missing {
                    file: self.label.clone(),
                    place: Place::tensor(EMBEDDING),
                    remedy: "a vocabulary alone is no model".to_owned(),
                })?;
                config::gguf_reader(metadata, architecture, vocab_size, is_tied)
            }
            Source::Folder { config, .. } => config.reader(is_tied),
        }
    }

    /// The tokens that frame a text.
    pub fn token_ids(&self) -> Result<TokenIds, CheckpointError> {
        let ids = match &self.source {
            Source::Gguf { bytes, directory, .. } => {
                config::gguf_token_ids(directory.metadata(bytes.as_slice()))?
            }
            Source::Folder { config, .. } => config.token_ids()?,
        };
        let rows = self.embedding_rows().unwrap_or(u64::MAX);
        let beyond = ids.in_texts().find(|(_, id)| u64::from(*id) >= rows);
        match beyond {
            None => Ok(ids),
            Some((key, id)) => Err(CheckpointError::Mismatch {
                file: self.label.clone(),
                place: Place::key(key),
                found: id.to_string(),
                expected: format!("a token id below {rows}, the rows of {EMBEDDING}"),
            }),
        }
    }

    /// Whether the files hold a model without a head, saved for its hidden states: it makes embeddings and no text.
    pub fn has_no_head(&self) -> bool {
        let is_base = matches!(&self.source, Source::Folder { config, .. } if config.is_base());
        is_base && self.tensors.get(HEAD).is_none()
    }

    /// Whether there is a tensor of this canonical name.
    pub fn has_tensor(&self, name: &str) -> bool {
        self.tensors.get(name).is_some()
    }

    /// Every tensor, in the order of the names, none of them counted as used.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = TensorView<'_>> {
        self.tensors.iter()
    }

    /// The tensor of this canonical name, and counts it as used.
    pub fn tensor(&self, name: &str) -> Result<TensorView<'_>, CheckpointError> {
        self.tensors.take(name).ok_or_else(|| CheckpointError::Missing {
            file: self.label.clone(),
            place: Place::tensor(name),
            remedy: format!("architecture {} needs it", self.architecture()),
        })
    }

    /// The tensor of this canonical name, which must have this shape: `[out, in]` for a projection.
    pub fn tensor_shaped(&self, name: &str, shape: &[u64]) -> Result<TensorView<'_>, CheckpointError> {
        let tensor = self.tensor(name)?;
        if tensor.shape == shape {
            return Ok(tensor);
        }
        Err(CheckpointError::Mismatch {
            file: self.label.clone(),
            place: Place::tensor(name),
            found: format!("{:?}", tensor.shape),
            expected: format!("the shape {shape:?}"),
        })
    }

    /// Has the system read a tensor's bytes from the disk, without waiting for them.
    pub(crate) fn read_ahead(&self, name: &str) {
        self.tensors.read_ahead(name);
    }

    /// Counts a tensor as used that need not be read: the stored copy of a tied head, say.
    pub fn ignore_tensor(&self, name: &str) {
        self.tensors.take(name);
    }

    /// Names of the tensors that nobody has asked for, in alphabetical order.
    pub fn unused_tensors(&self) -> impl Iterator<Item = &str> {
        self.tensors.unused()
    }

    /// Refuses tensors that nobody has asked for: a bias or a norm that is left out changes the results.
    pub fn refuse_unused_tensors(&self) -> Result<(), CheckpointError> {
        self.tensors.refuse_unused(&self.label, self.architecture())
    }

    fn embedding_rows(&self) -> Option<u64> {
        self.tensors.get(EMBEDDING)?.shape.first().copied()
    }
}
