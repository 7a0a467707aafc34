use super::*;
use crate::testing::Case;

#[test]
fn thresholds_take_their_own_value() {
    let mut case = Case::new();
    // Eighths divide exactly, so the borders are hit; −0.375 and 0.375 count.
    let values: Vec<f32> = (-8..=8).map(|i| i as f32 / 8.0).collect();
    let x = case.values(&values);
    let largest = case.values(&[1.0f32]);
    let signs = case.output(17 * 4);
    let call = threshold::dispatch(17, 0.375, threshold::Bindings { x, largest, signs });
    case.check_bits(&call);
    let found = case.reference_words(&call, signs);
    assert_eq!(found.iter().map(|word| *word as i32).collect::<Vec<_>>(), {
        let mut levels = vec![-1; 6];
        levels.extend([0; 5]);
        levels.extend([1; 6]);
        levels
    });
}

#[test]
fn a_field_without_values_has_no_levels() {
    let mut case = Case::new();
    let x = case.values(&[0.0f32; 300]);
    let largest = case.values(&[0.0f32]);
    let signs = case.output(1200);
    case.check_bits(&threshold::dispatch(300, 0.35, threshold::Bindings { x, largest, signs }));
}

fn check_vote(n: u32) {
    let mut case = Case::new();
    let levels: Vec<i32> = case.random_bytes((n * n) as usize).iter().map(|b| i32::from(b % 3) - 1).collect();
    let signs = case.values(&levels);
    let voted = case.output(levels.len() * 4);
    case.check_bits(&vote::dispatch(n, vote::Bindings { signs, voted }));
}

#[test]
fn votes_wrap_around() {
    check_vote(16);
    check_vote(64);
    check_vote(9);
}
