use super::*;
use crate::testing::Case;

fn check(n: u32, width: u32, lines: Lines, x_step: u32, original_step: Option<u32>) {
    let mut case = Case::new();
    let cells = (n * n) as usize;
    let x = case.floats(cells * x_step as usize);
    let original = original_step.map(|step| case.floats(cells * step as usize));
    let y = case.output(cells * 4);
    let smooth = BoxSmooth { n, width, lines, x_step, original_step: original_step.unwrap_or(1) };
    case.check(&dispatch(&smooth, Bindings { x, original, y }), 1e-6);
}

#[test]
fn odd_and_even_windows_along_both_lines() {
    check(16, 11, Lines::Rows, 1, None);
    check(30, 4, Lines::Columns, 1, None);
}

#[test]
fn real_parts_and_residuals() {
    check(16, 3, Lines::Rows, 2, None);
    check(32, 11, Lines::Columns, 1, Some(2));
}

#[test]
fn a_window_wider_than_the_field_and_one_of_a_cell() {
    check(16, 50, Lines::Columns, 1, None);
    check(16, 1, Lines::Rows, 1, Some(1));
}
