//! Weights to f32 and back. Bytes are little-endian and need no alignment: they come straight from a mapped file.

mod finite;
mod floats;
mod groups;
mod quantise;
mod store;

pub use finite::first_non_finite;
pub use floats::{
    bf16_from_f32, decode_bf16, decode_f16, decode_f32, encode_bf16, encode_f16, f32_from_bf16,
};
pub use groups::{GROUP, Group, IQ4_NL_VALUES, group};
pub use quantise::{NoEncoder, encode};
pub use store::store;

use crate::DType;

/// Decodes whole blocks of `dtype` from `data` into `out`.
///
/// # Panics
/// If `data` does not hold exactly `out.len()` elements in whole blocks.
pub fn decode(dtype: DType, data: &[u8], out: &mut [f32]) {
    match dtype {
        DType::F32 => decode_f32(data, out),
        DType::F16 => decode_f16(data, out),
        DType::BF16 => decode_bf16(data, out),
        quantised => groups::dequantise(quantised, data, out),
    }
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
