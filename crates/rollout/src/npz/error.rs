//! What can be wrong with an npz file: each message says which file and array, what was found, and what to do.

use resident_ledger::WriteError;
use std::io;
use std::path::PathBuf;

/// A file that cannot be read as asked, or not be written.
#[derive(Debug, thiserror::Error)]
pub enum NpzError {
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is something else.
    #[error("{path}: {found}, not an npz file; write one with numpy.savez")]
    NotNpz {
        /// The file.
        path: PathBuf,
        /// What it seems to be.
        found: String,
    },
    /// The array is not there.
    #[error("{path}: there is no array '{name}'; the file has {has}")]
    Missing {
        /// The file.
        path: PathBuf,
        /// The array asked for.
        name: String,
        /// The names that the file has.
        has: String,
    },
    /// The file contradicts its own format.
    #[error("{path}: array '{name}': {problem}; the file is damaged or incomplete")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The array.
        name: String,
        /// What was found and what was expected.
        problem: String,
    },
    /// The array is sound, but of a kind that is not read.
    #[error("{path}: array '{name}' has {found}; {remedy}")]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The array.
        name: String,
        /// What it has.
        found: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The array has another shape or type than the caller needs, or a value beyond its range.
    #[error("{path}: array '{name}' is {found}, expected {expected}")]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// The array.
        name: String,
        /// What was found.
        found: String,
        /// What would be right.
        expected: String,
    },
    /// The file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}
