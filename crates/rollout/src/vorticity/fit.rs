//! The ridge fit of an operator: A = (XᵀX + λI)⁻¹ XᵀY in f64, by a Cholesky factorisation of its own: the matrix is small,
//! symmetric and positive definite, and a linear algebra library would be the largest dependency of the program.

use super::VorticityError;
use super::error::check_finite;
use rayon::prelude::*;

/// Rows of a product that one thread makes at a time, so that it reads the factors an eighth as often.
const ROWS: usize = 8;

/// Fits `z[t + 1] = z[t] · A` to a sequence of `frames` vectors, `z` of shape (frames, D); returns A of shape (D, D).
///
/// # Errors
/// Fewer than two vectors, a value that is not finite, a λ that is not positive, a matrix that is not positive definite
/// with it.
pub fn fit(z: &[f64], dimension: usize, ridge: f64) -> Result<Vec<f64>, VorticityError> {
    let frames = z.len().checked_div(dimension).unwrap_or(0);
    if frames < 2 {
        return Err(VorticityError::Invalid(format!("a fit needs two vectors or more, there are {frames}")));
    }
    if !(ridge.is_finite() && ridge > 0.0) {
        return Err(VorticityError::Invalid(format!("the ridge λ is {ridge}, expected above 0")));
    }
    check_finite("the sequence", z)?;
    let (x, y) = (&z[..(frames - 1) * dimension], &z[dimension..]);
    let mut gram = transposed_product(x, x, dimension);
    gram.iter_mut().step_by(dimension + 1).for_each(|diagonal| *diagonal += ridge);
    // (YᵀX)ᵀ = XᵀY: a row of this is a right-hand side, and becomes a column of A.
    let mut columns = transposed_product(y, x, dimension);
    let factor = cholesky(gram, dimension).ok_or_else(|| {
        VorticityError::Invalid(format!(
            "XᵀX + λI is not positive definite with λ = {ridge}; take a larger λ"
        ))
    })?;
    let upper = transposed(&factor, dimension);
    columns.par_chunks_mut(dimension).for_each(|column| solve(&factor, &upper, column));
    Ok(transposed(&columns, dimension))
}

/// aᵀ b of two matrices with rows of `dimension` values.
fn transposed_product(a: &[f64], b: &[f64], dimension: usize) -> Vec<f64> {
    let mut product = vec![0.0; dimension * dimension];
    product.par_chunks_mut(ROWS * dimension).enumerate().for_each(|(block, rows)| {
        for (a, b) in a.chunks_exact(dimension).zip(b.chunks_exact(dimension)) {
            for (row, a) in rows.chunks_exact_mut(dimension).zip(&a[block * ROWS..]) {
                row.iter_mut().zip(b).for_each(|(sum, b)| *sum += a * b);
            }
        }
    });
    product
}

/// The lower triangle L with L Lᵀ = `matrix`, zeros above; `None` if the matrix is not positive definite.
fn cholesky(mut matrix: Vec<f64>, dimension: usize) -> Option<Vec<f64>> {
    for j in 0..dimension {
        let (above, rest) = matrix.split_at_mut((j + 1) * dimension);
        let row = &mut above[j * dimension..];
        let pivot = row[j] - dot(&row[..j], &row[..j]);
        if !(pivot.is_finite() && pivot > 0.0) {
            return None;
        }
        row[j] = pivot.sqrt();
        row[j + 1..].fill(0.0);
        let row = &*row;
        let update = |below: &mut [f64]| below[j] = (below[j] - dot(&below[..j], &row[..j])) / row[j];
        rest.par_chunks_mut(dimension).with_min_len(32).for_each(update);
    }
    Some(matrix)
}

/// Solves L Lᵀ x = `b` in place.
fn solve(lower: &[f64], upper: &[f64], b: &mut [f64]) {
    let dimension = b.len();
    for i in 0..dimension {
        let row = &lower[i * dimension..][..dimension];
        b[i] = (b[i] - dot(&row[..i], &b[..i])) / row[i];
    }
    for i in (0..dimension).rev() {
        let row = &upper[i * dimension..][..dimension];
        b[i] = (b[i] - dot(&row[i + 1..], &b[i + 1..])) / row[i];
    }
}

/// A sum in eight parts, which the compiler can keep in one vector register.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a_parts, b_parts) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a_parts.remainder().iter().zip(b_parts.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_parts.zip(b_parts) {
        for i in 0..8 {
            sums[i] += a[i] * b[i];
        }
    }
    sums.iter().sum::<f64>() + rest
}

fn transposed(matrix: &[f64], dimension: usize) -> Vec<f64> {
    (0..dimension * dimension).map(|at| matrix[at % dimension * dimension + at / dimension]).collect()
}
