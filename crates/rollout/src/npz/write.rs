//! Writing npz files that are there whole or not at all.

use super::header::{Header, shape_text};
use super::{Element, NpzError};
use resident_ledger::AtomicFile;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Bytes handed to the archive at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// How arrays lie in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// As they are: `numpy.savez`.
    Stored,
    /// Deflated: `numpy.savez_compressed`.
    Deflated,
}

/// An npz file in the making. Nothing stands at its path before [`finish`](Self::finish); dropped before, it leaves nothing.
pub struct NpzWriter {
    path: PathBuf,
    archive: ZipWriter<AtomicFile>,
    options: SimpleFileOptions,
    /// Name, shape and missing values of the array that is being written.
    open: Option<(String, Vec<usize>, usize)>,
}

impl NpzWriter {
    /// Begins a file beside `path`, which takes its name at the end. The same arrays make the same bytes.
    ///
    /// # Errors
    /// A folder that is missing or not writable, a path that names no regular file.
    pub fn create(path: &Path, compression: Compression) -> Result<Self, NpzError> {
        let method = match compression {
            Compression::Stored => CompressionMethod::Stored,
            Compression::Deflated => CompressionMethod::Deflated,
        };
        // NumPy, too, writes 64-bit sizes whatever the size is.
        let options = SimpleFileOptions::default().compression_method(method).large_file(true);
        let archive = ZipWriter::new(AtomicFile::create(path)?);
        Ok(Self { path: path.to_owned(), archive, options, open: None })
    }

    /// Adds an array in C order.
    ///
    /// # Errors
    /// The file cannot be written.
    ///
    /// # Panics
    /// If `values` are not as many as the shape says, or the name is taken.
    pub fn array<T: Element>(&mut self, name: &str, shape: &[usize], values: &[T]) -> Result<(), NpzError> {
        self.begin::<T>(name, shape)?;
        self.append(values)
    }

    /// Adds a scalar.
    ///
    /// # Errors
    /// The file cannot be written.
    ///
    /// # Panics
    /// If the name is taken.
    pub fn scalar<T: Element>(&mut self, name: &str, value: T) -> Result<(), NpzError> {
        self.array(name, &[], &[value])
    }

    /// Begins an array whose values come by [`append`](Self::append), all of type `T`.
    ///
    /// # Errors
    /// The file cannot be written.
    ///
    /// # Panics
    /// If the array before lacks values.
    pub fn begin<T: Element>(&mut self, name: &str, shape: &[usize]) -> Result<(), NpzError> {
        self.check_complete();
        let started = self.archive.start_file(format!("{name}.npy"), self.options);
        let header = Header::to_bytes(T::DTYPE, shape);
        started
            .map_err(io::Error::from)
            .and_then(|()| self.archive.write_all(&header))
            .map_err(|e| self.io(e))?;
        self.open = Some((name.to_owned(), shape.to_vec(), shape.iter().product()));
        Ok(())
    }

    /// Adds the next values of the array that was begun.
    ///
    /// # Errors
    /// The file cannot be written.
    ///
    /// # Panics
    /// If these are more values than its shape says.
    pub fn append<T: Element>(&mut self, values: &[T]) -> Result<(), NpzError> {
        let (name, shape, missing) = self.open.as_mut().expect("an array was begun");
        let shape = shape_text(shape);
        *missing = missing.checked_sub(values.len()).unwrap_or_else(|| {
            panic!("array '{name}' of shape {shape} gets {} values too many", values.len() - *missing)
        });
        let mut bytes = Vec::with_capacity(CHUNK_BYTES.min(size_of_val(values)));
        for chunk in values.chunks(CHUNK_BYTES / size_of::<T>()) {
            bytes.clear();
            chunk.iter().for_each(|value| value.put(&mut bytes));
            self.archive.write_all(&bytes).map_err(|e| self.io(e))?;
        }
        Ok(())
    }

    /// Completes the file and gives it its name.
    ///
    /// # Errors
    /// The file cannot be written.
    ///
    /// # Panics
    /// If the last array lacks values.
    pub fn finish(self) -> Result<(), NpzError> {
        self.check_complete();
        let Self { path, archive, .. } = self;
        let file = archive.finish().map_err(|error| resident_ledger::WriteError::of(&path, error.into()))?;
        Ok(file.commit()?)
    }

    fn check_complete(&self) {
        if let Some((name, shape, missing)) = &self.open {
            assert_eq!(*missing, 0, "array '{name}' of shape {} lacks values", shape_text(shape));
        }
    }

    fn io(&self, source: io::Error) -> NpzError {
        resident_ledger::WriteError::of(&self.path, source).into()
    }
}
