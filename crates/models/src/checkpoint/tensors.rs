//! The tensors of a checkpoint, whatever file they come from: found by name, viewed in place, counted as they are used.

use super::error::{CheckpointError, Place, first_few, quoted};
use super::mapped_file::FileBytes;
use resident_tensor::DType;
use resident_tensor::codec;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A tensor's bytes as they lie in the file.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    /// Canonical name, as Hugging Face writes it.
    pub name: &'a str,
    /// Name in the file.
    pub stored_name: &'a str,
    /// Element type.
    pub dtype: DType,
    /// Dimensions, row-major: a projection is `[out, in]`.
    pub shape: &'a [u64],
    /// Little-endian elements or blocks, row after row, of any alignment.
    pub data: &'a [u8],
}

impl TensorView<'_> {
    /// Elements in the tensor.
    pub fn elements(&self) -> u64 {
        self.shape.iter().product()
    }

    /// Decodes every element.
    pub fn to_f32(&self) -> Vec<f32> {
        let blocks = self.data.len() / self.dtype.block_bytes();
        let mut values = vec![0.0; blocks * self.dtype.block_len()];
        codec::decode(self.dtype, self.data, &mut values);
        values
    }

    /// Index of the first element that is infinite or NaN, or whose block has such a scale.
    pub fn first_non_finite(&self) -> Option<usize> {
        codec::first_non_finite(self.dtype, self.data)
    }
}

/// A tensor as a file's directory describes it. Whoever makes one has checked that the range lies in the file and
/// has the size that type and shape ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTensor {
    /// Name in the file.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Dimensions, row-major.
    pub shape: Vec<u64>,
    /// Bytes in the file.
    pub range: Range<usize>,
}

/// A file with tensors in it.
#[derive(Debug)]
pub(super) struct TensorFile {
    /// Path, for messages.
    pub(super) label: String,
    pub(super) bytes: Arc<FileBytes>,
}

#[derive(Debug)]
struct Entry {
    file: usize,
    stored: StoredTensor,
    used: AtomicBool,
}

/// All tensors of all files of a checkpoint, by canonical name.
#[derive(Debug, Default)]
pub(super) struct TensorTable {
    files: Vec<TensorFile>,
    entries: BTreeMap<String, Entry>,
}

impl TensorTable {
    /// Adds a file's tensors under the names that `canonical` gives them.
    pub(super) fn add_file(
        &mut self,
        file: TensorFile,
        tensors: Vec<StoredTensor>,
        canonical: impl Fn(&str) -> String,
    ) -> Result<(), CheckpointError> {
        let index = self.files.len();
        self.files.push(file);
        for stored in tensors {
            let name = canonical(&stored.name);
            if let Some(other) = self.entries.get(&name) {
                let other_file = &self.files[other.file].label;
                return Err(CheckpointError::Damaged {
                    file: self.files[index].label.clone(),
                    place: Place::tensor(&stored.name),
                    problem: format!("it also stands in {other_file} as {}", quoted(&other.stored.name)),
                });
            }
            self.entries.insert(name, Entry { file: index, stored, used: AtomicBool::new(false) });
        }
        Ok(())
    }

    pub(super) fn get(&self, name: &str) -> Option<TensorView<'_>> {
        let (name, entry) = self.entries.get_key_value(name)?;
        Some(self.view(name, entry))
    }

    /// As [`get`](Self::get), and remembers that somebody asked.
    pub(super) fn take(&self, name: &str) -> Option<TensorView<'_>> {
        self.entries.get(name)?.used.store(true, Ordering::Relaxed);
        self.get(name)
    }

    pub(super) fn read_ahead(&self, name: &str) {
        if let Some(Entry { file, stored, .. }) = self.entries.get(name) {
            self.files[*file].bytes.read_ahead(&stored.range);
        }
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = TensorView<'_>> {
        self.entries.iter().map(|(name, entry)| self.view(name, entry))
    }

    /// Names that nobody has taken, in alphabetical order.
    pub(super) fn unused(&self) -> impl Iterator<Item = &str> {
        let unused = self.entries.iter().filter(|(_, entry)| !entry.used.load(Ordering::Relaxed));
        unused.map(|(name, _)| name.as_str())
    }

    pub(super) fn refuse_unused(&self, file: &str, architecture: &str) -> Result<(), CheckpointError> {
        let unused: Vec<String> = self.unused().map(quoted).collect();
        if unused.is_empty() {
            return Ok(());
        }
        Err(CheckpointError::UnusedTensors {
            file: file.to_owned(),
            tensors: first_few(&unused),
            architecture: architecture.to_owned(),
        })
    }

    fn view<'a>(&'a self, name: &'a str, entry: &'a Entry) -> TensorView<'a> {
        let StoredTensor { name: ref stored_name, dtype, ref shape, ref range } = entry.stored;
        TensorView {
            name,
            stored_name,
            dtype,
            shape,
            data: &self.files[entry.file].bytes.as_slice()[range.clone()],
        }
    }
}
