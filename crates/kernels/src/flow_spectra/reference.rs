//! The plain reference of `flow_spectra`.

use crate::{Dispatch, HostMemory};

/// The wavenumber of an index in NumPy's order.
fn wavenumber(index: usize, n: usize) -> f64 {
    if index < n / 2 { index as f64 } else { index as f64 - n as f64 }
}

pub(super) fn run(dispatch: &Dispatch, memory: &HostMemory) {
    let (n, with_strain) = (dispatch.specialization[1] as usize, dispatch.specialization[2] == 1);
    let omega = memory.read::<[f32; 2]>(dispatch.slice("omega"));
    let mut spectra = memory.write::<[f32; 2]>(dispatch.slice("spectra"));
    for (at, w) in omega.iter().enumerate() {
        let (kx, ky) = (wavenumber(at % n, n), wavenumber(at / n, n));
        let square = if at == 0 { 1.0 } else { kx * kx + ky * ky };
        let derivative = |index, k| if index == n / 2 { 0.0 } else { k };
        let (kx, ky) = (derivative(at % n, kx), derivative(at / n, ky));
        let w = w.map(f64::from);
        let psi = if at == 0 { [0.0; 2] } else { w.map(|part| part / square) };
        // a + ib with a = p·value and b = q·value of real p, q, or of imaginary ones.
        let real = |p: f64, q: f64, v: [f64; 2]| [p * v[0] - q * v[1], p * v[1] + q * v[0]];
        let imaginary = |p: f64, q: f64, v: [f64; 2]| [-p * v[1] - q * v[0], p * v[0] - q * v[1]];
        let mut put = |field: usize, value: [f64; 2]| spectra[field * n * n + at] = value.map(|v| v as f32);
        put(0, imaginary(ky, -kx, psi));
        put(1, imaginary(kx, ky, w));
        put(2, real(-square, 0.0, w));
        if with_strain {
            put(3, real(-kx * ky, (kx * kx - ky * ky) / 2.0, psi));
        }
    }
}
