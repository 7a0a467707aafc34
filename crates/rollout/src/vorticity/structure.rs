//! The ternary structure of a field: what is left of it after smoothing, in three levels, after majority votes.

/// Passes of the vote at most.
pub(super) const MAJORITY_PASSES: usize = 8;

/// Box filter of `width` cells along the rows, then the columns: zeros beyond the border, always divided by `width`, the
/// window [i − ⌊width/2⌋, i − ⌊width/2⌋ + width). A width of 0 or 1 changes nothing.
pub(super) fn smooth(field: &[f64], n: usize, width: usize) -> Vec<f64> {
    if width <= 1 {
        return field.to_vec();
    }
    let along = |from: &[f64], to: &mut [f64], line: usize, step: usize| {
        for i in 0..n {
            let first = i as isize - (width / 2) as isize;
            let window = first.max(0) as usize..((first + width as isize).max(0) as usize).min(n);
            let sum: f64 = window.map(|j| from[line + j * step]).sum();
            to[line + i * step] = sum / width as f64;
        }
    };
    let (mut rows, mut both) = (vec![0.0; n * n], vec![0.0; n * n]);
    (0..n).for_each(|y| along(field, &mut rows, y * n, 1));
    (0..n).for_each(|x| along(&rows, &mut both, x, n));
    both
}

/// Where the saturated ternary of `residual` is not 0: its scaled values against `tau`, then 3×3 majority votes with
/// periodic neighbours until nothing changes, at most eight.
pub(super) fn support(residual: &[f64], n: usize, tau: f64) -> Vec<bool> {
    let largest = residual.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    let ternary = |value: &f64| {
        let scaled = (value / (largest + 1e-12)).clamp(-1.0, 1.0);
        i8::from(scaled >= tau) - i8::from(scaled <= -tau)
    };
    let mut signs: Vec<i8> = residual.iter().map(ternary).collect();
    for _ in 0..MAJORITY_PASSES {
        let voted = majority(&signs, n);
        if voted == signs {
            break;
        }
        signs = voted;
    }
    signs.into_iter().map(|sign| sign != 0).collect()
}

fn majority(signs: &[i8], n: usize) -> Vec<i8> {
    let around = |i: usize| [(i + n - 1) % n, i, (i + 1) % n];
    let vote = |at: usize| {
        let rows = around(at / n);
        let sum: i8 = rows.iter().flat_map(|y| around(at % n).map(|x| signs[y * n + x])).sum();
        sum.signum()
    };
    (0..n * n).map(vote).collect()
}
