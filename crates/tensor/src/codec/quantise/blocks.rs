//! Blocks of 32 weights with an f16 scale in front, rounded as ggml's reference does.

use super::{extreme, inverse};
use half::f16;

/// scale = largest magnitude / 127, halves away from zero. A magnitude above 127 × 65504 overflows the f16 scale.
pub(super) fn q8_0(values: &[f32; 32], block: &mut [u8; 34]) {
    let scale = extreme(values).abs() / 127.0;
    let inverse = inverse(scale);
    block[..2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
    for (value, quant) in values.iter().zip(&mut block[2..]) {
        *quant = (value * inverse).round() as i8 as u8;
    }
}

/// scale = −extreme / 8, so that the extreme is −8 exactly; halves up.
pub(super) fn q4_0(values: &[f32; 32], block: &mut [u8; 18]) {
    let scale = extreme(values) / -8.0;
    let inverse = inverse(scale);
    block[..2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
    let quant = |value: f32| (value * inverse + 8.5).min(15.0) as u8;
    for (index, byte) in block[2..].iter_mut().enumerate() {
        *byte = quant(values[index]) | quant(values[index + 16]) << 4;
    }
}

/// scale = −extreme / 16; the fifth bits stand in a word of their own.
pub(super) fn q5_0(values: &[f32; 32], block: &mut [u8; 22]) {
    let scale = extreme(values) / -16.0;
    let inverse = inverse(scale);
    block[..2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
    let quants = values.map(|value| (value * inverse + 16.5).min(31.0) as u8);
    let high = quants.iter().rev().fold(0u32, |bits, quant| bits << 1 | u32::from(quant >> 4));
    block[2..6].copy_from_slice(&high.to_le_bytes());
    for (index, byte) in block[6..].iter_mut().enumerate() {
        *byte = quants[index] & 15 | (quants[index + 16] & 15) << 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_q8_0_round_away_from_zero() {
        let mut values = [0.0; 32];
        values[..5].copy_from_slice(&[127.0, 0.5, -0.5, 2.5, -126.5]);
        let mut block = [0; 34];
        q8_0(&values, &mut block);
        assert_eq!(f16::from_le_bytes([block[0], block[1]]).to_f32(), 1.0);
        assert_eq!(block[2..7].iter().map(|quant| *quant as i8).collect::<Vec<_>>(), [127, 1, -1, 3, -127]);
    }

    #[test]
    fn the_extreme_of_q4_0_is_exact_and_halves_go_up() {
        let mut values = [0.0; 32];
        values[..5].copy_from_slice(&[-8.0, 7.0, 0.5, -0.5, 7.9]);
        let mut block = [0; 18];
        q4_0(&values, &mut block);
        assert_eq!(f16::from_le_bytes([block[0], block[1]]).to_f32(), 1.0);
        assert_eq!(
            block[2..7].iter().map(|byte| (byte & 15) as i8 - 8).collect::<Vec<_>>(),
            [-8, 7, 1, 0, 7]
        );
    }
}
