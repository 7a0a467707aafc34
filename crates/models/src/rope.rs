//! RoPE tables: the cosines and sines of every position and frequency, computed once on the host. Vulkan leaves the
//! precision of sine and cosine of large angles open, so no kernel computes them.

use crate::checkpoint::{Rope, RopeScaling};

/// The inverse frequency of each rotary pair, in f32 as the reference implementation rounds it:
/// theta^(−2i / rotary_dim), scaled as [`RopeScaling`] says, then divided by `factors` where the file stores some.
pub(crate) fn inverse_frequencies(rope: &Rope, rotary_dim: u32, factors: Option<&[f32]>) -> Vec<f32> {
    let pairs = rotary_dim / 2;
    let frequencies = (0..pairs).map(|pair| {
        let exponent = 2.0 * pair as f32 / rotary_dim as f32;
        let frequency = 1.0 / f64::from((rope.theta).powf(exponent.into()) as f32);
        let scaled = match rope.scaling {
            RopeScaling::None => frequency,
            RopeScaling::Linear { factor } => frequency / factor,
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings,
            } => {
                let context = f64::from(original_max_position_embeddings);
                let wavelength = 2.0 * std::f64::consts::PI / frequency;
                if wavelength < context / high_freq_factor {
                    frequency
                } else if wavelength > context / low_freq_factor {
                    frequency / factor
                } else {
                    let smooth =
                        (context / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
                    (1.0 - smooth) * frequency / factor + smooth * frequency
                }
            }
        };
        scaled as f32
    });
    match factors {
        None => frequencies.collect(),
        Some(factors) => frequencies.zip(factors).map(|(frequency, factor)| frequency / factor).collect(),
    }
}

/// Cosines and sines f32 (positions, frequencies) of angle position · frequency, the angle rounded to f32.
pub(crate) fn tables(frequencies: &[f32], positions: u32) -> [Vec<f32>; 2] {
    let angles = || (0..positions).flat_map(|p| frequencies.iter().map(move |f| f64::from(p as f32 * f)));
    [angles().map(|a| a.cos() as f32).collect(), angles().map(|a| a.sin() as f32).collect()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pair_reuses_its_neighbours_frequency() {
        let rope = Rope { theta: 1e6, scaling: RopeScaling::None };
        let [cos, _] = tables(&inverse_frequencies(&rope, 128, None), 2);
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
