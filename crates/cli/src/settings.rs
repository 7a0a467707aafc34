//! What comes from the environment: this is the only file of the program that reads it.

use std::path::PathBuf;

/// An absolute path in a variable.
fn absolute(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// A variable that is set to something.
fn text(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// `$XDG_CACHE_HOME`, else `~/.cache`. None without a home.
fn cache_dir() -> Option<PathBuf> {
    absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))
}

/// Where compiled pipelines are kept: `resident/pipelines` in the user's cache. None without a home.
pub(crate) fn pipeline_cache_dir() -> Option<PathBuf> {
    Some(cache_dir()?.join("resident").join("pipelines"))
}

/// `$HF_HOME`, else `huggingface` in the user's cache, as Hugging Face's own library has it.
fn hugging_face_home() -> Option<PathBuf> {
    absolute("HF_HOME").or_else(|| Some(cache_dir()?.join("huggingface")))
}

/// Where models are kept: `$HF_HUB_CACHE`, else `hub` in Hugging Face's home. None without a home.
pub(crate) fn hub_cache_dir() -> Option<PathBuf> {
    absolute("HF_HUB_CACHE").or_else(|| Some(hugging_face_home()?.join("hub")))
}

/// The hub's address, where it is not the public one: `$HF_ENDPOINT`.
pub(crate) fn hub_endpoint() -> Option<String> {
    text("HF_ENDPOINT")
}

/// The token for the hub: `$HF_TOKEN`, else the first line of the file that the hub's own tools keep (`$HF_TOKEN_PATH`).
pub(crate) fn hub_token() -> Option<String> {
    text("HF_TOKEN").or_else(|| {
        let path = absolute("HF_TOKEN_PATH").or_else(|| Some(hugging_face_home()?.join("token")))?;
        let stored = std::fs::read_to_string(path).ok()?;
        stored.lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
    })
}

/// Whether `$HF_HUB_OFFLINE` forbids the network.
pub(crate) fn is_offline() -> bool {
    text("HF_HUB_OFFLINE")
        .is_some_and(|value| ["1", "true", "yes", "on"].contains(&value.to_lowercase().as_str()))
}
