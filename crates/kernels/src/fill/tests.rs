use super::*;
use crate::testing::Case;

#[test]
fn every_word_and_no_other() {
    for quads in [1u64, 255, 256, 1025] {
        let mut case = Case::new();
        let whole = case.output(quads as usize * 16 + 64);
        case.check_bits(&dispatch(0xffff_ffff, whole.at(32, quads * 16)));
    }
}

#[test]
fn more_quads_than_invocations() {
    let mut case = Case::new();
    let quads = u64::from(GROUPS * LOCAL_SIZE) + 3;
    let values = case.output(quads as usize * 16);
    case.check_bits(&dispatch(7, values));
}
