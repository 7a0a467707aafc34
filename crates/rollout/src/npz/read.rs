//! Reading arrays out of an npz file with bounded memory.

use super::element::converter;
use super::header::{Refusal, shape_text};
use super::{Element, Header, NpzError};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use zip::ZipArchive;
use zip::read::ZipFile;
use zip::result::ZipError;

/// Arrays of more bytes are refused, in the file or converted. An operator of D = 16384 in f64 has 2 GiB.
const LARGEST_ARRAY_BYTES: u64 = 4 << 30;
/// Deflate packs at most so many bytes into one: a member that claims more lies.
const DEFLATE_RATIO: u64 = 1032;
/// What a member may exceed that ratio by: a few bytes pack into no less than a block.
const DEFLATE_SLACK: u64 = 4096;
/// Bytes read at a time, a multiple of every element's size.
const CHUNK_BYTES: usize = 1 << 20;

/// An array in C order.
#[derive(Clone, Debug, PartialEq)]
pub struct Array<T> {
    /// Sizes of the dimensions; none for a scalar.
    pub shape: Vec<usize>,
    /// The values, the last index running fastest.
    pub values: Vec<T>,
}

/// An open npz file.
#[derive(Debug)]
pub struct Npz {
    path: PathBuf,
    archive: ZipArchive<BufReader<File>>,
    /// Array name and the member's number in the archive.
    arrays: Vec<(String, usize)>,
}

impl Npz {
    /// Opens a file and reads its directory.
    ///
    /// # Errors
    /// A file that cannot be read or is no npz file.
    pub fn open(path: &Path) -> Result<Self, NpzError> {
        let io = |source| NpzError::Io { path: path.to_owned(), source };
        let not_npz = |found: String| NpzError::NotNpz { path: path.to_owned(), found };
        let about = std::fs::metadata(path).map_err(io)?;
        if !about.is_file() {
            return Err(not_npz("this is no regular file".to_owned()));
        }
        let mut file = File::open(path).map_err(io)?;
        let mut start = Vec::new();
        (&mut file).take(6).read_to_end(&mut start).map_err(io)?;
        match start.as_slice() {
            [] => return Err(not_npz("the file is empty".to_owned())),
            b"\x93NUMPY" => return Err(not_npz("this is a single npy array".to_owned())),
            [0x80, 2..=5, ..] => return Err(not_npz("this is a Python pickle".to_owned())),
            _ => {}
        }
        let archive = ZipArchive::new(BufReader::new(file)).map_err(|error| match error {
            ZipError::Io(source) if source.kind() != io::ErrorKind::UnexpectedEof => io(source),
            error => not_npz(format!("this is no whole ZIP archive ({error})")),
        })?;
        let names = (0..archive.len()).filter_map(|index| {
            let name = archive.name_for_index(index)?.ok()?;
            Some((name.strip_suffix(".npy")?.to_owned(), index))
        });
        let arrays = names.collect();
        Ok(Self { path: path.to_owned(), archive, arrays })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of the arrays, in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.arrays.iter().map(|(name, _)| name.as_str())
    }

    /// Whether there is such an array.
    pub fn has(&self, name: &str) -> bool {
        self.names().any(|other| other == name)
    }

    /// Type and shape of an array, whose values are not read.
    ///
    /// # Errors
    /// No such array, one of a kind that is not read, a damaged file.
    pub fn header(&mut self, name: &str) -> Result<Header, NpzError> {
        Ok(self.member(name)?.1)
    }

    /// An array, converted to `T`.
    ///
    /// # Errors
    /// No such array, one of a kind that is not read, values that `T` does not hold, a damaged file, an array beyond the
    /// limit of 4 GiB.
    pub fn read<T: Element>(&mut self, name: &str) -> Result<Array<T>, NpzError> {
        let path = self.path.clone();
        let fault = Fault { path: &path, name };
        let (mut member, header) = self.member(name)?;
        let count = header.count().expect("member() has checked the size");
        let bytes = count as u64 * size_of::<T>().max(header.dtype.bytes()) as u64;
        if bytes > LARGEST_ARRAY_BYTES {
            let expected = format!("at most {LARGEST_ARRAY_BYTES} bytes in memory");
            return Err(fault.mismatch(format!("{}, {bytes} bytes", header.describe()), expected));
        }
        let mut values = Vec::new();
        values.try_reserve_exact(count).map_err(|_| {
            fault
                .mismatch(format!("{}, {bytes} bytes", header.describe()), "less than the free memory".into())
        })?;
        read_values(&mut member, &header, count, fault, &mut |value| {
            values.push(value);
            Ok::<_, NpzError>(())
        })?;
        if header.fortran_order {
            values = to_c_order(&header.shape, &values);
        }
        Ok(Array { shape: header.shape, values })
    }

