//! Takes models out of the cache.

use crate::cache::{entries, files_below};
use crate::error::{HubError, at};
use crate::selection::{self, Selection};
use crate::{Cache, ModelName};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// What a removal has freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// Bytes that the disk has back.
    pub bytes: u64,
}

impl Cache {
    /// Removes a model with all its commits, or the GGUF files that the name picks. `waiting` hears if a pull is under way,
    /// whose end is waited for.
    ///
    /// # Errors
    /// Not in the cache, files that cannot be deleted.
    pub fn remove(&self, name: &ModelName, waiting: impl FnOnce()) -> Result<Removed, HubError> {
        let folder = self.folder(name);
        if !folder.is_dir() {
            return Err(HubError::NotCached { name: name.clone(), root: self.root().to_owned() });
        }
        let _lock = self.lock(name, waiting)?;
        let before = self.blob_bytes(name)?;
        if name.quant().is_some() {
            self.remove_files(name)?;
        } else {
            // First what makes it count as there: a removal that is broken off leaves no half model.
            let refs = folder.join("refs");
            if refs.exists() {
                fs::remove_dir_all(&refs).map_err(at(&refs))?;
            }
            fs::remove_dir_all(&folder).map_err(at(&folder))?;
        }
        Ok(Removed { bytes: before - self.blob_bytes(name)? })
    }

    fn blob_bytes(&self, name: &ModelName) -> Result<u64, HubError> {
        let blobs = entries(&self.folder(name).join("blobs"))?;
        Ok(blobs.iter().map(|blob| fs::metadata(blob).map_or(0, |found| found.len())).sum())
    }

    /// Removes the links that the name picks in every snapshot, and the blobs that nothing links to any more.
    fn remove_files(&self, name: &ModelName) -> Result<(), HubError> {
        let snapshots = entries(&self.folder(name).join("snapshots"))?;
        let mut freed = BTreeSet::new();
        let mut outcome = Err(HubError::NotCached { name: name.clone(), root: self.root().to_owned() });
        for snapshot in &snapshots {
            match selection::select(name, &files_below(snapshot)?) {
                Ok(Selection::Gguf(files)) => {
                    for path in files.iter().map(|file| snapshot.join(file)) {
                        freed.extend(blob_of(&path));
                        fs::remove_file(&path).map_err(at(&path))?;
                    }
                    outcome = Ok(());
                }
                Ok(Selection::Folder { .. }) => unreachable!("a name with a quantisation picks GGUF files"),
                Err(error) if outcome.is_err() => outcome = Err(error),
                Err(_) => {}
            }
        }
        outcome?;
        for snapshot in &snapshots {
            for file in files_below(snapshot)? {
                blob_of(&snapshot.join(file)).map(|blob| freed.remove(&blob));
            }
        }
        freed.iter().try_for_each(|blob| fs::remove_file(blob).map_err(at(blob)))
    }
}

/// The blob that a snapshot's file is a link to.
fn blob_of(path: &std::path::Path) -> Option<PathBuf> {
    fs::read_link(path).ok()?;
    let blob = path.canonicalize().ok()?;
    let in_blobs = blob.parent()?.file_name()? == "blobs";
    in_blobs.then_some(blob)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_file_goes_with_its_blob_unless_another_snapshot_needs_it() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        let model = cache.root().join("models--org--name");
        let (old, new) = ("a".repeat(40), "b".repeat(40));
        for part in ["blobs", "refs"] {
            fs::create_dir_all(model.join(part)).unwrap();
        }
        fs::write(model.join("refs/main"), &new).unwrap();
        for (blob, text) in [("q8", "12345678"), ("q4", "1234"), ("other", "12")] {
            fs::write(model.join("blobs").join(blob), text).unwrap();
        }
        for (commit, file, blob) in [
            (&old, "m-Q8.gguf", "q8"),
            (&new, "m-Q8.gguf", "q8"),
            (&new, "m-Q4.gguf", "q4"),
            (&old, "x.json", "other"),
            (&new, "k-Q4x.gguf", "q4"),
        ] {
            let snapshot = model.join("snapshots").join(commit);
            fs::create_dir_all(&snapshot).unwrap();
            symlink(PathBuf::from("../../blobs").join(blob), snapshot.join(file)).unwrap();
        }
        let remove = |name: &str| cache.remove(&name.parse().unwrap(), || ());
        assert!(remove("org/name:q5").unwrap_err().to_string().contains("no GGUF file is called q5"));
        // Another name leads to the same blob.
        assert_eq!(remove("org/name:q4").unwrap().bytes, 0);
        assert_eq!(remove("org/name:q8").unwrap().bytes, 8);
        assert_eq!(
            files_below(&model.join("snapshots")).unwrap(),
            [format!("{old}/x.json"), format!("{new}/k-Q4x.gguf")]
        );
        assert_eq!(remove("org/name").unwrap().bytes, 6);
        assert!(!model.exists());
        assert!(matches!(remove("org/name"), Err(HubError::NotCached { .. })));
    }
}
