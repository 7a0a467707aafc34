//! Fetches one file into the blobs: resumed where an earlier attempt ended, hashed as it comes, and named by its hash only
//! when that is right.

use crate::client::{Client, Failure, Patience, RemoteFile, broken};
use crate::error::{HubError, at};
use crate::hash::Hasher;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use ureq::http::{StatusCode, header};

/// Bytes that are read and written at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// A repository's commit.
#[derive(Clone, Copy)]
pub(crate) struct Revision<'a> {
    pub(crate) repository: &'a str,
    pub(crate) commit: &'a str,
}

/// What a file is fetched by and who hears of it.
pub(crate) struct Download<'a> {
    pub(crate) client: &'a Client,
    pub(crate) revision: Revision<'a>,
    pub(crate) file: &'a RemoteFile,
    /// Hears how many bytes of the file are there.
    pub(crate) progress: &'a mut dyn FnMut(u64),
    /// Hears of each failure that is followed by another attempt.
    pub(crate) notice: &'a mut dyn FnMut(&HubError),
}

/// A file that is not complete yet.
struct Partial {
    path: PathBuf,
    file: File,
    hasher: Hasher,
    bytes: u64,
}

impl Download<'_> {
    /// Fetches the file, unless it is there. Returns the bytes that came over the network.
    pub(crate) fn run(mut self, blobs: &Path) -> Result<u64, HubError> {
        let blob = blobs.join(self.file.hash.hex());
        let partial_path = blobs.join(format!("{}.incomplete", self.file.hash.hex()));
        let mut fetched = 0;
        let mut partial = self.open(partial_path)?;
        let mut patience = Patience::default();
        (self.progress)(partial.bytes);
        while partial.bytes < self.file.bytes {
            let before = fetched;
            let outcome = self.attempt(&mut partial, &mut fetched);
            if fetched > before {
                patience.renew();
            }
            if let Err(failure) = outcome {
                patience.endure(failure, self.notice)?;
            }
        }
        self.finish(partial, &blob)?;
        Ok(fetched)
    }

    /// What an earlier attempt has left.
    fn open(&self, path: PathBuf) -> Result<Partial, HubError> {
        let options = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = options.map_err(at(&path))?;
        let mut hasher = self.file.hash.hasher(self.file.bytes);
        let mut bytes = file.metadata().map_err(at(&path))?.len();
        if bytes > self.file.bytes {
            file.set_len(0).map_err(at(&path))?;
            bytes = 0;
        }
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut left = bytes;
        while left > 0 {
            let wanted = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            file.read_exact(&mut chunk[..wanted]).map_err(at(&path))?;
            hasher.update(&chunk[..wanted]);
            left -= wanted as u64;
        }
        Ok(Partial { path, file, hasher, bytes })
    }

    /// Asks for the rest and takes what comes.
    fn attempt(&mut self, partial: &mut Partial, fetched: &mut u64) -> Result<(), Failure> {
        let Revision { repository, commit } = self.revision;
        let (url, response) = self.client.get(repository, commit, &self.file.name, partial.bytes)?;
        let range = response.headers().get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
        let goes_on = response.status() == StatusCode::PARTIAL_CONTENT
            && range.is_some_and(|range| range.starts_with(&format!("bytes {}-", partial.bytes)));
        if !goes_on {
            partial.begin_anew(self.file)?;
        }
        if !goes_on && response.status() != StatusCode::OK {
            return Err(broken(&url, format!("found {} and range {range:?}", response.status())));
        }
        let mut body = response.into_body().into_reader();
        let mut chunk = vec![0; CHUNK_BYTES];
        while partial.bytes < self.file.bytes {
            let left = usize::try_from(self.file.bytes - partial.bytes).unwrap_or(usize::MAX);
            let wanted = chunk.len().min(left);
            let read = match body.read(&mut chunk[..wanted]) {
                Ok(0) => {
                    return Err(broken(
                        &url,
                        format!("it ended after {} of {} bytes", partial.bytes, self.file.bytes),
                    ));
                }
                Ok(read) => read,
                Err(error) => return Err(broken(&url, error)),
            };
            partial.append(&chunk[..read]).map_err(|error| self.no_room(error, partial.bytes))?;
            *fetched += read as u64;
            (self.progress)(partial.bytes);
        }
        Ok(())
    }

    /// Says of a full disk how much it lacks.
    fn no_room(&self, error: HubError, written: u64) -> HubError {
        match error {
            HubError::NoRoom { path, problem, .. } => {
                let what =
                    format!("{} of {}", crate::error::megabytes(self.file.bytes - written), self.file.name);
                HubError::NoRoom { path, what, problem }
            }
            other => other,
        }
    }

    /// Gives a complete file its name, if its hash is right, and deletes it if not.
    fn finish(&self, partial: Partial, blob: &Path) -> Result<(), HubError> {
        let Partial { path, file, hasher, .. } = partial;
        let found = hasher.finish();
        if found != self.file.hash.hex() {
            fs::remove_file(&path).map_err(at(&path))?;
            return Err(HubError::WrongHash {
                name: self.revision.repository.to_owned(),
                file: self.file.name.clone(),
                algorithm: self.file.hash.algorithm(),
                found,
                expected: self.file.hash.hex().to_owned(),
            });
        }
        file.sync_all().map_err(at(&path))?;
        fs::rename(&path, blob).map_err(at(blob))
    }
}

impl Partial {
    fn begin_anew(&mut self, file: &RemoteFile) -> Result<(), HubError> {
        self.file.set_len(0).map_err(at(&self.path))?;
        self.file.seek(SeekFrom::Start(0)).map_err(at(&self.path))?;
        self.hasher = file.hash.hasher(file.bytes);
        self.bytes = 0;
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), HubError> {
        // A write that fails may have written some: they are cut off, for they are not hashed.
        let written = self.file.write_all(bytes);
        if let Err(error) = written {
            let _ = self.file.set_len(self.bytes);
            return Err(at(&self.path)(error));
        }
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}
