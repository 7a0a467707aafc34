//! Text files that commands read whole.

use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// More than anybody measures a model with.
const MAX_BYTES: u64 = 256 << 20;

/// The text of a file, which may be a pipe. Bytes that are no UTF-8 become U+FFFD.
pub(crate) fn read(path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    let file = File::open(path).with_context(|| format!("reading {}", path.display()))?;
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("reading {}", path.display()))?;
    if bytes.len() as u64 > MAX_BYTES {
        bail!("{}: more than {} MiB are too much text at once", path.display(), MAX_BYTES >> 20);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
