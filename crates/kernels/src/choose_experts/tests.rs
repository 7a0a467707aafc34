use super::*;
use crate::testing::Case;

/// Compares the experts bit by bit and the weights within rounding.
fn check(experts: u32, slots: u32, rows: u32, active: u32, normalise: bool, logits: Option<&[f32]>) {
    let mut case = Case::new();
    let stride = experts.next_multiple_of(4);
    let choice = ChooseExperts { experts, slots, normalise, stride };
    let bindings = Bindings {
        logits: match logits {
            Some(values) => case.values(values),
            None => case.floats((rows * stride) as usize),
        },
        row_count: case.words(&[active]),
        experts: case.output((rows * slots) as usize * 4),
        weights: case.output((rows * slots) as usize * 4),
    };
    let call = dispatch(&choice, rows, bindings);
    if let Some(words) = case.device_words(&call, bindings.experts) {
        assert_eq!(words, case.reference_words(&call, bindings.experts));
    }
    case.check(&call, 1e-6);
}

#[test]
fn fewer_experts_than_a_subgroup() {
    check(3, 2, 5, 4, true, None);
    check(1, 1, 2, 2, false, None);
}

#[test]
fn more_experts_than_the_workgroup() {
    check(300, 8, 3, 3, true, None);
    check(128, 8, 4, 3, false, None);
}

#[test]
fn equal_logits_go_to_the_first_and_every_slot_has_one_expert() {
    check(6, 4, 1, 1, true, Some(&[1.0, 2.0, 2.0, 0.0, -0.0, 1.0, 0.0, 0.0]));
    check(4, 4, 1, 1, false, Some(&[f32::NEG_INFINITY, 3.0, 3.0, 3.0]));
}

#[test]
fn logits_that_are_no_numbers_still_choose_experts_that_exist() {
    let mut case = Case::new();
    let bindings = Bindings {
        logits: case.values(&[f32::NAN; 8]),
        row_count: case.words(&[1]),
        experts: case.output(12),
        weights: case.output(12),
    };
    let call = dispatch(&ChooseExperts { experts: 8, slots: 3, normalise: true, stride: 8 }, 1, bindings);
    assert_eq!(case.reference_words(&call, bindings.experts), [0, 1, 2]);
    assert!(case.device_words(&call, bindings.experts).is_none_or(|words| words == [0, 1, 2]));
}
