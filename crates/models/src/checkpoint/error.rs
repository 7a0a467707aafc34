//! Everything that can be wrong with a checkpoint. Each message says in which file and where in it, what was found,
//! what was expected and, where there is one, the remedy.

use std::fmt;
use std::io;

/// A checkpoint that cannot be read, or that asks for something Resident does not do.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The operating system refused.
    #[error("{file}: {source}")]
    Io {
        /// Path of the file or folder.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// The path is no checkpoint, or one in a format that is not read.
    #[error("{path}: {problem}; {remedy}")]
    NotACheckpoint {
        /// Path as given.
        path: String,
        /// What is there instead.
        problem: String,
        /// What to give or do instead.
        remedy: String,
    },
    /// The file contradicts its own format.
    #[error("{file}: {place}: {problem}; the file is damaged or incomplete, fetch it again")]
    Damaged {
        /// Path of the file.
        file: String,
        /// Where in the file.
        place: Place,
        /// What was found and what was expected.
        problem: String,
    },
    /// The file is sound, but asks for something that Resident does not do.
    #[error("{file}: {place} = {found} is not supported; {remedy}")]
    Unsupported {
        /// Path of the file.
        file: String,
        /// Where in the file.
        place: Place,
        /// The value found there.
        found: String,
        /// What is supported, or what to do.
        remedy: String,
    },
    /// Something required is absent.
    #[error("{file}: {place} is missing; {remedy}")]
    Missing {
        /// Path of the file.
        file: String,
        /// What is absent.
        place: Place,
        /// Why it is needed, or where it could come from.
        remedy: String,
    },
    /// A value of another type or shape, or beyond its range.
    #[error("{file}: {place} is {found}, expected {expected}")]
    Mismatch {
        /// Path of the file.
        file: String,
        /// Where in the file.
        place: Place,
        /// What was found.
        found: String,
        /// What would be right.
        expected: String,
    },
    /// Configuration keys that the architecture did not ask for.
    #[error(
        "{file}: not understood for architecture {architecture}: {keys}; a key that is ignored could change the \
         results, so it is refused"
    )]
    NotUnderstood {
        /// Path of the file.
        file: String,
        /// The keys and their values.
        keys: String,
        /// The architecture that was asked.
        architecture: String,
    },
    /// Tensors that the architecture did not ask for.
    #[error(
        "{file}: no place in architecture {architecture} for tensor {tensors}; a tensor that is ignored could change \
         the results, so it is refused"
    )]
    UnusedTensors {
        /// Path of the checkpoint.
        file: String,
        /// The tensors' names.
        tensors: String,
        /// The architecture that was asked.
        architecture: String,
    },
}

/// Where in a file something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before the first key and tensor.
    Header,
    /// A key of the metadata or of a JSON file; nested keys are joined by dots.
    Key(String),
    /// A tensor, by the name under which it was looked up or found.
    Tensor(String),
    /// A file that an index lists.
    Shard(String),
}

impl Place {
    pub(super) fn key(key: impl Into<String>) -> Place {
        Place::Key(key.into())
    }

    pub(super) fn tensor(name: impl Into<String>) -> Place {
        Place::Tensor(name.into())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Header => f.write_str("header"),
            Place::Key(key) => write!(f, "key {}", quoted(key)),
            Place::Tensor(name) => write!(f, "tensor {}", quoted(name)),
            Place::Shard(name) => write!(f, "shard {}", quoted(name)),
        }
    }
}

/// Characters of a foreign text that a message repeats.
const SHOWN_CHARS: usize = 120;

/// A foreign name in quotes, control characters escaped and clipped.
pub(super) fn quoted(text: &str) -> String {
    format!("{:?}", clipped(text))
}

/// A foreign text, clipped.
pub(super) fn clipped(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Joins the first few of many items for a message.
pub(super) fn first_few<T: fmt::Display>(items: &[T]) -> String {
    const FEW: usize = 6;
    let shown: Vec<String> = items.iter().take(FEW).map(T::to_string).collect();
    match items.len().saturating_sub(FEW) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
