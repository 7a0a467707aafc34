//! The cache on disk, in the layout of Hugging Face's library: files lie once in `blobs`, named by their hash; a commit's
//! snapshot links to them under their own names; `refs/main` says which commit is meant.

use crate::ModelName;
use crate::error::{HubError, at};
use crate::lock::Lock;
use crate::selection::{self, Selection};
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// More than the name of a commit.
const MAX_REF_BYTES: u64 = 256;
/// Folders within folders of a snapshot.
const MAX_DEPTH: u32 = 8;

/// The cache.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

/// A model in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedModel {
    /// `ORG/NAME`.
    pub name: String,
    /// The commit that its name means; None where none is complete.
    pub commit: Option<String>,
    /// What can be opened there: `safetensors`, or GGUF files by their quantisations.
    pub holds: Vec<String>,
    /// Its bytes on the disk.
    pub bytes: u64,
    /// Bytes of them that a pull has left unfinished.
    pub unfinished_bytes: u64,
    /// Its folder.
    pub path: PathBuf,
}

impl Cache {
    /// The cache in this folder, which need not be there yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of a model.
    pub(crate) fn folder(&self, name: &ModelName) -> PathBuf {
        self.root.join(name.folder())
    }

    /// Where a model's lock files lie.
    pub(crate) fn locks(&self, name: &ModelName) -> PathBuf {
        self.root.join(".locks").join(name.folder())
    }

    /// Keeps other pulls and removals of this model away.
    pub(crate) fn lock(&self, name: &ModelName, waiting: impl FnOnce()) -> Result<Lock, HubError> {
        Lock::take(&self.locks(name).join("resident.lock"), waiting)
    }

    /// What there is to open for a name: the snapshot's folder, or the (first) GGUF file.
    ///
    /// # Errors
    /// Not in the cache, or not clear which file is meant.
    pub fn locate(&self, name: &ModelName) -> Result<PathBuf, HubError> {
        let not_cached = || HubError::NotCached { name: name.clone(), root: self.root.clone() };
        let commit = self.commit(name)?.ok_or_else(not_cached)?;
        let snapshot = self.snapshot(name, &commit);
        let files = files_below(&snapshot)?;
        // Another file of the repository may have been fetched, and this one not.
        let has_ggufs = !selection::gguf_models(&files).is_empty();
        match selection::select(name, &files) {
            Ok(Selection::Folder { .. }) => Ok(snapshot),
            Ok(Selection::Gguf(files)) => Ok(snapshot.join(&files[0])),
            Err(_) if files.is_empty() || (name.quant().is_some() && !has_ggufs) => Err(not_cached()),
            Err(HubError::Selection { name, problem }) => Err(HubError::Selection {
                problem: format!("in the cache, {problem}; or fetch more with 'resident pull {name}'"),
                name,
            }),
            Err(error) => Err(error),
        }
    }

    /// Every model in the cache, by name.
    ///
    /// # Errors
    /// Folders that cannot be read.
    pub fn list(&self) -> Result<Vec<CachedModel>, HubError> {
        let mut names: Vec<ModelName> = entries(&self.root)?
            .iter()
            .filter_map(|path| ModelName::of_folder(path.file_name()?.to_str()?))
            .collect();
        names.sort_by_key(|name| name.repository().to_lowercase());
        names.iter().map(|name| self.describe(name)).collect()
    }

    fn describe(&self, name: &ModelName) -> Result<CachedModel, HubError> {
        let path = self.folder(name);
        let (mut bytes, mut unfinished_bytes) = (0, 0);
        for blob in entries(&path.join("blobs"))? {
            let size = fs::metadata(&blob).map_or(0, |found| found.len());
            bytes += size;
            if blob.extension().is_some_and(|extension| extension == "incomplete") {
                unfinished_bytes += size;
            }
        }
        // What is damaged is listed, too: as nothing that can be opened.
        let commit = self.commit(name).unwrap_or_default();
        let files =
            commit.as_ref().map_or(Ok(Vec::new()), |commit| files_below(&self.snapshot(name, commit)))?;
        let folder = selection::is_folder(&files).then(|| "safetensors".to_owned());
        let ggufs = selection::gguf_models(&files);
        let ggufs = ggufs.iter().map(|model| model.quant().to_owned());
        let holds = folder.into_iter().chain(ggufs).collect();
        Ok(CachedModel { name: name.repository(), commit, holds, bytes, unfinished_bytes, path })
    }

