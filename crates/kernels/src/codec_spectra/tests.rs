use super::*;
use crate::codec::testing::places;
use crate::testing::Case;

/// `header`: support, E_mid, E_high, K.
fn check(n: u32, low: u32, mid: u32, anchors: u32, header: [f32; 4]) {
    let cells = (n * n) as usize;
    let counts = BandCounts { low, mid, high: n * n - low - mid, anchors };
    let mut case = Case::new();
    let mut z: Vec<f32> = (0..counts.dimension()).map(|i| (i as f32).sin()).collect();
    z[2 * low as usize..][..4].copy_from_slice(&header);
    let z = case.values(&z);
    let places = case.values(&places(&counts));
    let jumps = case.values(&super::jumps(n));
    let generator: Vec<u8> = case.random_bytes(32);
    let generator = case.values(&generator);
    let spectra = case.output(4 * cells * 8);
    case.check(&dispatch(n, &counts, Bindings { z, places, jumps, generator, spectra }), 3e-7);
}

#[test]
fn all_bands() {
    check(16, 37, 60, 20, [0.3, 0.5, 0.25, 20.0]);
    check(64, 197, 244, 128, [0.3, 0.5, 0.25, 128.0]);
}

#[test]
fn k_that_drifted_frees_anchors_and_is_clamped() {
    check(16, 37, 60, 20, [0.3, 0.5, 0.25, 11.5]);
    check(16, 37, 60, 20, [0.3, 0.5, 0.25, -3.0]);
    check(16, 37, 60, 20, [0.3, 0.5, 0.25, 1e30]);
}

#[test]
fn a_band_without_energy_or_modes_draws_no_numbers() {
    check(16, 37, 60, 20, [0.3, 0.0, 0.25, 20.0]);
    check(16, 37, 60, 20, [0.3, 0.5, -1.0, 20.0]);
    check(16, 37, 20, 20, [0.3, 0.5, 0.25, 20.0]);
    check(16, 200, 56, 0, [0.3, 0.5, 0.25, 0.0]);
}
