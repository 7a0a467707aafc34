//! The tensor list of one safetensors file: a length, that many bytes of JSON, then the data without gaps.

use crate::checkpoint::error::{CheckpointError, Place};
use crate::checkpoint::json_file::{self, UniqueMap};
use crate::checkpoint::tensors::StoredTensor;
use resident_tensor::DType;
use safetensors::Dtype;
use safetensors::tensor::Metadata;
use serde::de::IgnoredAny;

/// The format's own limit on its header.
const MAX_HEADER_BYTES: u64 = 100_000_000;
const LENGTH_BYTES: usize = 8;

/// Reads the tensor list of a whole file. `file` is its path, for messages.
pub(super) fn parse(file: &str, bytes: &[u8]) -> Result<Vec<StoredTensor>, CheckpointError> {
    let damaged = |problem| CheckpointError::Damaged { file: file.to_owned(), place: Place::Header, problem };
    let (header, data_start) = split_header(bytes).map_err(damaged)?;
    // The library keeps the last of two equal names.
    json_file::parse::<UniqueMap<IgnoredAny>>(file, header)?;
    // It checks here that the tensors fill the data one after another, each with the bytes of its type and shape.
    let metadata: Metadata = json_file::parse(file, header)?;
    let data_bytes = bytes.len() - data_start;
    if metadata.data_len() != data_bytes {
        let announced = metadata.data_len();
        return Err(damaged(format!("it announces {announced} bytes of data and the file has {data_bytes}")));
    }

    let mut tensors = Vec::new();
    for (name, info) in metadata.tensors() {
        let dtype = dtype(info.dtype).ok_or_else(|| CheckpointError::Unsupported {
            file: file.to_owned(),
            place: Place::tensor(&name),
            found: info.dtype.to_string(),
            remedy: "have F32, F16 and BF16 in safetensors, and quantised types in GGUF".to_owned(),
        })?;
        let shape = info.shape.iter().map(|dim| *dim as u64).collect();
        let (start, end) = info.data_offsets;
        tensors.push(StoredTensor { name, dtype, shape, range: data_start + start..data_start + end });
    }
    tensors.sort_by_key(|tensor| tensor.range.start);
    Ok(tensors)
}

/// The header's JSON and where the data begin.
fn split_header(bytes: &[u8]) -> Result<(&[u8], usize), String> {
    let (length, rest) = bytes
        .split_first_chunk::<LENGTH_BYTES>()
        .ok_or_else(|| format!("the file has {} bytes, fewer than the length of its header", bytes.len()))?;
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER_BYTES {
        return Err(format!("a header of {length} bytes is announced, expected at most {MAX_HEADER_BYTES}"));
    }
    let header = rest.get(..length as usize).ok_or_else(|| {
        format!("a header of {length} bytes is announced and {} bytes are left", rest.len())
    })?;
    Ok((header, LENGTH_BYTES + header.len()))
}

fn dtype(stored: Dtype) -> Option<DType> {
    match stored {
        Dtype::F32 => Some(DType::F32),
        Dtype::F16 => Some(DType::F16),
        Dtype::BF16 => Some(DType::BF16),
        _ => None,
    }
}