    /// The folder of a commit's files.
    pub(crate) fn snapshot(&self, name: &ModelName, commit: &str) -> PathBuf {
        self.folder(name).join("snapshots").join(commit)
    }

    /// The commit that the name means; None where no pull has come to its end.
    pub(crate) fn commit(&self, name: &ModelName) -> Result<Option<String>, HubError> {
        let path = self.folder(name).join("refs").join("main");
        let file = match fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(at(&path)(error)),
        };
        let mut text = String::new();
        file.take(MAX_REF_BYTES).read_to_string(&mut text).map_err(at(&path))?;
        match is_commit(text.trim()) {
            true => Ok(Some(text.trim().to_owned())),
            false => Err(HubError::Damaged {
                problem: format!(
                    "expected a commit's hash; pull again, or remove the model with 'resident rm {name}'"
                ),
                path,
            }),
        }
    }
}

/// Whether it is the hash of a commit, and with that safe as the name of a folder.
pub(crate) fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64)
        && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The paths in a folder, none where it is not there.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>, HubError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(at(folder))?,
    };
    let paths: Result<Vec<_>, _> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths.map_err(at(folder))?;
    paths.sort();
    Ok(paths)
}

/// The files of a folder and those within it, with forward slashes. A link whose file is gone is none.
pub(crate) fn files_below(folder: &Path) -> Result<Vec<String>, HubError> {
    let mut files = Vec::new();
    let mut folders = vec![(folder.to_owned(), String::new(), 0)];
    while let Some((folder, prefix, depth)) = folders.pop() {
        for path in entries(&folder)? {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let name = format!("{prefix}{name}");
            if path.is_file() {
                files.push(name);
            } else if depth < MAX_DEPTH && path.is_dir() {
                folders.push((path, format!("{name}/"), depth + 1));
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    /// A cache with one model of these files, complete.
    fn cache_of(files: &[&str]) -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().join("hub"));
        let model = cache.root().join("models--org--name");
        for file in files {
            let path = model.join("snapshots").join(COMMIT).join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        fs::create_dir_all(model.join("refs")).unwrap();
        fs::write(model.join("refs/main"), COMMIT).unwrap();
        fs::create_dir_all(model.join("blobs")).unwrap();
        fs::write(model.join("blobs/aa"), "12345").unwrap();
        fs::write(model.join("blobs/bb.incomplete"), "123").unwrap();
        (folder, cache)
    }

    #[test]
    fn a_name_leads_to_its_folder_or_file() {
        let (_folder, cache) = cache_of(&["config.json", "model.safetensors", "q/m-Q4_0.gguf"]);
        let snapshot = cache.root().join("models--org--name/snapshots").join(COMMIT);
        assert_eq!(cache.locate(&"org/name".parse().unwrap()).unwrap(), snapshot);
        assert_eq!(cache.locate(&"org/name:q4_0".parse().unwrap()).unwrap(), snapshot.join("q/m-Q4_0.gguf"));
        let error = cache.locate(&"org/name:q8_0".parse().unwrap()).unwrap_err().to_string();
        assert!(
            error.contains("expected one of Q4_0") && error.contains("resident pull org/name:q8_0"),
            "{error}"
        );
        let error = cache.locate(&"org/other".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("not in the cache") && error.contains("resident pull org/other"), "{error}");
        let listed = cache.list().unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!((listed[0].bytes, listed[0].unfinished_bytes), (8, 3));
        assert_eq!(listed[0].holds, ["safetensors", "Q4_0"]);
    }

    #[test]
    fn a_model_without_a_commit_is_not_there_and_a_strange_one_is_refused() {
        let (_folder, cache) = cache_of(&["m.gguf"]);
        let main = cache.root().join("models--org--name/refs/main");
        let name: ModelName = "org/name".parse().unwrap();
        for strange in ["../../..", "", "0123", &COMMIT.to_uppercase(), &"a".repeat(1000)] {
            fs::write(&main, strange).unwrap();
            let error = cache.locate(&name).unwrap_err().to_string();
            assert!(error.contains("expected a commit's hash"), "{error}");
            assert!(cache.list().unwrap()[0].holds.is_empty());
        }
        fs::remove_file(&main).unwrap();
        assert!(matches!(cache.locate(&name), Err(HubError::NotCached { .. })));
        assert!(Cache::new("/nowhere/at/all").list().unwrap().is_empty());
    }
}