    /// Calls `visit` with each part of an array along its first dimension, in order, and keeps no more than one.
    /// In Fortran order the parts lie interleaved, so such an array is read whole, within the limit of [`read`](Self::read).
    ///
    /// # Errors
    /// As [`read`](Self::read), for the parts; a scalar; the first error of `visit`.
    pub fn read_parts<T: Element, E: From<NpzError>>(
        &mut self,
        name: &str,
        mut visit: impl FnMut(usize, &[T]) -> Result<(), E>,
    ) -> Result<(), E> {
        let header = self.header(name)?;
        if header.shape.is_empty() {
            return Err(self.mismatch(name, header.describe(), "an array".to_owned()).into());
        }
        let part: usize = header.shape[1..].iter().product();
        if header.fortran_order || part == 0 {
            let values = self.read(name)?.values;
            return values.chunks(part.max(1)).enumerate().try_for_each(|(index, part)| visit(index, part));
        }
        let path = self.path.clone();
        let fault = Fault { path: &path, name };
        if part as u64 * size_of::<T>() as u64 > LARGEST_ARRAY_BYTES {
            let expected = format!("at most {LARGEST_ARRAY_BYTES} bytes a part");
            return Err(fault.mismatch(header.describe(), expected).into());
        }
        let (mut member, header) = self.member(name)?;
        let count = header.count().expect("member() has checked the size");
        let (mut values, mut index) = (Vec::new(), 0);
        read_values(&mut member, &header, count, fault, &mut |value| {
            values.push(value);
            if values.len() == part {
                visit(index, &values)?;
                values.clear();
                index += 1;
            }
            Ok(())
        })
    }

    /// An array of exactly this shape.
    ///
    /// # Errors
    /// As [`read`](Self::read), and another shape, before any value is read.
    pub fn read_shaped<T: Element>(&mut self, name: &str, shape: &[usize]) -> Result<Vec<T>, NpzError> {
        let header = self.header(name)?;
        if header.shape != shape {
            return Err(self.mismatch(name, header.describe(), format!("shape {}", shape_text(shape))));
        }
        Ok(self.read(name)?.values)
    }

    /// A scalar, or the only value of an array.
    ///
    /// # Errors
    /// As [`read`](Self::read), and an array of several values or none.
    pub fn read_scalar<T: Element>(&mut self, name: &str) -> Result<T, NpzError> {
        let header = self.header(name)?;
        if header.count() != Some(1) {
            return Err(self.mismatch(name, header.describe(), "a scalar".to_owned()));
        }
        Ok(self.read(name)?.values[0])
    }

    /// The error of an array that is not what the caller needs.
    pub fn mismatch(&self, name: &str, found: String, expected: String) -> NpzError {
        Fault { path: &self.path, name }.mismatch(found, expected)
    }

