//! Results go to stdout and into files, where a closed pipe or a full disk is an error and no panic; notices to stderr.

use anyhow::{Context, Result};
use resident_ledger::WriteError;
use serde::Serialize;
use std::io::Write;
use std::path::Path;

/// Writes text and flushes it, so that a reader sees it at once.
pub(crate) fn write(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).context("writing to stdout")
}

/// Writes a line to stderr. There is nowhere to say that this failed.
pub(crate) fn notice(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Refuses a result's place whose folder is missing: better before the work than after it.
pub(crate) fn check_folder(path: &Path) -> Result<(), WriteError> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
            Err(WriteError::NoFolder { path: path.to_owned(), folder: folder.to_owned() })
        }
        _ => Ok(()),
    }
}

/// Writes a value as JSON.
pub(crate) fn write_json(value: &impl Serialize) -> Result<()> {
    write(&(serde_json::to_string_pretty(value).context("the report as JSON")? + "\n"))
}
