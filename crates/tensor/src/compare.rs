//! How far a result is from its reference. Sums are f64; a NaN or an infinity on either side is infinitely far,
//! so no tolerance lets it pass.

use std::fmt;

/// Distance between a result and its reference, element by element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// Largest |result − reference|.
    pub max_abs: f64,
    /// Index of that element; of the first one that is not finite, if there is any.
    pub worst_index: usize,
    /// Root of the mean square of result − reference.
    pub rms: f64,
    /// ‖result − reference‖ / ‖reference‖; 0 for equal zeros, infinite for a result beside a reference of zeros.
    pub relative_l2: f64,
}

/// Compares a result with its reference.
///
/// # Panics
/// If the lengths differ.
pub fn compare(result: &[f32], reference: &[f32]) -> Difference {
    assert_eq!(result.len(), reference.len(), "result and reference differ in length");
    let (mut max_abs, mut worst_index) = (0.0, 0);
    let (mut error_squares, mut reference_squares) = (0.0, 0.0);
    for (index, (&result, &reference)) in result.iter().zip(reference).enumerate() {
        if !(result.is_finite() && reference.is_finite()) {
            let far = f64::INFINITY;
            return Difference { max_abs: far, worst_index: index, rms: far, relative_l2: far };
        }
        let error = (f64::from(result) - f64::from(reference)).abs();
        if error > max_abs {
            (max_abs, worst_index) = (error, index);
        }
        error_squares += error * error;
        reference_squares += f64::from(reference) * f64::from(reference);
    }
    let rms = (error_squares / result.len().max(1) as f64).sqrt();
    let relative_l2 = if error_squares == 0.0 { 0.0 } else { (error_squares / reference_squares).sqrt() };
    Difference { max_abs, worst_index, rms, relative_l2 }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { max_abs, worst_index, rms, relative_l2 } = self;
        write!(f, "max |Δ| {max_abs:.3e} at element {worst_index}, rms {rms:.3e}, relative {relative_l2:.3e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_by_hand() {
        let difference = compare(&[3.0, 4.0, 1.0, 0.0], &[3.0, 0.0, 4.0, 0.0]);
        assert_eq!(difference.max_abs, 4.0);
        assert_eq!(difference.worst_index, 1);
        assert_eq!(difference.rms, 2.5);
        assert_eq!(difference.relative_l2, 1.0);
    }

    #[test]
    fn equal_is_zero_even_for_zeros_and_nothing() {
        for values in [&[][..], &[0.0, 0.0], &[1.0, f32::MAX]] {
            let difference = compare(values, values);
            assert_eq!((difference.max_abs, difference.rms, difference.relative_l2), (0.0, 0.0, 0.0));
        }
    }

    #[test]
    fn anything_beside_zeros_is_infinitely_far() {
        assert_eq!(compare(&[1e-30], &[0.0]).relative_l2, f64::INFINITY);
    }

    #[test]
    fn what_is_not_finite_never_passes() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for (result, reference) in
                [([1.0, bad], [1.0, 1.0]), ([1.0, 1.0], [1.0, bad]), ([1.0, bad], [1.0, bad])]
            {
                let difference = compare(&result, &reference);
                assert!(
                    difference.max_abs > 1e300 && difference.rms > 1e300 && difference.relative_l2 > 1e300
                );
                assert_eq!(difference.worst_index, 1);
            }
        }
    }

    #[test]
    fn small_errors_do_not_vanish_in_large_sums() {
        let reference = vec![1e4f32; 1 << 16];
        let result = vec![1e4f32 + 1e-2; 1 << 16];
        let difference = compare(&result, &reference);
        assert!((difference.rms - difference.max_abs).abs() < 1e-9, "{difference}");
    }
}
