//! The front of a GGUF file: header, metadata, tensor list. Nothing in it is believed before it is checked against
//! the bytes that are there: counts before loops, sizes before slices, all arithmetic checked.

use super::cursor::{Cursor, Parsed};
use super::metadata::Metadata;
use super::value::Value;
use crate::checkpoint::error::{CheckpointError, Place, quoted};
use crate::checkpoint::tensors::StoredTensor;
use resident_tensor::DType;
use resident_tensor::dtype::ggml_type_name;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

const MAGIC: &[u8] = b"GGUF";
const ALIGNMENT_KEY: &str = "general.alignment";
const DEFAULT_ALIGNMENT: u64 = 32;
/// ggml tensors have one to four dimensions.
const MAX_DIMS: u32 = 4;
/// The format's limit on the length of a key; tensor names are far shorter.
const MAX_NAME_BYTES: usize = 65535;
/// The least that a metadata entry takes: length and one byte of the key, type, one byte of the value.
const MIN_ENTRY_BYTES: usize = 8 + 1 + 4 + 1;
/// The least that a tensor takes: length and one byte of the name, number of dimensions, one dimension, type, offset.
const MIN_TENSOR_BYTES: usize = 8 + 1 + 4 + 8 + 4 + 8;

/// What a GGUF file holds and where.
#[derive(Debug)]
pub struct Directory {
    /// Version of the format: 2 or 3.
    pub version: u32,
    /// The tensors in the file's order, under the file's names.
    pub tensors: Vec<StoredTensor>,
    file: String,
    positions: BTreeMap<String, usize>,
}

impl Directory {
    /// Reads the directory of a whole file. `file` is its path, for messages.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Directory, CheckpointError> {
        let damaged =
            |place: Place| move |problem| CheckpointError::Damaged { file: file.to_owned(), place, problem };
        let mut cursor = Cursor::new(bytes);
        let version = read_version(file, &mut cursor)?;
        let (tensor_count, entry_count) = read_counts(&mut cursor).map_err(damaged(Place::Header))?;

        let mut positions = BTreeMap::new();
        for index in 0..entry_count {
            let key = read_name(&mut cursor)
                .map_err(|problem| damaged(Place::Header)(nth("key", index, problem)))?;
            let position = cursor.position();
            Value::check(&mut cursor).map_err(damaged(Place::key(key)))?;
            if positions.insert(key.to_owned(), position).is_some() {
                return Err(damaged(Place::key(key))("it stands twice in the metadata".to_owned()));
            }
        }
        let mut directory = Directory { version, tensors: Vec::new(), file: file.to_owned(), positions };

        let alignment = directory.alignment(bytes)?;
        let mut unplaced = Vec::new();
        for index in 0..tensor_count {
            unplaced.push(Unplaced::read(file, &mut cursor, index)?);
        }
        let place_error = |name: &str| damaged(Place::tensor(name));
        let data = DataSection { start: cursor.position(), alignment, file_len: bytes.len() };
        directory.tensors = place(unplaced, &data).map_err(|(name, problem)| place_error(&name)(problem))?;
        Ok(directory)
    }

    /// The metadata, in the bytes that this directory was parsed from.
    pub fn metadata<'a>(&'a self, bytes: &'a [u8]) -> Metadata<'a> {
        Metadata { file: &self.file, bytes, positions: &self.positions }
    }

    fn alignment(&self, bytes: &[u8]) -> Result<u64, CheckpointError> {
        let alignment = self.metadata(bytes).get::<u32>(ALIGNMENT_KEY)?.map_or(DEFAULT_ALIGNMENT, u64::from);
        if alignment.is_power_of_two() {
            return Ok(alignment);
        }
        Err(CheckpointError::Mismatch {
            file: self.file.clone(),
            place: Place::key(ALIGNMENT_KEY),
            found: alignment.to_string(),
            expected: "a power of two".to_owned(),
        })
    }
}

fn read_version(file: &str, cursor: &mut Cursor<'_>) -> Result<u32, CheckpointError> {
    let refused = |problem: String, remedy: &str| CheckpointError::NotACheckpoint {
        path: file.to_owned(),
        problem,
        remedy: remedy.to_owned(),
    };
    if cursor.take(MAGIC.len() as u64) != Ok(MAGIC) {
        let remedy = "give a .gguf file or the folder of a Hugging Face model";
        return Err(refused("the file does not begin with GGUF".to_owned(), remedy));
    }
    match cursor.u32() {
        Ok(version @ (2 | 3)) => Ok(version),
        Ok(swapped) if swapped & 0xffff == 0 && swapped != 0 => {
            let problem = format!("big-endian GGUF {} is not supported", swapped.swap_bytes());
            Err(refused(problem, "convert the model again, to little-endian GGUF 3"))
        }
        Ok(other) => {
            let problem = format!("GGUF version {other} is not supported (have 2 and 3)");
            Err(refused(problem, "convert the model again, to GGUF 3"))
        }
        Err(problem) => {
            Err(CheckpointError::Damaged { file: file.to_owned(), place: Place::Header, problem })
        }
    }
}

/// Numbers of tensors and of metadata entries, neither more than the file has room for.
fn read_counts(cursor: &mut Cursor<'_>) -> Parsed<(usize, usize)> {
    let tensors = cursor.u64()?;
    let entries = cursor.u64()?;
    let tensors = cursor.count(tensors, MIN_TENSOR_BYTES).map_err(|problem| format!("tensors: {problem}"))?;
    let entries = cursor.count(entries, MIN_ENTRY_BYTES).map_err(|problem| format!("metadata: {problem}"))?;
    Ok((tensors, entries))
}

