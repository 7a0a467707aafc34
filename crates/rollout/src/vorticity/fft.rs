//! Two-dimensional Fourier transforms in f64 (`rustfft`), unnormalised forward, 1/N² inverse, and the wavenumbers.

use rayon::prelude::*;
use rustfft::{Fft, FftPlanner};
use std::sync::Arc;

pub(super) type Complex = rustfft::num_complex::Complex<f64>;

/// Rows of fields of fewer values are transformed by one thread.
const PARALLEL_VALUES: usize = 1 << 14;

/// The transforms of fields of N × N.
pub(super) struct Fft2 {
    n: usize,
    forward: Arc<dyn Fft<f64>>,
    inverse: Arc<dyn Fft<f64>>,
}

impl Fft2 {
    pub(super) fn new(n: usize) -> Self {
        let mut planner = FftPlanner::new();
        Self { n, forward: planner.plan_fft_forward(n), inverse: planner.plan_fft_inverse(n) }
    }

    /// The spectrum of a real field.
    pub(super) fn forward(&self, field: &[f64]) -> Vec<Complex> {
        let mut values: Vec<_> = field.iter().map(|value| Complex::new(*value, 0.0)).collect();
        self.transform(&mut values, self.forward.as_ref());
        values
    }

    /// The complex field of a spectrum.
    pub(super) fn inverse(&self, mut spectrum: Vec<Complex>) -> Vec<Complex> {
        self.transform(&mut spectrum, self.inverse.as_ref());
        let scale = 1.0 / (self.n * self.n) as f64;
        spectrum.iter_mut().for_each(|value| *value *= scale);
        spectrum
    }

    /// The real part of the field of a spectrum.
    pub(super) fn inverse_real(&self, spectrum: Vec<Complex>) -> Vec<f64> {
        self.inverse(spectrum).into_iter().map(|value| value.re).collect()
    }

    /// The fields of two spectra of real fields, by one transform of a + ib.
    pub(super) fn inverse_pair(&self, spectra: impl Fn(usize) -> (Complex, Complex)) -> (Vec<f64>, Vec<f64>) {
        let packed = (0..self.n * self.n).map(|at| {
            let (a, b) = spectra(at);
            Complex::new(a.re - b.im, a.im + b.re)
        });
        self.inverse(packed.collect()).into_iter().map(|value| (value.re, value.im)).unzip()
    }

    fn transform(&self, values: &mut Vec<Complex>, fft: &dyn Fft<f64>) {
        for _ in 0..2 {
            if values.len() >= PARALLEL_VALUES {
                let scratch = || vec![Complex::default(); fft.get_inplace_scratch_len()];
                values
                    .par_chunks_mut(self.n)
                    .for_each_init(scratch, |scratch, row| fft.process_with_scratch(row, scratch));
            } else {
                fft.process(values);
            }
            *values = transposed(values, self.n);
        }
    }
}

fn transposed(values: &[Complex], n: usize) -> Vec<Complex> {
    // Tiles of 16 × 16 stay in the first cache.
    const TILE: usize = 16;
    let mut out = vec![Complex::default(); values.len()];
    for y0 in (0..n).step_by(TILE) {
        for x0 in (0..n).step_by(TILE) {
            for y in y0..(y0 + TILE).min(n) {
                for x in x0..(x0 + TILE).min(n) {
                    out[x * n + y] = values[y * n + x];
                }
            }
        }
    }
    out
}

/// The integer wavenumber of an index: 0, 1 … then from −N/2 up, NumPy's `fftfreq(N) · N`.
pub(super) fn wavenumber(index: usize, n: usize) -> f64 {
    if index < n.div_ceil(2) { index as f64 } else { index as f64 - n as f64 }
}

/// The wavenumber in a first derivative of a real field: that of the Nyquist mode gives an imaginary field, whose real part
/// is zero.
pub(super) fn derivative_wavenumber(index: usize, n: usize) -> f64 {
    if 2 * index == n { 0.0 } else { wavenumber(index, n) }
}
