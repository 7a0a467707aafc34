use super::*;
use crate::testing::Case;

fn check(rows: u32, wanted: &[u32], cols: u32, x_stride: u32, y_stride: u32) {
    let mut case = Case::new();
    let mut logit_rows = wanted.to_vec();
    logit_rows.resize(rows as usize, 0);
    let bindings = Bindings {
        x: case.floats((rows * x_stride) as usize),
        logit_count: case.words(&[wanted.len() as u32]),
        logit_rows: case.words(&logit_rows),
        y: case.output((rows * y_stride) as usize * 4),
    };
    case.check_bits(&dispatch(&GatherRows { cols, x_stride, y_stride }, rows, bindings));
}

#[test]
fn one_row() {
    check(1, &[0], 5, 8, 5);
}

#[test]
fn last_rows_of_several_sequences() {
    check(7, &[1, 2, 6], 700, 704, 701);
}

#[test]
fn no_row_wanted() {
    check(3, &[], 64, 64, 64);
}
