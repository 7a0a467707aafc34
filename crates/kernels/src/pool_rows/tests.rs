use super::*;
use crate::step::Row;
use crate::testing::Case;

fn check(cols: u32, rows: u32, active: u32, first_position: u32, pooling: Pooling) {
    let mut case = Case::new();
    let stride = cols.next_multiple_of(4);
    let row = |position| Row { token: 0, position, sequence: 0, wants_logits: 0 };
    let step_rows: Vec<Row> = (first_position..first_position + rows).map(row).collect();
    let bindings = Bindings {
        x: case.floats((rows * stride) as usize),
        row_count: case.words(&[active]),
        step_rows: case.values(&step_rows),
        // At the beginning of a text anything may stand there.
        y: if first_position == 0 { case.output(cols as usize * 4) } else { case.floats(cols as usize) },
    };
    case.check(&dispatch(&PoolRows { cols, stride, pooling }, rows, bindings), 1e-6);
}

#[test]
fn a_text_in_one_step() {
    check(5, 7, 6, 0, Pooling::Mean);
    check(130, 3, 3, 0, Pooling::Last);
}

#[test]
fn a_text_goes_on() {
    check(70, 4, 3, 64, Pooling::Mean);
    check(70, 4, 3, 64, Pooling::Last);
}

#[test]
fn no_rows_leave_everything_alone() {
    check(9, 2, 0, 0, Pooling::Mean);
}
