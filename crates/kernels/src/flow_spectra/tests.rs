use super::*;
use crate::testing::Case;

fn check(n: u32, with_strain: bool) {
    let mut case = Case::new();
    let cells = (n * n) as usize;
    let omega = case.floats(2 * cells);
    let spectra = case.output((3 + usize::from(with_strain)) * cells * 8);
    case.check(&dispatch(n, with_strain, Bindings { omega, spectra }), 1e-6);
}

#[test]
fn with_and_without_the_strain() {
    check(16, true);
    check(64, false);
}
