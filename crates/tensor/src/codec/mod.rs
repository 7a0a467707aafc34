//! Weights to f32 and back. Bytes are little-endian and need no alignment: they come straight from a mapped file.

mod finite;
mod floats;
mod q8_0;

pub use finite::first_non_finite;
pub use floats::{
    bf16_from_f32, decode_bf16, decode_f16, decode_f32, encode_bf16, encode_f16, f32_from_bf16,
};
pub use q8_0::{Q8_0_BLOCK_BYTES, Q8_0_BLOCK_LEN, dequantise_q8_0, quantise_q8_0};

use crate::DType;

/// A type that can be named but not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no decoder for {0} (have f32, f16, bf16, q8_0)")]
pub struct NoDecoder(pub DType);

/// Decodes whole blocks of `dtype` from `data` into `out`.
///
/// # Panics
/// If `data` does not hold exactly `out.len()` elements in whole blocks.
pub fn decode(dtype: DType, data: &[u8], out: &mut [f32]) -> Result<(), NoDecoder> {
    match dtype {
        DType::F32 => decode_f32(data, out),
        DType::F16 => decode_f16(data, out),
        DType::BF16 => decode_bf16(data, out),
        DType::Q8_0 => dequantise_q8_0(data, out),
        other => return Err(NoDecoder(other)),
    }
    Ok(())
}

/// Checks the lengths that every codec here is given.
#[track_caller]
fn assert_lengths(dtype: DType, data_bytes: usize, elements: usize) {
    let expected = dtype.row_bytes(elements as u64);
    assert!(
        expected == Ok(data_bytes as u64),
        "{data_bytes} bytes of {dtype} do not hold {elements} elements"
    );
}
