//! Fetches a model whole: its files into the blobs, then a snapshot of links to them, and last the reference that makes it
//! count as there.

use crate::client::{Client, Failure, Patience, RemoteFile};
use crate::download::{Download, Revision};
use crate::error::{HubError, at, megabytes};
use crate::lock::Lock;
use crate::selection::{self, INDEX_FILE, Selection};
use crate::{Cache, ModelName};
use std::fs;
use std::path::{Path, PathBuf};

/// The largest index of weight files that is read.
const MAX_INDEX_BYTES: u64 = 64 << 20;

/// What a pull tells on its way.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// Another program fetches or removes the same; its end is waited for.
    Waiting,
    /// What there is to do.
    Planned {
        /// Files of the model.
        files: usize,
        /// Their bytes.
        bytes: u64,
        /// Bytes of them that are not there yet.
        missing_bytes: u64,
    },
    /// Bytes of the model that are there.
    Progress(u64),
    /// An attempt has failed, and another one follows.
    Retry(&'a HubError),
}

/// A fetched model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// What to open: the snapshot's folder, or the (first) GGUF file.
    pub path: PathBuf,
    /// The commit.
    pub commit: String,
    /// Its files.
    pub files: Vec<PulledFile>,
    /// Bytes that came over the network.
    pub fetched_bytes: u64,
}

/// A file of a fetched model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PulledFile {
    /// Its name in the repository.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its hash, by which it has been verified: SHA-256, or Git's SHA-1 of a small file.
    pub hash: String,
}

/// Fetches what is missing of a model.
///
/// # Errors
/// The hub refuses, cannot be reached or says what makes no sense; a wrong hash; a full disk.
pub fn pull(
    cache: &Cache,
    client: &Client,
    name: &ModelName,
    events: &mut dyn FnMut(Event<'_>),
) -> Result<Pulled, HubError> {
    let _lock = cache.lock(name, || events(Event::Waiting))?;
    let repository = name.repository();
    let listing = patiently(events, || client.listing(&repository))?;
    let mut puller = Puller {
        cache,
        client,
        name,
        revision: Revision { repository: &repository, commit: &listing.commit },
        blobs: cache.folder(name).join("blobs"),
        fetched_bytes: 0,
        events,
    };
    fs::create_dir_all(&puller.blobs).map_err(at(&puller.blobs))?;
    let files = puller.files(&listing.files)?;
    let sum = |files: &[&RemoteFile]| files.iter().map(|file| file.bytes).fold(0, u64::saturating_add);
    let bytes = sum(&files.iter().collect::<Vec<_>>());
    let missing: Vec<&RemoteFile> = files.iter().filter(|file| !puller.is_there(file)).collect();
    let missing_bytes = missing.iter().map(|file| puller.missing_of(file)).fold(0, u64::saturating_add);
    puller.refuse_full_disk(missing_bytes)?;
    (puller.events)(Event::Planned { files: files.len(), bytes, missing_bytes });
    let mut done = bytes - sum(&missing);
    for file in missing {
        puller.fetch(file, done)?;
        done += file.bytes;
    }
    files.iter().try_for_each(|file| puller.link(file))?;
    let main = cache.folder(name).join("refs").join("main");
    let refs = main.parent().expect("it has just been joined");
    fs::create_dir_all(refs).map_err(at(refs))?;
    resident_ledger::write_atomically(&main, listing.commit.as_bytes())
        .map_err(|error| HubError::Damaged { path: main.clone(), problem: error.to_string() })?;
    let fetched_bytes = puller.fetched_bytes;
    Ok(Pulled {
        path: cache.locate(name)?,
        commit: listing.commit.clone(),
        files: files
            .into_iter()
            .map(|file| PulledFile { name: file.name, bytes: file.bytes, hash: file.hash.hex().to_owned() })
            .collect(),
        fetched_bytes,
    })
}

/// Asks until there is an answer, or no more sense in it.
fn patiently<T>(
    events: &mut dyn FnMut(Event<'_>),
    mut ask: impl FnMut() -> Result<T, Failure>,
) -> Result<T, HubError> {
    let mut patience = Patience::default();
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(failure) => patience.endure(failure, &mut |error| events(Event::Retry(error)))?,
        }
    }
}

/// A pull of one commit.
struct Puller<'a> {
    cache: &'a Cache,
    client: &'a Client,
    name: &'a ModelName,
    revision: Revision<'a>,
    blobs: PathBuf,
    fetched_bytes: u64,
    events: &'a mut dyn FnMut(Event<'_>),
}

