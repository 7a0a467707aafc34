//! Blocks of 32 weights with an f16 scale in front, rounded as ggml's reference does.

use super::{extreme, inverse};
use crate::codec::Group;
use half::f16;

/// scale = largest magnitude / 127, halves away from zero. A magnitude above 127 × 65504 overflows the f16 scale.
pub(super) fn q8_0(values: &[f32; 32]) -> [Group; 1] {
    let scale = extreme(values).abs() / 127.0;
    let inverse = inverse(scale);
    group(scale, values.map(|value| (value * inverse).round() as i8))
}

/// scale = −extreme / 8, so that the extreme is −8 exactly; halves up.
pub(super) fn q4_0(values: &[f32; 32]) -> [Group; 1] {
    let scale = extreme(values) / -8.0;
    let inverse = inverse(scale);
    group(scale, values.map(|value| (value * inverse + 8.5).min(15.0) as i8 - 8))
}

/// scale = −extreme / 16, halves up.
pub(super) fn q5_0(values: &[f32; 32]) -> [Group; 1] {
    let scale = extreme(values) / -16.0;
    let inverse = inverse(scale);
    group(scale, values.map(|value| (value * inverse + 16.5).min(31.0) as i8 - 16))
}

fn group(scale: f32, quants: [i8; 32]) -> [Group; 1] {
    [Group::plain(quants, f16::from_f32(scale), f16::ZERO)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_q8_0_round_away_from_zero() {
        let mut values = [0.0; 32];
        values[..5].copy_from_slice(&[127.0, 0.5, -0.5, 2.5, -126.5]);
        let [group] = q8_0(&values);
        assert_eq!(group.scale.to_f32(), 1.0);
        assert_eq!(group.quants[..5], [127, 1, -1, 3, -127]);
    }

    #[test]
    fn the_extreme_of_q4_0_is_exact_and_halves_go_up() {
        let mut values = [0.0; 32];
        values[..5].copy_from_slice(&[-8.0, 7.0, 0.5, -0.5, 7.9]);
        let [group] = q4_0(&values);
        assert_eq!(group.scale.to_f32(), 1.0);
        assert_eq!(group.quants[..5], [-8, 7, 1, 0, 7]);
    }
}
