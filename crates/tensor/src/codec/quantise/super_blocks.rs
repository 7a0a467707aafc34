//! Super-blocks of 256 weights whose groups have quantised scales of their own.
//!
//! A group's scale (and minimum) is the best of a line of candidates around the one that spans its range: each candidate
//! rounds the weights, then weighted least squares give the scale that fits these quants best. Weights far from zero
//! count more: they meet the large activations' share of the error.

use super::{extreme, inverse};
use crate::codec::Group;
use half::f16;

/// The nearest whole number, ties to even, for |value| below 2^22: an addition that compiles to vectors.
#[inline(always)]
fn nearest(value: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0; // 1.5 · 2^23
    (value + SHIFT) - SHIFT
}

/// Scale and minimum ≥ 0 such that value ≈ scale · quant − minimum with quants 0 to 15.
fn scale_and_min(values: &[f32; 32]) -> (f32, f32) {
    let low = values.iter().fold(0.0, |low: f32, value| low.min(*value));
    let high = values.iter().fold(0.0, |high: f32, value| high.max(*value));
    if high == low {
        return (0.0, 0.0);
    }
    let rms = (values.iter().map(|value| value * value).sum::<f32>() / 32.0).sqrt();
    let importance = values.map(|value| rms + value.abs());
    let sum = |term: &dyn Fn(usize) -> f32| (0..32).map(term).sum::<f32>();
    let weight = sum(&|i| importance[i]);
    let value_sum = sum(&|i| importance[i] * values[i]);

    let fit = |step: i32| {
        let per_step = (15.0 + 0.1 * step as f32) / (high - low);
        let quants = values.map(|value| nearest((value - low) * per_step).clamp(0.0, 15.0));
        let [mut linear, mut square, mut product] = [0.0f32; 3];
        for i in 0..32 {
            linear += importance[i] * quants[i];
            square += importance[i] * quants[i] * quants[i];
            product += importance[i] * quants[i] * values[i];
        }
        let determinant = weight * square - linear * linear;
        let fitted_min = -(square * value_sum - linear * product) / determinant;
        let (scale, min) = match determinant > 0.0 {
            // One quant for all: any line through it fits.
            false => (1.0 / per_step, -low),
            true if fitted_min < 0.0 => (product * inverse(square), 0.0),
            true => ((weight * product - linear * value_sum) / determinant, fitted_min),
        };
        let mut error = 0.0f32;
        for i in 0..32 {
            let difference = scale * quants[i] - min - values[i];
            error += importance[i] * difference * difference;
        }
        (error, scale, min)
    };
    let best = (-10..=10).map(fit).min_by(|a, b| a.0.total_cmp(&b.0));
    best.map_or((0.0, 0.0), |(_, scale, min)| (scale.max(0.0), min))
}

/// Scale of either sign such that value ≈ scale · quant with quants −32 to 31.
fn symmetric_scale(values: &[f32; 16]) -> f32 {
    let extreme = extreme(values);
    if extreme == 0.0 {
        return 0.0;
    }
    let fit = |step: i32| {
        let per_step = -(32.0 + 0.1 * step as f32) / extreme;
        let [mut square, mut product] = [0.0f32; 2];
        for value in values {
            let quant = nearest(value * per_step).clamp(-32.0, 31.0);
            let importance = value * value;
            square += importance * quant * quant;
            product += importance * quant * value;
        }
        // What the error lacks of Σ importance · value².
        (product * product * inverse(square), product * inverse(square))
    };
    let best = (-9..=9).map(fit).max_by(|a, b| a.0.total_cmp(&b.0));
    best.map_or(0.0, |(_, scale)| scale)
}

/// The f16 of which 63 make the largest of `parts`, and how many of it each part is.
fn six_bits(parts: &[f32; 8]) -> (f16, [u8; 8]) {
    let unit = f16::from_f32(extreme(parts) / 63.0);
    let inverse = inverse(unit.to_f32());
    (unit, parts.map(|part| nearest((part * inverse).min(63.0)) as u8))
}

/// Eight scales and eight minima in 6 bits.
pub(super) fn q4_k(values: &[f32; 256]) -> [Group; 8] {
    let groups = values.as_chunks::<32>().0;
    let (mut scales, mut mins) = ([0.0; 8], [0.0; 8]);
    for (index, group) in groups.iter().enumerate() {
        (scales[index], mins[index]) = scale_and_min(group);
    }
    let ((scale, sub_scales), (min, sub_mins)) = (six_bits(&scales), six_bits(&mins));
    std::array::from_fn(|index| {
        let inverse = inverse(scale.to_f32() * f32::from(sub_scales[index]));
        let group_min = min.to_f32() * f32::from(sub_mins[index]);
        Group {
            quants: groups[index]
                .map(|value| nearest(((value + group_min) * inverse).clamp(0.0, 15.0)) as i8),
            scale,
            min,
            sub_scales: [sub_scales[index] as i8; 2],
            sub_mins: [sub_mins[index]; 2],
        }
    })
}

/// Sixteen scales in 8 bits.
pub(super) fn q6_k(values: &[f32; 256]) -> [Group; 8] {
    let mut scales = [0.0; 16];
    for (scale, values) in scales.iter_mut().zip(values.as_chunks::<16>().0) {
        *scale = symmetric_scale(values);
    }
    let unit = f16::from_f32(extreme(&scales) / -128.0);
    let per_unit = inverse(unit.to_f32());
    let sub_scales = scales.map(|scale| nearest((scale * per_unit).clamp(-128.0, 127.0)) as i8);
    let groups = values.as_chunks::<32>().0;
    std::array::from_fn(|index| {
        let sub_scales = [sub_scales[2 * index], sub_scales[2 * index + 1]];
        let per_step = sub_scales.map(|sub_scale| inverse(unit.to_f32() * f32::from(sub_scale)));
        let quant = |at: usize| nearest((groups[index][at] * per_step[at / 16]).clamp(-32.0, 31.0)) as i8;
        Group { sub_scales, ..Group::plain(std::array::from_fn(quant), unit, f16::ZERO) }
    })
}
