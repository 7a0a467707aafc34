use super::*;
use crate::step::{Row, SequenceParams};
use crate::testing::Case;

const CONTEXT: u32 = 600;

/// Rows of three sequences of which the first has no penalty; `windows` are those of the other two.
fn check(vocab: u32, stride: u32, positions: &[u32], windows: [u32; 2], in_use: u32) {
    let mut case = Case::new();
    let rows = positions.len() as u32;
    let sequence = |penalty, window| SequenceParams {
        repetition_penalty: penalty,
        penalty_window: window,
        ..SequenceParams::default()
    };
    // Few different tokens, some of them outside the vocabulary, so that many repeat.
    let random = case.random_bytes(3 * CONTEXT as usize);
    let history: Vec<u32> = random.iter().map(|byte| u32::from(*byte) * (vocab / 250 + 1)).collect();
    let step_rows: Vec<Row> = (0..rows)
        .rev()
        .map(|r| Row { token: 0, position: positions[r as usize], sequence: r % 3, wants_logits: 1 })
        .collect();
    let logit_rows: Vec<u32> = (0..rows).rev().collect();
    let bindings = Bindings {
        logit_count: case.words(&[in_use]),
        logit_rows: case.words(&logit_rows),
        step_rows: case.values(&step_rows),
        sequences: case.values(&[sequence(1.0, 0), sequence(1.3, windows[0]), sequence(0.7, windows[1])]),
        history: case.words(&history),
        logits: case.floats((rows * stride) as usize),
    };
    case.check(&dispatch(Params { vocab, stride, context: CONTEXT }, rows, bindings), 1e-7);
}

#[test]
fn small_vocabulary() {
    check(40, 41, &[0, 30, 7, 599, 599], [0, 0], 5);
}

#[test]
fn vocabulary_of_several_ranges() {
    check(40_000, 40_000, &[599, 500, 400], [0, 0], 3);
}

#[test]
fn windows_and_rows_without_logits() {
    check(300, 300, &[599, 500, 2, 3, 300, 20], [10, 1], 4);
}

#[test]
fn each_token_once_by_the_sign_of_its_logit() {
    let mut case = Case::new();
    let params = SequenceParams { repetition_penalty: 2.0, penalty_window: 3, ..SequenceParams::default() };
    let bindings = Bindings {
        logit_count: case.words(&[1]),
        logit_rows: case.words(&[0]),
        step_rows: case.words(&[1, 4, 0, 1]),
        sequences: case.values(&[params]),
        history: case.words(&[3, 3, 0, 1, 1]),
        logits: case.values(&[3.0f32, -3.0, 5.0, 7.0]),
    };
    let words = case
        .reference_words(&dispatch(Params { vocab: 4, stride: 4, context: 5 }, 1, bindings), bindings.logits);
    assert_eq!(bytemuck::cast_slice::<u32, f32>(&words), [1.5, -6.0, 5.0, 7.0]);
}
