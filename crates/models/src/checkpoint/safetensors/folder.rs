//! The safetensors files of a folder. With an index, the shards must hold exactly the tensors it lists, each where
//! it says, and no shard may lie outside the folder.

use super::header;
use crate::checkpoint::error::{CheckpointError, Place, quoted};
use crate::checkpoint::json_file::{self, UniqueMap};
use crate::checkpoint::mapped_file::FileBytes;
use crate::checkpoint::tensors::{StoredTensor, TensorFile, TensorTable};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

const SINGLE_FILE: &str = "model.safetensors";
const INDEX_FILE: &str = "model.safetensors.index.json";

/// Maps the files of a folder and lists their tensors under the names that `canonical` gives them.
pub(in crate::checkpoint) fn read_folder(
    folder: &Path,
    canonical: fn(&str) -> String,
) -> Result<TensorTable, CheckpointError> {
    let single = folder.join(SINGLE_FILE);
    let index = folder.join(INDEX_FILE);
    let mut table = TensorTable::default();
    if single.is_file() {
        let (file, tensors) = read_file(&single)?;
        table.add_file(file, tensors, canonical)?;
    } else if index.is_file() {
        read_shards(folder, &Index::read(&index)?, canonical, &mut table)?;
    } else {
        return Err(CheckpointError::NotACheckpoint {
            path: folder.display().to_string(),
            problem: format!("the folder has neither {SINGLE_FILE} nor {INDEX_FILE}"),
            remedy: "fetch the weights as safetensors, or give the path of a .gguf file".to_owned(),
        });
    }
    Ok(table)
}

fn read_file(path: &Path) -> Result<(TensorFile, Vec<StoredTensor>), CheckpointError> {
    let label = path.display().to_string();
    let bytes = FileBytes::map(path)?;
    let tensors = header::parse(&label, bytes.as_slice())?;
    Ok((TensorFile { label, bytes: Arc::new(bytes) }, tensors))
}

fn read_shards(
    folder: &Path,
    index: &Index,
    canonical: fn(&str) -> String,
    table: &mut TensorTable,
) -> Result<(), CheckpointError> {
    let shards: BTreeSet<&str> = index.shard_of.values().map(String::as_str).collect();
    for shard in shards {
        let (file, tensors) = read_file(&index.shard_path(folder, shard)?)?;
        for tensor in &tensors {
            index.check_tensor(shard, &tensor.name)?;
        }
        table.add_file(file, tensors, canonical)?;
    }
    index.check_complete(canonical, table)
}

/// Which shard holds each tensor.
struct Index {
    file: String,
    shard_of: BTreeMap<String, String>,
}

impl Index {
    fn read(path: &Path) -> Result<Index, CheckpointError> {
        #[derive(Deserialize)]
        struct IndexFile {
            weight_map: UniqueMap<String>,
        }
        let IndexFile { weight_map } = json_file::read(path)?;
        Ok(Index { file: path.display().to_string(), shard_of: weight_map.0 })
    }

    /// A shard is a plain file name: the index comes from elsewhere and must not lead out of the folder.
    fn shard_path(&self, folder: &Path, shard: &str) -> Result<PathBuf, CheckpointError> {
        let mut components = Path::new(shard).components();
        let is_plain = matches!(components.next(), Some(Component::Normal(name)) if name == shard);
        if !is_plain || components.next().is_some() || shard.contains('\\') {
            return Err(CheckpointError::Mismatch {
                file: self.file.clone(),
                place: Place::key("weight_map"),
                found: quoted(shard),
                expected: "the name of a file in the same folder".to_owned(),
            });
        }
        let path = folder.join(shard);
        if !path.is_file() {
            return Err(CheckpointError::Missing {
                file: self.file.clone(),
                place: Place::Shard(shard.to_owned()),
                remedy: "fetch the rest of the model into the folder".to_owned(),
            });
        }
        Ok(path)
    }

    /// A shard's tensor must be listed, and for this shard.
    fn check_tensor(&self, shard: &str, tensor: &str) -> Result<(), CheckpointError> {
        match self.shard_of.get(tensor) {
            Some(listed) if listed == shard => Ok(()),
            listed => Err(CheckpointError::Damaged {
                file: self.file.clone(),
                place: Place::tensor(tensor),
                problem: match listed {
                    Some(other) => {
                        format!("listed for {}, but {} holds it too", quoted(other), quoted(shard))
                    }
                    None => format!("{} holds it and the index does not list it", quoted(shard)),
                },
            }),
        }
    }

    fn check_complete(
        &self,
        canonical: fn(&str) -> String,
        table: &TensorTable,
    ) -> Result<(), CheckpointError> {
        match self.shard_of.iter().find(|(tensor, _)| table.get(&canonical(tensor)).is_none()) {
            None => Ok(()),
            Some((tensor, shard)) => Err(CheckpointError::Damaged {
                file: self.file.clone(),
                place: Place::tensor(tensor),
                problem: format!("listed for {}, which does not hold it", quoted(shard)),
            }),
        }
    }
}
