//! What several test files need: the shared data, the keys a plain decoder takes, folders to fill.

use resident_models::checkpoint::{Checkpoint, CheckpointError, ConfigReader, DecoderConfig};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A path in the shared data, or None with a printed reason.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")).join(path);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: no {}", path.display());
    None
}

/// What the file of a plain architecture does with its configuration: llama and qwen3 are such.
pub(crate) fn take_plain_decoder(mut keys: ConfigReader) -> Result<DecoderConfig, CheckpointError> {
    let decoder = DecoderConfig::take(&mut keys)?;
    keys.expect("hidden_act", "silu")?;
    keys.expect("attention_bias", false)?;
    keys.expect("mlp_bias", false)?;
    keys.expect_full_attention()?;
    keys.finish()?;
    Ok(decoder)
}

/// A folder with these files in it.
pub(crate) fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

/// The message of a checkpoint that must not open.
pub(crate) fn refused(path: &Path) -> String {
    Checkpoint::open(path).expect_err("it must not open").to_string()
}

/// Asserts that a message names all of these.
#[track_caller]
pub(crate) fn assert_names(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is missing in: {message}");
    }
}
