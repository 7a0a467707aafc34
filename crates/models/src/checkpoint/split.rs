//! Models in several GGUF files: `NAME-00001-of-00003.gguf` and its siblings. The first one holds the metadata, each holds
//! some of the tensors.

use super::error::{CheckpointError, Place};
use super::gguf::Metadata;
use std::path::{Path, PathBuf};

/// The digits of a part's number in a file's name.
const DIGITS: usize = 5;

/// The names of the parts of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    /// Folder and name, without the part's number.
    stem: PathBuf,
    count: u64,
}

impl Parts {
    /// The parts that a file's name says it belongs to.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.strip_suffix(".gguf")?;
        let (stem, count) = name.rsplit_once("-of-")?;
        let (stem, number) = stem.rsplit_once('-')?;
        let digits = |text: &str| -> Option<u64> {
            let is_number = text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| text.parse().ok())?
        };
        let (number, count) = (digits(number)?, digits(count)?);
        (1..=count).contains(&number).then(|| Self { stem: path.with_file_name(stem), count })
    }

    /// The file of part `index`, counted from 0.
    pub(super) fn path(&self, index: u64) -> PathBuf {
        let mut name = self.stem.clone().into_os_string();
        name.push(format!("-{:05}-of-{:05}.gguf", index + 1, self.count));
        name.into()
    }

    /// The files after the first, all of which must be there.
    pub(super) fn others(&self) -> Result<Vec<PathBuf>, CheckpointError> {
        let others: Vec<PathBuf> = (1..self.count).map(|index| self.path(index)).collect();
        match others.iter().find(|path| !path.is_file()) {
            None => Ok(others),
            Some(missing) => Err(CheckpointError::Missing {
                file: self.path(0).display().to_string(),
                place: Place::Shard(missing.display().to_string()),
                remedy: "fetch the rest of the model into the folder".to_owned(),
            }),
        }
    }
}

/// Checks that a file is part `index` of a model of these parts, or a whole model where there are none.
pub(super) fn check(
    metadata: Metadata<'_>,
    parts: Option<&Parts>,
    index: u64,
) -> Result<(), CheckpointError> {
    let count = metadata.get::<u64>("split.count")?.unwrap_or(1);
    let Some(parts) = parts else {
        return match count {
            0 | 1 => Ok(()),
            _ => Err(CheckpointError::Unsupported {
                file: metadata.file().to_owned(),
                place: Place::key("split.count"),
                found: count.to_string(),
                remedy: format!(
                    "name the parts NAME-00001-of-{count:05}.gguf and so on, or merge them with 'llama-gguf-split --merge'"
                ),
            }),
        };
    };
    let mismatch = |key: &str, found: u64, expected: u64| CheckpointError::Mismatch {
        file: metadata.file().to_owned(),
        place: Place::key(key),
        found: found.to_string(),
        expected: format!("{expected}, as the file's name says"),
    };
    let number = metadata.get::<u64>("split.no")?.unwrap_or(0);
    if count.max(1) != parts.count {
        return Err(mismatch("split.count", count, parts.count));
    }
    if number != index {
        return Err(mismatch("split.no", number, index));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_parts_are_understood() {
        let parts = Parts::of(Path::new("a/big-q4-00002-of-00003.gguf")).unwrap();
        assert_eq!(parts.path(0), Path::new("a/big-q4-00001-of-00003.gguf"));
        assert_eq!(parts.path(2), Path::new("a/big-q4-00003-of-00003.gguf"));
        for other in [
            "a/model.gguf",
            "a/m-00004-of-00003.gguf",
            "a/m-00000-of-00003.gguf",
            "a/m-1-of-3.gguf",
            "a/m-00001-of-00003.bin",
            "a/m-+0001-of-00003.gguf",
        ] {
            assert_eq!(Parts::of(Path::new(other)), None, "{other}");
        }
    }
}
