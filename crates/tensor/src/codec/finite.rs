//! Finds infinite and NaN weights by their exponent bits, at about the speed of memory.

use crate::DType;
use std::ops::BitAnd;

const F16_EXPONENT: u16 = 0x7c00;
const BF16_EXPONENT: u16 = 0x7f80;
const F32_EXPONENT: u32 = 0x7f80_0000;

/// Elements examined before looking at the outcome, so that the inner loop has no branch.
const STRIDE: usize = 2048;

/// Index of the first element that is infinite or NaN; for quantised types, of the first element of the first block
/// with such a scale. Bytes after the last whole block are not looked at.
pub fn first_non_finite(dtype: DType, data: &[u8]) -> Option<usize> {
    match dtype {
        DType::F32 => first(data.as_chunks().0, |bytes| has_all(u32::from_le_bytes(*bytes), F32_EXPONENT)),
        DType::F16 => first(data.as_chunks().0, |bytes| has_all(u16::from_le_bytes(*bytes), F16_EXPONENT)),
        DType::BF16 => first(data.as_chunks().0, |bytes| has_all(u16::from_le_bytes(*bytes), BF16_EXPONENT)),
        quantised => {
            let is_bad_scale = |bytes: &[u8]| has_all(u16::from_le_bytes([bytes[0], bytes[1]]), F16_EXPONENT);
            let scales = quantised.f16_scale_offsets();
            data.chunks_exact(quantised.block_bytes())
                .position(|block| scales.iter().any(|&at| is_bad_scale(&block[at..at + 2])))
                .map(|block| block * quantised.block_len())
        }
    }
}

fn has_all<T: BitAnd<Output = T> + PartialEq + Copy>(bits: T, mask: T) -> bool {
    bits & mask == mask
}

fn first<T>(elements: &[T], is_bad: impl Fn(&T) -> bool) -> Option<usize> {
    elements.chunks(STRIDE).enumerate().find_map(|(index, stride)| {
        let any = stride.iter().fold(false, |any, element| any | is_bad(element));
        any.then(|| stride.iter().position(&is_bad)).flatten().map(|at| index * STRIDE + at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{encode, encode_bf16, encode_f16};

    #[test]
    fn finds_the_first_bad_float_wherever_it_stands() {
        for len in [1, 2047, 2048, 2049, 5000] {
            for at in [0, len / 2, len - 1] {
                for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::from_bits(0xff80_0001)] {
                    let mut values = vec![-1.5f32; len];
                    let mut halves = vec![0; 2 * len];
                    assert_eq!(first_non_finite(DType::F32, bytemuck::cast_slice(&values)), None);
                    values[at..].fill(bad);
                    assert_eq!(first_non_finite(DType::F32, bytemuck::cast_slice(&values)), Some(at));
                    encode_f16(&values, &mut halves);
                    assert_eq!(first_non_finite(DType::F16, &halves), Some(at));
                    encode_bf16(&values, &mut halves);
                    assert_eq!(first_non_finite(DType::BF16, &halves), Some(at));
                }
            }
        }
    }

    #[test]
    fn the_largest_finite_values_pass() {
        let (mut halves, largest) = ([0; 4], [f32::MAX, -f32::MAX]);
        assert_eq!(first_non_finite(DType::F32, bytemuck::cast_slice(&largest)), None);
        encode_f16(&[65504.0, -65504.0], &mut halves);
        assert_eq!(first_non_finite(DType::F16, &halves), None);
    }

    #[test]
    fn finds_a_bad_scale_in_every_quantised_type() {
        for dtype in DType::all().filter(|dtype| dtype.is_quantised()) {
            for &scale in dtype.f16_scale_offsets() {
                let mut data = vec![0; 3 * dtype.block_bytes()];
                assert_eq!(first_non_finite(dtype, &data), None);
                let at = 2 * dtype.block_bytes() + scale;
                data[at..at + 2].copy_from_slice(&half::f16::NAN.to_le_bytes());
                assert_eq!(first_non_finite(dtype, &data), Some(2 * dtype.block_len()), "{dtype}");
            }
        }
    }

    #[test]
    fn quants_are_not_mistaken_for_scales() {
        let mut block = [0; 34];
        encode(DType::Q8_0, &[1.0; 32], &mut block).unwrap();
        block[2..].fill(0x7f);
        assert_eq!(first_non_finite(DType::Q8_0, &block), None);
    }
}
