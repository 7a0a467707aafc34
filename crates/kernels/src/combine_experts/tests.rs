use super::*;
use crate::testing::Case;

fn check(cols: u32, slots: u32, rows: u32, active: u32) {
    let mut case = Case::new();
    let (x_stride, y_stride) = (cols + 4, cols + 1);
    let bindings = Bindings {
        x: case.floats((rows * slots * x_stride) as usize),
        weights: case.floats((rows * slots) as usize),
        row_count: case.words(&[active]),
        residual: case.floats((rows * y_stride) as usize),
        y: case.output((rows * y_stride) as usize * 4),
    };
    case.check(&dispatch(&CombineExperts { cols, slots, x_stride, y_stride }, rows, bindings), 1e-6);
}

#[test]
fn row_shorter_than_a_subgroup() {
    check(3, 2, 2, 2);
}

#[test]
fn several_workgroups_and_rows_out_of_use() {
    check(200, 8, 5, 4);
}
