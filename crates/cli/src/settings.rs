//! What comes from the environment: this is the only file of the program that reads it.

use std::path::PathBuf;

/// Where compiled pipelines are kept: `$XDG_CACHE_HOME/resident`, else `~/.cache/resident`. None without a home.
pub(crate) fn pipeline_cache_dir() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(cache.join("resident").join("pipelines"))
}
