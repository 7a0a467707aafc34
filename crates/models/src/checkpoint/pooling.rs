//! How a model for embeddings makes one vector of a text's tokens, as its files say it: `modules.json` and
//! `1_Pooling/config.json` of sentence-transformers, or GGUF's `pooling_type`.

use super::error::{CheckpointError, Place, quoted};
use super::json_file::{self, UniqueMap};
use super::{Checkpoint, Source};
use serde::Deserialize;
use serde_json::Value;
use std::path::{Component, Path};

/// One vector out of those of the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredPooling {
    /// Their mean.
    Mean,
    /// The last one.
    Last,
}

impl StoredPooling {
    const ALL: [Self; 2] = [Self::Mean, Self::Last];

    /// GGUF's number of it.
    pub(crate) fn in_gguf(self) -> u32 {
        match self {
            Self::Mean => 1,
            Self::Last => 3,
        }
    }
}

/// The list of what a text goes through.
const MODULES_FILE: &str = "modules.json";
/// The configuration of one of them.
const CONFIG_FILE: &str = "config.json";
/// Switches between the ways of pooling begin so.
const MODE: &str = "pooling_mode_";

#[derive(Deserialize)]
struct Module {
    #[serde(rename = "type")]
    class: String,
    #[serde(default)]
    path: String,
}

impl Checkpoint {
    /// How the model pools; None if its files say nothing of it.
    pub fn pooling(&self) -> Result<Option<StoredPooling>, CheckpointError> {
        match &self.source {
            Source::Gguf { bytes, directory, architecture } => {
                let key = format!("{architecture}.pooling_type");
                let found = directory.metadata(bytes.as_slice()).get::<u32>(&key)?;
                match found {
                    None | Some(0) => Ok(None),
                    Some(number) => match StoredPooling::ALL.iter().find(|way| way.in_gguf() == number) {
                        Some(way) => Ok(Some(*way)),
                        None => Err(unsupported(self.label.clone(), key, number.to_string())),
                    },
                }
            }
            Source::Folder { path, .. } => folder_pooling(path),
        }
    }
}

fn folder_pooling(folder: &Path) -> Result<Option<StoredPooling>, CheckpointError> {
    let path = folder.join(MODULES_FILE);
    if !path.is_file() {
        return Ok(None);
    }
    let file = path.display().to_string();
    let modules: Vec<Module> = json_file::read(&path)?;
    let mut pooling = None;
    for Module { class, path } in modules {
        match class.rsplit('.').next() {
            Some("Transformer" | "Normalize") => {}
            // A plain name: the list comes from elsewhere and must not lead out of the folder.
            Some("Pooling") if Path::new(&path).components().all(|c| matches!(c, Component::Normal(_))) => {
                pooling = Some(read_modes(&folder.join(path).join(CONFIG_FILE))?);
            }
            _ => return Err(unsupported(file, "type".to_owned(), quoted(&class))),
        }
    }
    Ok(pooling)
}

fn read_modes(path: &Path) -> Result<StoredPooling, CheckpointError> {
    let file = path.display().to_string();
    let UniqueMap(keys) = json_file::read::<UniqueMap<Value>>(path)?;
    let modes = keys.iter().filter(|(key, value)| key.starts_with(MODE) && **value == Value::Bool(true));
    match modes.map(|(key, _)| key.as_str()).collect::<Vec<_>>()[..] {
        ["pooling_mode_mean_tokens"] => Ok(StoredPooling::Mean),
        ["pooling_mode_lasttoken"] => Ok(StoredPooling::Last),
        [other] => Err(unsupported(file, other.to_owned(), "true".to_owned())),
        ref several => Err(CheckpointError::Mismatch {
            file,
            place: Place::key("pooling_mode_*"),
            found: format!("true for {}", several.len()),
            expected: "one of them".to_owned(),
        }),
    }
}

fn unsupported(file: String, key: String, found: String) -> CheckpointError {
    let remedy = "have the mean of the tokens and the last token".to_owned();
    CheckpointError::Unsupported { file, place: Place::key(key), found, remedy }
}
