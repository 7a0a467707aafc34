//! f32, f16 and bf16: plain floats, two or four bytes each.

use super::assert_lengths;
use crate::DType;
use half::{bf16, f16};

/// Copies little-endian f32.
///
/// # Panics
/// If `data` is not `4 * out.len()` bytes long.
pub fn decode_f32(data: &[u8], out: &mut [f32]) {
    assert_lengths(DType::F32, data.len(), out.len());
    for (bytes, value) in data.as_chunks().0.iter().zip(out) {
        *value = f32::from_le_bytes(*bytes);
    }
}

/// Widens little-endian f16.
///
/// # Panics
/// If `data` is not `2 * out.len()` bytes long.
pub fn decode_f16(data: &[u8], out: &mut [f32]) {
    assert_lengths(DType::F16, data.len(), out.len());
    for (bytes, value) in data.as_chunks().0.iter().zip(out) {
        *value = f16::from_le_bytes(*bytes).to_f32();
    }
}

/// Widens little-endian bf16.
///
/// # Panics
/// If `data` is not `2 * out.len()` bytes long.
pub fn decode_bf16(data: &[u8], out: &mut [f32]) {
    assert_lengths(DType::BF16, data.len(), out.len());
    for (bytes, value) in data.as_chunks().0.iter().zip(out) {
        *value = f32_from_bf16(u16::from_le_bytes(*bytes));
    }
}

/// Rounds to the nearest f16, ties to even; what is beyond 65504 becomes infinite.
///
/// # Panics
/// If `out` is not `2 * values.len()` bytes long.
pub fn encode_f16(values: &[f32], out: &mut [u8]) {
    assert_lengths(DType::F16, out.len(), values.len());
    for (value, bytes) in values.iter().zip(out.as_chunks_mut().0) {
        *bytes = f16::from_f32(*value).to_le_bytes();
    }
}

/// Rounds to the nearest bf16, ties to even.
///
/// # Panics
/// If `out` is not `2 * values.len()` bytes long.
pub fn encode_bf16(values: &[f32], out: &mut [u8]) {
    assert_lengths(DType::BF16, out.len(), values.len());
    for (value, bytes) in values.iter().zip(out.as_chunks_mut().0) {
        *bytes = bf16_from_f32(*value).to_le_bytes();
    }
}

/// Bits of the nearest bf16, ties to even; a NaN stays a NaN.
pub fn bf16_from_f32(value: f32) -> u16 {
    bf16::from_f32(value).to_bits()
}

/// The value of bf16 bits: they are the upper half of an f32.
pub fn f32_from_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_ties_go_to_even() {
        assert_eq!(bf16_from_f32(f32::from_bits(0x3f80_8000)), 0x3f80);
        assert_eq!(bf16_from_f32(f32::from_bits(0x3f81_8000)), 0x3f82);
        assert_eq!(bf16_from_f32(f32::from_bits(0x3f80_8001)), 0x3f81);
        assert_eq!(bf16_from_f32(f32::MAX), 0x7f80, "rounds up to infinity");
    }

    #[test]
    fn bf16_nan_does_not_round_to_infinity() {
        let low_payload_nan = f32::from_bits(0x7f80_0001);
        assert!(f32_from_bf16(bf16_from_f32(low_payload_nan)).is_nan());
    }

    #[test]
    fn floats_survive_a_round_trip() {
        let values = [0.0, -0.0, 1.0, -2.5, 6.103_515_6e-5, 5.960_464_5e-8, 65504.0];
        let (mut bytes, mut back) = ([0; 14], [f32::NAN; 7]);
        encode_f16(&values, &mut bytes);
        decode_f16(&bytes, &mut back);
        assert_eq!(values.map(f32::to_bits), back.map(f32::to_bits));

        let values = [0.0, -0.0, 1.0, -2.5, 1e30f32, -9e-39, 0.333].map(|v| f32_from_bf16(bf16_from_f32(v)));
        encode_bf16(&values, &mut bytes);
        decode_bf16(&bytes, &mut back);
        assert_eq!(values.map(f32::to_bits), back.map(f32::to_bits));
    }

    #[test]
    #[should_panic(expected = "3 bytes of f16 do not hold 2 elements")]
    fn wrong_length_is_the_callers_mistake() {
        decode_f16(&[0; 3], &mut [0.0; 2]);
    }
}
