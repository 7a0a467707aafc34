use super::*;
use crate::testing::Case;

fn check(rows: u32, active: u32, cols: u32, stride: u32, adds: bool, handed_over: bool) {
    let mut case = Case::new();
    let handover = Handover { polls: handed_over, publishes: handed_over };
    let norm = RmsNorm { cols, stride, eps: 1e-6, handover };
    let values = (rows * stride) as usize;
    let bindings = Bindings {
        x: case.floats(values),
        weight: case.floats(cols as usize),
        row_count: case.words(&[active]),
        residual: adds.then(|| case.floats(values)),
        y: case.output(values * 4),
    };
    case.check(&dispatch(&norm, rows, bindings), 1e-6);
}

#[test]
fn row_shorter_than_a_subgroup() {
    check(2, 2, 5, 8, false, false);
}

#[test]
fn rows_without_a_token_stay_untouched() {
    check(4, 3, 96, 96, false, false);
}

#[test]
fn row_longer_than_the_workgroup() {
    check(3, 3, 5376, 5376, false, false);
}

#[test]
fn added_to_the_residual_stream() {
    check(4, 3, 301, 304, true, false);
}

#[test]
fn handed_over() {
    check(2, 2, 1100, 1104, true, true);
    check(1, 1, 5, 8, true, true);
}
