use super::*;
use crate::testing::Case;

const STEP: Step = Step { cells: 0, dt: 0.1, nu0: 0.01, length_square: 0.02 };

fn check(cells: u32) {
    let step = Step { cells, ..STEP };
    let count = cells as usize;
    let mut case = Case::new();
    let (omega, fields) = (case.floats(count), case.floats(8 * count));
    let [viscosity, tendency, ahead] = [0; 3].map(|_| case.output(4 * count));
    case.check(
        &predict::dispatch(&step, predict::Bindings { omega, fields, viscosity, tendency, ahead }),
        1e-6,
    );

    let mut case = Case::new();
    let fields = case.floats(6 * count);
    let [viscosity, tendency, omega] = [0; 3].map(|_| case.floats(count));
    case.check(&correct::dispatch(&step, correct::Bindings { fields, viscosity, tendency, omega }), 1e-6);
}

#[test]
fn cells_that_fill_workgroups_and_that_do_not() {
    check(5);
    check(1024);
    check(1000);
}
