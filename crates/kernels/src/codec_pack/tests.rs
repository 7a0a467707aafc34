use super::*;
use crate::codec::testing::places;
use crate::testing::Case;

fn check(n: u32, low: u32, mid: u32, anchors: u32) {
    let cells = (n * n) as usize;
    let counts = BandCounts { low, mid, high: n * n - low - mid, anchors };
    let mut case = Case::new();
    let omega = case.floats(2 * cells);
    let residual = case.floats(2 * cells);
    let signs: Vec<i32> = case.random_bytes(cells).iter().map(|b| i32::from(b % 3) - 1).collect();
    let signs = case.values(&signs);
    let places = case.values(&places(&counts));
    let z = case.output(counts.dimension() as usize * 4);
    case.check(&dispatch(n, &counts, Bindings { omega, residual, signs, places, z }), 1e-6);
}

#[test]
fn all_bands() {
    check(16, 37, 60, 20);
    check(64, 197, 244, 128);
}

#[test]
fn bands_without_modes() {
    check(16, 256, 0, 0);
    check(16, 100, 156, 156);
    check(16, 0, 10, 0);
}
