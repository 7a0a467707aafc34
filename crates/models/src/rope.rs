//! RoPE tables: the cosines and sines of every position and frequency, computed once on the host. Vulkan leaves the
//! precision of sine and cosine of large angles open, so no kernel computes them.

use crate::checkpoint::{Rope, RopeScaling};
use std::f64::consts::PI;

/// The inverse frequency of each rotary pair, in f32 as the reference implementation rounds it:
/// theta^(−2i / rotary_dim), scaled as [`RopeScaling`] says, then divided by `factors` where the file stores some.
pub(crate) fn inverse_frequencies(rope: &Rope, rotary_dim: u32, factors: Option<&[f32]>) -> Vec<f32> {
    let pairs = rotary_dim / 2;
    let frequencies = (0..pairs).map(|pair| {
        let exponent = 2.0 * pair as f32 / rotary_dim as f32;
        let frequency = 1.0 / f64::from((rope.theta).powf(exponent.into()) as f32);
        scaled(rope, rotary_dim, pair, frequency) as f32
    });
    match factors {
        None => frequencies.collect(),
        Some(factors) => frequencies.zip(factors).map(|(frequency, factor)| frequency / factor).collect(),
    }
}

fn scaled(rope: &Rope, rotary_dim: u32, pair: u32, frequency: f64) -> f64 {
    match &rope.scaling {
        RopeScaling::None => frequency,
        RopeScaling::Still => 0.0,
        RopeScaling::Linear { factor } => frequency / factor,
        RopeScaling::LongRope { short_factor, .. } => frequency / short_factor[pair as usize],
        RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings,
        } => {
            let context = f64::from(*original_max_position_embeddings);
            let wavelength = 2.0 * PI / frequency;
            if wavelength < context / high_freq_factor {
                frequency
            } else if wavelength > context / low_freq_factor {
                frequency / factor
            } else {
                let smooth = (context / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
                (1.0 - smooth) * frequency / factor + smooth * frequency
            }
        }
        RopeScaling::Yarn {
            factor,
            beta_fast,
            beta_slow,
            truncate,
            original_max_position_embeddings,
            ..
        } => {
            // The pair that turns so often within the original context.
            let pair_of = |turns: f64| {
                let context = f64::from(*original_max_position_embeddings);
                f64::from(rotary_dim) * (context / (turns * 2.0 * PI)).ln() / (2.0 * rope.theta.ln())
            };
            let (mut low, mut high) = (pair_of(*beta_fast), pair_of(*beta_slow));
            if *truncate {
                (low, high) = (low.floor(), high.ceil());
            }
            let (low, mut high) = (low.max(0.0), high.min(f64::from(rotary_dim) - 1.0));
            if low == high {
                high += 0.001;
            }
            let divided = ((f64::from(pair) - low) / (high - low)).clamp(0.0, 1.0);
            frequency / factor * divided + frequency * (1.0 - divided)
        }
    }
}

/// Bytes of one of the [`tables`].
pub(crate) fn table_bytes(rotary_dim: u32, positions: u32) -> u64 {
    u64::from(positions) * u64::from(rotary_dim / 2) * 4
}

/// Cosines and sines f32 (positions, pairs) of angle position · frequency, the angle rounded to f32, times the factor that
/// some scalings bring.
pub(crate) fn tables(rope: &Rope, rotary_dim: u32, factors: Option<&[f32]>, positions: u32) -> [Vec<f32>; 2] {
    let frequencies = inverse_frequencies(rope, rotary_dim, factors);
    let factor = match rope.scaling {
        RopeScaling::Yarn { attention_factor, .. } | RopeScaling::LongRope { attention_factor, .. } => {
            attention_factor as f32
        }
        _ => 1.0,
    };
    let angles = || (0..positions).flat_map(|p| frequencies.iter().map(move |f| f64::from(p as f32 * f)));
    [angles().map(|a| a.cos() as f32 * factor).collect(), angles().map(|a| a.sin() as f32 * factor).collect()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pair_reuses_its_neighbours_frequency() {
        let rope = Rope { theta: 1e6, scaling: RopeScaling::None };
        let [cos, _] = tables(&rope, 128, None, 2);
        for (pair, expected) in [0.5403, 0.6925, 0.7965].into_iter().enumerate() {
            assert!((cos[64 + pair] - expected).abs() < 1e-4, "pair {pair}: {}", cos[64 + pair]);
        }
    }

    #[test]
    fn llama3_scaling_keeps_high_and_divides_low_frequencies() {
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192,
        };
        let plain = inverse_frequencies(&Rope { theta: 500_000.0, scaling: RopeScaling::None }, 128, None);
        let scaled = inverse_frequencies(&Rope { theta: 500_000.0, scaling }, 128, None);
        assert_eq!(scaled[0], plain[0]);
        assert!((scaled[63] * 8.0 - plain[63]).abs() < 1e-12);
        assert!(scaled[31] < plain[31] && scaled[31] > plain[31] / 8.0);
    }
}
