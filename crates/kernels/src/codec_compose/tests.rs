use super::*;
use crate::testing::Case;

fn check(n: u32, without_anchors: u32, atoms: u32) {
    let cells = (n * n) as usize;
    let mut case = Case::new();
    let fields = case.floats(8 * cells);
    let signs: Vec<i32> = case.random_bytes(cells).iter().map(|b| i32::from(b % 3) - 1).collect();
    let signs = case.values(&signs);
    let gains = case.values(&[1.5f32, 0.25]);
    let options = case.values(&[ComposeOptions { without_anchors, atoms }]);
    // The last vortex is never asked for.
    let vortices = [(6.2, 0.1, 2.0, 8.0), (1.0, 3.0, -1.0, 0.5), (3.0, 3.0, 1e9, 0.1)];
    let vortices = vortices.map(|(x, y, height, falloff)| AtomWords { x, y, height, falloff });
    let atoms = case.values(&vortices);
    let decoded = case.output(4 * cells * 4);
    case.check(&dispatch(n, Bindings { fields, signs, gains, options, atoms, decoded }), 1e-6);
}

#[test]
fn with_and_without_anchors() {
    check(16, 0, 0);
    check(32, 1, 0);
}

#[test]
fn vortices_reach_over_the_border() {
    check(32, 0, 2);
    check(9, 1, 1);
}
