//! Writes a file so that it is there whole or not at all.

use serde::Serialize;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Why a file could not be written. What stood there before still stands there.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The folder is missing.
    #[error("cannot write '{path}': there is no folder '{folder}'; create it first")]
    NoFolder {
        /// The file.
        path: PathBuf,
        /// The folder it should lie in.
        folder: PathBuf,
    },
    /// The disk is full.
    #[error("cannot write '{path}': no space is left there; free some or choose another place")]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot write '{path}': {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Writes `value` as indented JSON, as [`write_atomically`] does.
pub fn write_json_atomically(path: &Path, value: &impl Serialize) -> Result<(), WriteError> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|source| WriteError::of(path, source.into()))?;
    text.push(b'\n');
    write_atomically(path, &text)
}

/// Writes `bytes` into a new file beside `path`, which then takes its name.
/// What is no regular file (a pipe, `/dev/stdout`) is written to directly.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => {
            let written =
                OpenOptions::new().write(true).open(path).and_then(|mut file| file.write_all(bytes));
            written.map_err(|source| WriteError::of(path, source))
        }
        _ => {
            let mut file = AtomicFile::create(path)?;
            file.write_all(bytes).map_err(|source| WriteError::of(path, source))?;
            file.commit()
        }
    }
}

/// A new file beside its path, which takes the path's name when it is complete. Dropped before, it is removed.
#[derive(Debug)]
pub struct AtomicFile {
    file: File,
    /// As the caller named it.
    path: PathBuf,
    temporary: PathBuf,
    /// What is replaced. A link stays one: the file that it names is replaced.
    target: PathBuf,
    committed: bool,
}

impl AtomicFile {
    /// Begins the file.
    ///
    /// # Errors
    /// A missing folder, a path that names something else than a regular file.
    pub fn create(path: &Path) -> Result<Self, WriteError> {
        let begin = || {
            let invalid = |problem| io::Error::new(io::ErrorKind::InvalidInput, problem);
            let target = match fs::metadata(path) {
                Ok(found) if found.is_dir() => return Err(invalid("this is a directory")),
                Ok(found) if !found.is_file() => return Err(invalid("this is no regular file")),
                Ok(_) => fs::canonicalize(path)?,
                Err(_) => path.to_owned(),
            };
            let mut temporary = target.file_name().ok_or_else(|| invalid("this names no file"))?.to_owned();
            temporary.push(format!(".{}.tmp", std::process::id()));
            let temporary = target.with_file_name(temporary);
            let file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
            Ok(Self { file, path: path.to_owned(), temporary, target, committed: false })
        };
        begin().map_err(|source| WriteError::of(path, source))
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// What the system says; the file is removed then.
    pub fn commit(mut self) -> Result<(), WriteError> {
        let renamed = self.file.sync_all().and_then(|()| fs::rename(&self.temporary, &self.target));
        self.committed = renamed.is_ok();
        renamed.map_err(|source| WriteError::of(&self.path, source))
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for AtomicFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.committed {
            // Nothing more can be done about a leftover than to try.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

impl WriteError {
    /// The system's error as one of the file at `path`.
    pub fn of(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        let folder = path.parent().filter(|f| !f.as_os_str().is_empty()).map(Path::to_owned);
        match (source.kind(), folder) {
            (io::ErrorKind::NotFound, Some(folder)) if !folder.is_dir() => Self::NoFolder { path, folder },
            (io::ErrorKind::StorageFull, _) => Self::Full { path },
            _ => Self::Io { path, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Report;
    use crate::fixtures::gpu_run;

    fn files(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_report_comes_back_as_it_was_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        fs::write(&path, "old").unwrap();
        write_json_atomically(&path, &gpu_run()).unwrap();
        let report: Report = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(report, gpu_run());
        assert_eq!(files(folder.path()), ["report.json"]);
    }

    #[test]
    fn a_missing_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = write_json_atomically(&folder.path().join("no/report.json"), &1).unwrap_err();
        assert!(matches!(&error, WriteError::NoFolder { folder, .. } if folder.ends_with("no")), "{error}");
    }

    #[test]
    fn a_folder_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let error = write_json_atomically(folder.path(), &1).unwrap_err();
        assert!(error.to_string().contains("directory"), "{error}");
        assert!(files(folder.path()).is_empty());
    }

    #[test]
    fn what_cannot_be_serialised_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        fs::write(&path, "old").unwrap();
        // JSON keys are strings.
        write_json_atomically(&path, &std::collections::BTreeMap::from([((1, 2), 3)])).unwrap_err();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_called_one_and_a_device_file_stays() {
        let error = write_json_atomically(Path::new("/dev/full"), &1).unwrap_err();
        assert!(matches!(error, WriteError::Full { .. }), "{error}");
        write_json_atomically(Path::new("/dev/null"), &1).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file.json"), folder.path().join("link.json"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write_json_atomically(&link, &1).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "1\n");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }
}
