//! Writing results to stdout, where a closed pipe or a full disk is an error and no panic.

use anyhow::{Context, Result};
use serde::Serialize;
use std::io::Write;

/// Writes text and flushes it, so that a reader sees it at once.
pub(crate) fn write(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).context("writing to stdout")
}

/// Writes a value as JSON.
pub(crate) fn write_json(value: &impl Serialize) -> Result<()> {
    write(&(serde_json::to_string_pretty(value).context("the report as JSON")? + "\n"))
}
