//! Maps model files into memory: the only `unsafe` outside the Vulkan crate.
#![allow(unsafe_code)]

use super::error::CheckpointError;
use memmap2::Mmap;
use std::fs::File;
use std::ops::Range;
use std::path::Path;

/// The bytes of a model file, mapped read-only or embedded in the program.
#[derive(Debug)]
pub(super) enum FileBytes {
    Mapped(Mmap),
    Embedded(&'static [u8]),
}

impl FileBytes {
    /// Maps the whole file. Pages are read when they are first touched.
    pub(super) fn map(path: &Path) -> Result<FileBytes, CheckpointError> {
        let io_error = |source| CheckpointError::Io { file: path.display().to_string(), source };
        // Opening a pipe would wait for its writer, and a device has no length.
        if !std::fs::metadata(path).map_err(io_error)?.is_file() {
            return Err(CheckpointError::NotACheckpoint {
                path: path.display().to_string(),
                problem: "this is no file".to_owned(),
                remedy: "give a .gguf file or the folder of a Hugging Face model".to_owned(),
            });
        }
        let file = File::open(path).map_err(io_error)?;
        // SAFETY: the mapping is private and read-only, and nothing in this process writes to model files. A file
        // that another process shortens meanwhile ends this process with SIGBUS, as it does in every program that
        // maps its weights; it cannot move the slice or break its bounds.
        let map = unsafe { Mmap::map(&file) }.map_err(io_error)?;
        Ok(FileBytes::Mapped(map))
    }

    /// Asks for a range to be read from the disk. A hint: without it pages come as they are touched.
    pub(super) fn read_ahead(&self, range: &Range<usize>) {
        #[cfg(unix)]
        if let FileBytes::Mapped(map) = self {
            let _ = map.advise_range(memmap2::Advice::WillNeed, range.start, range.len());
        }
        #[cfg(not(unix))]
        let _ = range;
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            FileBytes::Mapped(map) => map,
            FileBytes::Embedded(bytes) => bytes,
        }
    }
}