impl Puller<'_> {
    /// The files that the name means, with sizes and hashes. An index is fetched to know what it names.
    fn files(&mut self, listed: &[String]) -> Result<Vec<RemoteFile>, HubError> {
        let (names, indexed) = match selection::select(self.name, listed)? {
            Selection::Folder { files, indexed } => (files, indexed),
            Selection::Gguf(files) => (files, false),
        };
        let mut files = names.iter().map(|file| self.head(file)).collect::<Result<Vec<_>, _>>()?;
        if let Some(index) = files.iter().find(|file| indexed && file.name == INDEX_FILE) {
            let damaged = |problem: String| HubError::Selection {
                name: self.name.clone(),
                problem: format!("{INDEX_FILE}: {problem}"),
            };
            if index.bytes > MAX_INDEX_BYTES {
                return Err(damaged(format!(
                    "found {} bytes, expected at most {MAX_INDEX_BYTES}",
                    index.bytes
                )));
            }
            if !self.is_there(index) {
                self.fetch(index, 0)?;
            }
            let path = self.blob(index);
            let text = fs::read(&path).map_err(at(&path))?;
            let weights = selection::indexed_files(&text, listed).map_err(|problem| HubError::Selection {
                name: self.name.clone(),
                problem: format!("{INDEX_FILE}: {problem}"),
            })?;
            for file in &weights {
                files.push(self.head(file)?);
            }
        }
        Ok(files)
    }

    fn head(&mut self, file: &str) -> Result<RemoteFile, HubError> {
        let Revision { repository, commit } = self.revision;
        patiently(self.events, || self.client.head(repository, commit, file))
    }

    fn blob(&self, file: &RemoteFile) -> PathBuf {
        self.blobs.join(file.hash.hex())
    }

    fn is_there(&self, file: &RemoteFile) -> bool {
        fs::metadata(self.blob(file)).is_ok_and(|found| found.len() == file.bytes)
    }

    /// Bytes of a file that no earlier pull has left.
    fn missing_of(&self, file: &RemoteFile) -> u64 {
        let partial = self.blobs.join(format!("{}.incomplete", file.hash.hex()));
        let there = fs::metadata(partial).map_or(0, |found| found.len());
        file.bytes.saturating_sub(there)
    }

    fn refuse_full_disk(&self, missing_bytes: u64) -> Result<(), HubError> {
        let free = fs4::available_space(&self.blobs).map_err(at(&self.blobs))?;
        if missing_bytes <= free {
            return Ok(());
        }
        Err(HubError::NoRoom {
            path: self.blobs.clone(),
            what: self.name.to_string(),
            problem: format!("{} are missing, {} are free", megabytes(missing_bytes), megabytes(free)),
        })
    }

    /// Fetches a file; `done` bytes of the model are there before it.
    fn fetch(&mut self, file: &RemoteFile, done: u64) -> Result<(), HubError> {
        let Self { client, revision, events, .. } = self;
        // Hugging Face's library locks each file so.
        let lock = self.cache.locks(self.name).join(format!("{}.lock", file.hash.hex()));
        let _lock = Lock::take(&lock, || events(Event::Waiting))?;
        let events = std::cell::RefCell::new(events);
        if fs::metadata(self.blobs.join(file.hash.hex())).is_ok_and(|found| found.len() == file.bytes) {
            return Ok(());
        }
        let download = Download {
            client,
            revision: *revision,
            file,
            progress: &mut |bytes| (events.borrow_mut())(Event::Progress(done + bytes)),
            notice: &mut |error| (events.borrow_mut())(Event::Retry(error)),
        };
        self.fetched_bytes += download.run(&self.blobs)?;
        Ok(())
    }

    /// Puts a file under its own name into the commit's snapshot.
    fn link(&self, file: &RemoteFile) -> Result<(), HubError> {
        let snapshot = self.cache.snapshot(self.name, self.revision.commit);
        let path = snapshot.join(&file.name);
        let blob = self.blob(file);
        let folder = path.parent().expect("a file lies in a folder");
        fs::create_dir_all(folder).map_err(at(folder))?;
        // Two levels up from the snapshot's folder, and one more for each folder within it.
        let up = "../".repeat(2 + file.name.matches('/').count());
        let relative = PathBuf::from(format!("{up}blobs/{}", file.hash.hex()));
        if fs::read_link(&path).is_ok_and(|found| found == relative) {
            return Ok(());
        }
        let temporary = folder.join(format!(".{}.{}.tmp", file.hash.hex(), std::process::id()));
        // Left by a process of the same number that was killed.
        let _ = fs::remove_file(&temporary);
        // Not every system lets everybody make symbolic links.
        symlink(&relative, &temporary)
            .or_else(|_| fs::hard_link(&blob, &temporary))
            .or_else(|_| fs::copy(&blob, &temporary).map(drop))
            .map_err(at(&temporary))?;
        fs::rename(&temporary, &path).map_err(at(&path))
    }
}

#[cfg(unix)]
fn symlink(to: &Path, at: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(to, at)
}

#[cfg(windows)]
fn symlink(to: &Path, at: &Path) -> std::io::Result<()> {
    std::os::windows::fs::symlink_file(to, at)
}
