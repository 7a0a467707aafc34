//! Lock files, at the places where Hugging Face's own library keeps them, so that two programs never write one file.

use crate::error::{HubError, at};
use std::fs::{self, File};
use std::path::Path;

/// Held until it is dropped. The file stays: deleting it would let two hold it.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, and waits for it if it must; `waiting` hears of that.
    pub(crate) fn take(path: &Path, waiting: impl FnOnce()) -> Result<Self, HubError> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(at(folder))?;
        }
        let file = File::options().create(true).truncate(false).write(true).open(path).map_err(at(path))?;
        if fs4::FileExt::try_lock(&file).is_err() {
            waiting();
            fs4::FileExt::lock(&file).map_err(at(path))?;
        }
        Ok(Self { _file: file })
    }
}
