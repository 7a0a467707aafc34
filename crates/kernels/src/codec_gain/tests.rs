use super::*;
use crate::testing::Case;

fn check(n: u32, header: [f32; 4], open: bool) {
    let cells = (n * n) as usize;
    let counts = BandCounts { low: 3, mid: 20, high: 40, anchors: 8 };
    let mut case = Case::new();
    let mut z = vec![0.5f32; counts.dimension() as usize];
    z[6..10].copy_from_slice(&header);
    let z = case.values(&z);
    let fields = case.floats(8 * cells);
    let signs: Vec<i32> = case.random_bytes(cells).iter().map(|b| i32::from(b % 3) - 1).collect();
    let signs = case.values(&signs.into_iter().map(|sign| if open { sign } else { 0 }).collect::<Vec<i32>>());
    let gains = case.output(8);
    case.check(&dispatch(n, &counts, Bindings { z, fields, signs, gains }), 1e-6);
}

#[test]
fn gains_of_small_and_large_fields() {
    check(16, [0.1, 0.5, 0.25, 8.0], true);
    check(128, [0.1, 0.5, 0.25, 2.6], true);
}

#[test]
fn nothing_is_scaled_without_energy_or_cells() {
    check(16, [0.1, -0.5, 0.0, 8.0], true);
    check(16, [0.1, 0.5, 0.25, 8.0], false);
}
