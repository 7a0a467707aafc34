//! What can go wrong between a model's name and its files.

use crate::ModelName;
use std::io;
use std::path::{Path, PathBuf};

/// A model that cannot be found, fetched or removed.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The cache has no such model, or only part of one.
    #[error("{name} is not in the cache ({}); fetch it with 'resident pull {name}'", root.display())]
    NotCached {
        /// What was asked for.
        name: ModelName,
        /// The cache.
        root: PathBuf,
    },
    /// No file of the repository is meant, or several are.
    #[error("{name}: {problem}")]
    Selection {
        /// What was asked for.
        name: ModelName,
        /// What was found, expected, and the remedy.
        problem: String,
    },
    /// A file of the cache.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file of the cache that nobody wrote so.
    #[error("{}: {problem}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What was found, expected, and the remedy.
        problem: String,
    },
    /// The disk has no room.
    #[error(
        "{}: no room for {what}: {problem}; free some, or keep models elsewhere (HF_HUB_CACHE). What is there already is kept, and the next pull goes on from it",
        path.display()
    )]
    NoRoom {
        /// Where.
        path: PathBuf,
        /// What there is no room for.
        what: String,
        /// Bytes needed and free, or what the system says.
        problem: String,
    },
    /// What the hub is asked with.
    #[error("{0}")]
    Setting(String),
    /// The server refuses.
    #[error("{name}: {problem}")]
    Refused {
        /// What was asked for.
        name: String,
        /// Why, and the remedy.
        problem: String,
    },
    /// The server cannot be reached, or breaks off again and again.
    #[error("{url}: {problem}")]
    Network {
        /// What was asked.
        url: String,
        /// What happened.
        problem: String,
    },
    /// An answer that makes no sense, or is not safe to follow.
    #[error("{url}: {problem}")]
    Answer {
        /// What was asked.
        url: String,
        /// What was found and expected.
        problem: String,
    },
    /// A file that is not what the hub says it is.
    #[error(
        "{name}: {file}: found the {algorithm} {found}, the hub says {expected}; what was fetched is deleted. Pull again; if it stays so, the server or what lies between is at fault"
    )]
    WrongHash {
        /// The model.
        name: String,
        /// Its file.
        file: String,
        /// SHA-256 or SHA-1.
        algorithm: &'static str,
        /// Of the bytes that came.
        found: String,
        /// What it should be.
        expected: String,
    },
}

/// Bytes for people, in the units that hub and disks are labelled with.
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// Names the file of a failed operation; a full disk is said as such.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> HubError {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let path = path.to_owned();
    move |source| match source.kind() {
        StorageFull | QuotaExceeded | FileTooLarge => {
            HubError::NoRoom { path, what: "the rest of the file".to_owned(), problem: source.to_string() }
        }
        _ => HubError::Io { path, source },
    }
}