    /// The member that holds an array, behind its header, which agrees with the member's size.
    fn member(&mut self, name: &str) -> Result<(ZipFile<'_, BufReader<File>>, Header), NpzError> {
        let fault = Fault { path: &self.path, name };
        let Some((_, index)) = self.arrays.iter().find(|(other, _)| other == name) else {
            let mut has: Vec<_> = self.arrays.iter().take(20).map(|(name, _)| name.as_str()).collect();
            if self.arrays.len() > has.len() {
                has.push("…");
            }
            let has = if has.is_empty() { "no arrays".to_owned() } else { has.join(", ") };
            return Err(NpzError::Missing { path: self.path.clone(), name: name.to_owned(), has });
        };
        let mut member = self.archive.by_index(*index).map_err(|error| match error {
            ZipError::Io(source) => fault.read_error(source),
            ZipError::CompressionMethodNotSupported(method) => {
                let found = format!("the ZIP compression method {method}");
                fault.unsupported(found, "stored and deflated arrays are read; use numpy.savez")
            }
            error => fault.damaged(error.to_string()),
        })?;
        let header = Header::read(&mut member).map_err(|refusal| match refusal {
            Refusal::Io(source) => fault.read_error(source),
            Refusal::Damaged(problem) => fault.damaged(problem),
            Refusal::Unsupported { found, remedy } => fault.unsupported(found, remedy),
        })?;
        let declared = header.count().and_then(|count| {
            u64::try_from(count).ok()?.checked_mul(header.dtype.bytes() as u64)?.checked_add(header.bytes)
        });
        let (size, packed) = (member.size(), member.compressed_size());
        if declared != Some(size) {
            let problem = format!(
                "{} does not fit the {} bytes that follow its header",
                header.describe(),
                size.saturating_sub(header.bytes)
            );
            return Err(fault.damaged(problem));
        }
        if size > packed.saturating_mul(DEFLATE_RATIO).saturating_add(DEFLATE_SLACK) {
            return Err(fault.damaged(format!("{packed} packed bytes cannot unpack to {size}")));
        }
        Ok((member, header))
    }
}

/// The place of an error.
#[derive(Clone, Copy)]
struct Fault<'a> {
    path: &'a Path,
    name: &'a str,
}

impl Fault<'_> {
    fn damaged(self, problem: String) -> NpzError {
        NpzError::Damaged { path: self.path.to_owned(), name: self.name.to_owned(), problem }
    }

    fn unsupported(self, found: String, remedy: &'static str) -> NpzError {
        NpzError::Unsupported { path: self.path.to_owned(), name: self.name.to_owned(), found, remedy }
    }

    fn mismatch(self, found: String, expected: String) -> NpzError {
        NpzError::Mismatch { path: self.path.to_owned(), name: self.name.to_owned(), found, expected }
    }

    /// An error of the file or of the archive's data; the inflater reports damage as these kinds.
    fn read_error(self, source: io::Error) -> NpzError {
        use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
        match source.kind() {
            UnexpectedEof | InvalidData | InvalidInput | Other => self.damaged(source.to_string()),
            _ => NpzError::Io { path: self.path.to_owned(), source },
        }
    }

    fn io<V>(self, result: io::Result<V>) -> Result<V, NpzError> {
        result.map_err(|source| self.read_error(source))
    }
}

/// Reads `count` elements in the order of the file, and the member's end, where the archive's checksum is compared.
fn read_values<T: Element, E: From<NpzError>>(
    member: &mut impl Read,
    header: &Header,
    count: usize,
    fault: Fault<'_>,
    take: &mut impl FnMut(T) -> Result<(), E>,
) -> Result<(), E> {
    let size = header.dtype.bytes();
    let convert = converter::<T>(header.dtype);
    let mut chunk = vec![0; CHUNK_BYTES.min(count * size)];
    let mut done = 0;
    while done < count {
        let bytes = (chunk.len()).min((count - done) * size);
        let chunk = &mut chunk[..bytes];
        fault.io(member.read_exact(chunk))?;
        for (index, element) in chunk.chunks_exact_mut(size).enumerate() {
            if header.big_endian {
                element.reverse();
            }
            let value = convert(element).ok_or_else(|| {
                let found = format!("{} with a value at {} that is none", header.describe(), done + index);
                fault.mismatch(found, format!("values that {} holds", T::DTYPE))
            })?;
            take(value)?;
        }
        done += bytes / size;
    }
    fault.io(member.read(&mut [0]))?;
    Ok(())
}

/// Values whose first index runs fastest, in the order in which the last one does.
fn to_c_order<T: Copy>(shape: &[usize], values: &[T]) -> Vec<T> {
    let strides: Vec<usize> = shape
        .iter()
        .scan(1, |stride, size| {
            let this = *stride;
            *stride *= size;
            Some(this)
        })
        .collect();
    let mut index = vec![0; shape.len()];
    let mut at = 0;
    let mut ordered = Vec::with_capacity(values.len());
    for _ in 0..values.len() {
        ordered.push(values[at]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            at += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            at -= strides[axis] * shape[axis];
            index[axis] = 0;
        }
    }
    ordered
}
