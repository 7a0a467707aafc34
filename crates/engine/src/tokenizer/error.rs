//! What can be wrong with a tokenizer's files, said so that a user can act on it.

use std::fmt::Display;
use std::path::{Path, PathBuf};

/// Why a tokenizer could not be loaded, or a text not be tokenized.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The operating system refused the file.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The folder holds none of the files that describe a tokenizer.
    #[error("{}: found neither tokenizer.json nor tokenizer.model, expected one of them; copy it from the model's repository", path.display())]
    NoTokenizer {
        /// The folder.
        path: PathBuf,
    },
    /// A value is missing, broken or contradicts another.
    #[error("{place}: found {found}, expected {expected}; {remedy}")]
    Malformed {
        /// File and key.
        place: String,
        /// What is there.
        found: String,
        /// What should be there.
        expected: String,
        /// What helps.
        remedy: &'static str,
    },
    /// A valid value that this tokenizer does not implement.
    #[error("{place}: {found} is not supported (have {supported}); {remedy}")]
    Unsupported {
        /// File and key.
        place: String,
        /// What is there.
        found: String,
        /// What could be there.
        supported: String,
        /// What helps.
        remedy: &'static str,
    },
    /// The text cannot be tokenized.
    #[error("cannot tokenize the text: {reason}")]
    Text {
        /// Why.
        reason: String,
    },
    /// An empty stop string would stop every answer before its first character.
    #[error("stop[{index}]: found an empty string, expected at least one character; remove it")]
    EmptyStop {
        /// Its place in the list of stop strings.
        index: usize,
    },
}

/// Where values come from: names the file in every error about it.
#[derive(Debug, Default, Clone)]
pub(super) struct Origin {
    name: String,
    remedy: &'static str,
}

impl Origin {
    pub(super) fn file(path: &Path) -> Self {
        Self { name: path.display().to_string(), remedy: "copy the file from the model's repository again" }
    }

    pub(super) fn gguf() -> Self {
        Self {
            name: "GGUF metadata".into(),
            remedy: "convert the model to GGUF again with a current converter",
        }
    }

    pub(super) fn malformed(
        &self,
        key: impl Display,
        found: impl Display,
        expected: impl Display,
    ) -> TokenizerError {
        TokenizerError::Malformed {
            place: self.place(key),
            found: found.to_string(),
            expected: expected.to_string(),
            remedy: self.remedy,
        }
    }

    pub(super) fn unsupported(
        &self,
        key: impl Display,
        found: impl Display,
        supported: impl Display,
    ) -> TokenizerError {
        TokenizerError::Unsupported {
            place: self.place(key),
            found: found.to_string(),
            supported: supported.to_string(),
            remedy: "use a checkpoint of a supported family",
        }
    }

    fn place(&self, key: impl Display) -> String {
        format!("{}: {key}", self.name)
    }
}
