//! Models by their names on the hub: where they lie in the cache, and who may be asked for them.

use crate::settings;
use anyhow::{Context, Result};
use resident_hub::{Cache, Client, DEFAULT_ENDPOINT, ModelName};
use std::path::{Path, PathBuf};

/// The cache of this user.
pub(crate) fn cache() -> Result<Cache> {
    let folder = settings::hub_cache_dir();
    Ok(Cache::new(
        folder.context("there is no home to keep models in; set HF_HUB_CACHE to a folder's absolute path")?,
    ))
}

/// The hub, or the mirror that the environment names.
pub(crate) fn client() -> Result<Client> {
    let endpoint = settings::hub_endpoint().unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
    Ok(Client::new(&endpoint, settings::hub_token())?)
}

/// The path of what `-m` names: a path that exists, or `ORG/NAME[:QUANT]` in the cache. What is neither stays as it is, for
/// whoever opens it to say what is wrong with it.
pub(crate) fn locate(named: &Path) -> Result<PathBuf> {
    let name = named.to_str().filter(|_| !named.exists()).and_then(|name| name.parse::<ModelName>().ok());
    match name {
        Some(name) => {
            let problem = || format!("there is no file or folder {}", named.display());
            Ok(cache()?.locate(&name).with_context(problem)?)
        }
        None => Ok(named.to_owned()),
    }
}
