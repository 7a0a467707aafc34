//! f32 to the types that Resident writes. Values must be finite.
//!
//! - `blocks`: types whose blocks are 32 weights with one scale.
//! - `super_blocks`: q4_k and q6_k, where scales are searched for and quantised themselves.

mod blocks;
mod super_blocks;

use super::{Group, assert_lengths, encode_bf16, encode_f16, store};
use crate::DType;

/// A type that can be read but is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not written (have f32, f16, bf16, q8_0, q5_0, q4_0, q6_k, q4_k)")]
pub struct NoEncoder(pub DType);

/// Rounds `values` to whole blocks of `dtype`.
///
/// # Panics
/// If `out` is not exactly the blocks of `values.len()` elements.
pub fn encode(dtype: DType, values: &[f32], out: &mut [u8]) -> Result<(), NoEncoder> {
    assert_lengths(dtype, out.len(), values.len());
    match dtype {
        DType::F32 => {
            values.iter().zip(out.as_chunks_mut().0).for_each(|(value, bytes)| *bytes = value.to_le_bytes());
        }
        DType::F16 => encode_f16(values, out),
        DType::BF16 => encode_bf16(values, out),
        DType::Q8_0 => each_block(dtype, values, out, blocks::q8_0),
        DType::Q5_0 => each_block(dtype, values, out, blocks::q5_0),
        DType::Q4_0 => each_block(dtype, values, out, blocks::q4_0),
        DType::Q6K => each_block(dtype, values, out, super_blocks::q6_k),
        DType::Q4K => each_block(dtype, values, out, super_blocks::q4_k),
        DType::Q4_1 | DType::Q5_1 | DType::Q2K | DType::Q3K | DType::Q5K | DType::IQ4NL => {
            return Err(NoEncoder(dtype));
        }
    }
    Ok(())
}

fn each_block<const LEN: usize, const GROUPS: usize>(
    dtype: DType,
    values: &[f32],
    out: &mut [u8],
    encode: impl Fn(&[f32; LEN]) -> [Group; GROUPS],
) {
    let blocks = out.chunks_exact_mut(dtype.block_bytes());
    values.as_chunks::<LEN>().0.iter().zip(blocks).for_each(|(values, block)| {
        store(dtype, &encode(values), block);
    });
}

/// The value of largest magnitude, with its sign; 0 among zeros.
fn extreme(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |most: f32, value| if value.abs() > most.abs() { *value } else { most })
}

/// 1 / value, and 0 where that is beyond f32: of 0, and of scales so small that f16 rounds them to 0.
fn inverse(value: f32) -> f32 {
    let inverse = 1.0 / value;
    if inverse.is_finite() { inverse } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::decode;

    #[test]
    fn weights_too_small_for_any_scale_become_zeros() {
        for dtype in [DType::Q8_0, DType::Q5_0, DType::Q4_0, DType::Q6K, DType::Q4K] {
            for tiny in [f32::from_bits(1), 1e-42, 1e-40, 1e-38, 1e-20] {
                for signs in [[1.0, 1.0], [-1.0, 1.0], [1.0, 0.0], [0.0, -1.0]] {
                    let values: Vec<f32> = (0..256).map(|index| tiny * signs[index % 2]).collect();
                    let mut out = vec![0xff; 256 / dtype.block_len() * dtype.block_bytes()];
                    encode(dtype, &values, &mut out).unwrap();
                    let mut back = [f32::NAN; 256];
                    decode(dtype, &out, &mut back);
                    assert!(back.iter().all(|value| *value == 0.0), "{dtype}: {tiny:e} times {signs:?}");
                }
            }
        }
    }
}
