use super::*;
use crate::testing::Case;

fn check(rows: u32, active: u32, cols: u32, stride: u32) {
    let mut case = Case::new();
    let norm = RmsNorm { cols, stride, eps: 1e-6 };
    let x = case.floats((rows * stride) as usize);
    let weight = case.floats(cols as usize);
    let row_count = case.words(&[active]);
    let y = case.output((rows * stride) as usize * 4);
    case.check(&dispatch(&norm, rows, Bindings { x, weight, row_count, y }), 1e-6);
}

#[test]
fn row_shorter_than_a_subgroup() {
    check(2, 2, 5, 8);
}

#[test]
fn rows_without_a_token_stay_untouched() {
    check(4, 3, 96, 96);
}

#[test]
fn row_longer_than_the_workgroup() {
    check(3, 3, 5376, 5376);
}
