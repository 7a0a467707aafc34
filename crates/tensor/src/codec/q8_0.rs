//! q8_0: blocks of 32 int8 with one f16 scale in front. value = scale × int8.

use super::assert_lengths;
use crate::DType;
use half::f16;

/// Elements in a q8_0 block.
pub const Q8_0_BLOCK_LEN: usize = 32;
/// Bytes in a q8_0 block: an f16 scale, then 32 int8.
pub const Q8_0_BLOCK_BYTES: usize = 34;

/// Expands q8_0 blocks.
///
/// # Panics
/// If `data` is not exactly the blocks of `out.len()` elements.
pub fn dequantise_q8_0(data: &[u8], out: &mut [f32]) {
    assert_lengths(DType::Q8_0, data.len(), out.len());
    let blocks = data.as_chunks::<Q8_0_BLOCK_BYTES>().0;
    for (block, values) in blocks.iter().zip(out.as_chunks_mut::<Q8_0_BLOCK_LEN>().0) {
        let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
        for (quant, value) in block[2..].iter().zip(values) {
            *value = f32::from(*quant as i8) * scale;
        }
    }
}

/// Rounds to q8_0 as ggml's reference does: scale = largest magnitude / 127, halves away from zero.
/// Values must be finite; a magnitude above 127 × 65504 overflows the f16 scale.
///
/// # Panics
/// If `out` is not exactly the blocks of `values.len()` elements.
pub fn quantise_q8_0(values: &[f32], out: &mut [u8]) {
    assert_lengths(DType::Q8_0, out.len(), values.len());
    let blocks = out.as_chunks_mut::<Q8_0_BLOCK_BYTES>().0;
    for (values, block) in values.as_chunks::<Q8_0_BLOCK_LEN>().0.iter().zip(blocks) {
        let largest = values.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
        let scale = largest / 127.0;
        let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
        block[..2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
        for (value, quant) in values.iter().zip(&mut block[2..]) {
            *quant = (value * inverse).round() as i8 as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_round_away_from_zero() {
        let mut values = [0.0; 32];
        values[..5].copy_from_slice(&[127.0, 0.5, -0.5, 2.5, -126.5]);
        let mut block = [0; 34];
        quantise_q8_0(&values, &mut block);
        assert_eq!(f16::from_le_bytes([block[0], block[1]]).to_f32(), 1.0);
        assert_eq!(block[2..7].iter().map(|quant| *quant as i8).collect::<Vec<_>>(), [127, 1, -1, 3, -127]);
    }

    #[test]
    fn a_block_of_zeros_stays_zero() {
        let mut block = [1; 34];
        quantise_q8_0(&[0.0; 32], &mut block);
        assert_eq!(block, [0; 34]);
    }

    #[test]
    fn error_is_at_most_half_a_step() {
        let values: Vec<f32> = (0..320).map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.013).collect();
        let (mut bytes, mut back) = (vec![0; 340], vec![f32::NAN; 320]);
        quantise_q8_0(&values, &mut bytes);
        dequantise_q8_0(&bytes, &mut back);
        for (value, back) in values.iter().zip(&back) {
            // Half a step of 0.65 / 127, and the f16 rounding of the scale.
            assert!((value - back).abs() <= 0.65 / 254.0 + 0.65 / 2048.0, "{value} became {back}");
        }
    }
}