fn read_name<'a>(cursor: &mut Cursor<'a>) -> Parsed<&'a str> {
    let bytes = cursor.string()?;
    if bytes.is_empty() || bytes.len() > MAX_NAME_BYTES {
        return Err(format!("it has {} bytes, expected 1 to {MAX_NAME_BYTES}", bytes.len()));
    }
    std::str::from_utf8(bytes)
        .map_err(|_| format!("{} is not valid UTF-8", quoted(&String::from_utf8_lossy(bytes))))
}

fn nth(kind: &str, index: usize, problem: String) -> String {
    format!("name of {kind} {index}: {problem}")
}

/// A tensor whose place in the file is not checked yet.
struct Unplaced {
    name: String,
    dtype: DType,
    shape: Vec<u64>,
    data_bytes: u64,
    /// From the start of the data section.
    offset: u64,
}

impl Unplaced {
    fn read(file: &str, cursor: &mut Cursor<'_>, index: usize) -> Result<Unplaced, CheckpointError> {
        let damaged =
            |place: Place| move |problem| CheckpointError::Damaged { file: file.to_owned(), place, problem };
        let name =
            read_name(cursor).map_err(|problem| damaged(Place::Header)(nth("tensor", index, problem)))?;
        let shape = read_shape(cursor).map_err(damaged(Place::tensor(name)))?;
        let ggml_type = cursor.u32().map_err(damaged(Place::tensor(name)))?;
        let offset = cursor.u64().map_err(damaged(Place::tensor(name)))?;
        let dtype = DType::from_ggml_type(ggml_type).ok_or_else(|| CheckpointError::Unsupported {
            file: file.to_owned(),
            place: Place::tensor(name),
            found: ggml_type_name(ggml_type),
            remedy: format!("have {}; requantise the model", known_types()),
        })?;
        let data_bytes = dtype
            .tensor_bytes(&shape)
            .map_err(|error| damaged(Place::tensor(name))(format!("shape {shape:?}: {error}")))?;
        Ok(Unplaced { name: name.to_owned(), dtype, shape, data_bytes, offset })
    }
}

/// Dimensions, turned round: GGUF writes the row length first.
fn read_shape(cursor: &mut Cursor<'_>) -> Parsed<Vec<u64>> {
    let dims = cursor.u32()?;
    if !(1..=MAX_DIMS).contains(&dims) {
        return Err(format!("it has {dims} dimensions, expected 1 to {MAX_DIMS}"));
    }
    let mut shape = (0..dims).map(|_| cursor.u64()).collect::<Parsed<Vec<u64>>>()?;
    shape.reverse();
    if shape.contains(&0) {
        return Err(format!("shape {shape:?} has no elements"));
    }
    Ok(shape)
}

fn known_types() -> String {
    DType::all().map(DType::name).collect::<Vec<_>>().join(", ")
}

/// Where tensor data may lie.
struct DataSection {
    /// End of the tensor list; the data begin at the next multiple of the alignment.
    start: usize,
    alignment: u64,
    file_len: usize,
}

impl DataSection {
    fn range(&self, tensor: &Unplaced) -> Parsed<Range<usize>> {
        let Unplaced { offset, data_bytes, .. } = tensor;
        if !offset.is_multiple_of(self.alignment) {
            return Err(format!("offset {offset} is no multiple of the alignment {}", self.alignment));
        }
        let start = (self.start as u64).checked_next_multiple_of(self.alignment);
        let start = start.and_then(|start| start.checked_add(*offset));
        let end = start.and_then(|start| start.checked_add(*data_bytes));
        match (start, end) {
            (Some(start), Some(end)) if end <= self.file_len as u64 => Ok(start as usize..end as usize),
            _ => Err(format!(
                "{data_bytes} bytes at offset {offset} of the data pass the end of the file, which has {} bytes",
                self.file_len
            )),
        }
    }
}

/// Gives each tensor its range in the file. Errs with a tensor's name and what is wrong with it.
fn place(unplaced: Vec<Unplaced>, data: &DataSection) -> Result<Vec<StoredTensor>, (String, String)> {
    let mut tensors = Vec::with_capacity(unplaced.len());
    for tensor in unplaced {
        match data.range(&tensor) {
            Ok(range) => {
                let Unplaced { name, dtype, shape, .. } = tensor;
                tensors.push(StoredTensor { name, dtype, shape, range });
            }
            Err(problem) => return Err((tensor.name, problem)),
        }
    }
    refuse_duplicates(&tensors)?;
    refuse_overlaps(&tensors)?;
    Ok(tensors)
}

fn refuse_duplicates(tensors: &[StoredTensor]) -> Result<(), (String, String)> {
    let mut names = HashSet::new();
    match tensors.iter().find(|tensor| !names.insert(tensor.name.as_str())) {
        Some(twice) => Err((twice.name.clone(), "it stands twice in the tensor list".to_owned())),
        None => Ok(()),
    }
}

fn refuse_overlaps(tensors: &[StoredTensor]) -> Result<(), (String, String)> {
    let mut ordered: Vec<&StoredTensor> = tensors.iter().collect();
    ordered.sort_by_key(|tensor| tensor.range.start);
    match ordered.windows(2).find(|pair| pair[1].range.start < pair[0].range.end) {
        Some(pair) => {
            Err((pair[1].name.clone(), format!("its data overlap those of tensor {}", quoted(&pair[0].name))))
        }
        None => Ok(()),
    }
}
