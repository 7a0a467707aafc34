use super::*;
use crate::linear::testing::{LinearCase, check, whole_blocks};
use crate::linear::{Epilogue, Experts};
use proptest::prelude::*;
use resident_tensor::DType;

#[test]
fn every_type_over_several_tiles() {
    for dtype in DType::all() {
        let cols = whole_blocks(dtype, 96);
        check(dispatch, LinearCase { dtype, rows: 130, cols, tokens: 70, ..LinearCase::default() });
    }
}

#[test]
fn one_token_and_one_feature() {
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        check(dispatch, LinearCase { dtype, rows: 1, cols: 5, tokens: 1, ..LinearCase::default() });
    }
}

#[test]
fn residual_and_gate() {
    for epilogue in [Epilogue::Add, Epilogue::SiluGated] {
        check(dispatch, LinearCase { rows: 66, cols: 172, tokens: 65, epilogue, ..LinearCase::default() });
    }
}

#[test]
fn bias_and_the_other_epilogues() {
    for epilogue in [Epilogue::Add, Epilogue::GeluGated, Epilogue::SoftCap(2.5)] {
        check(
            dispatch,
            LinearCase { rows: 66, cols: 40, tokens: 9, epilogue, bias: true, ..LinearCase::default() },
        );
    }
}

#[test]
fn experts() {
    let experts = Some(Experts { first: 1, count: 3, slots: 2, shared_x: false });
    for dtype in [DType::F32, DType::BF16, DType::Q8_0, DType::Q5K] {
        let layer = LinearCase { dtype, rows: 70, cols: whole_blocks(dtype, 64), ..LinearCase::default() };
        check(dispatch, LinearCase { tokens: 200, active: 190, experts, ..layer });
    }
}

#[test]
fn experts_that_share_x_with_bias_and_gate() {
    let experts = Some(Experts { first: 0, count: 9, slots: 4, shared_x: true });
    let layer = LinearCase { rows: 18, cols: 96, tokens: 5, bias: true, experts, ..LinearCase::default() };
    check(dispatch, LinearCase { epilogue: Epilogue::SiluGated, ..layer });
}

#[test]
fn token_rows_out_of_use_stay_untouched() {
    check(dispatch, LinearCase { rows: 9, cols: 64, tokens: 130, active: 67, ..LinearCase::default() });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]
    #[test]
    fn any_shape(rows in 1u32..140, groups in 1u32..8, odd in 0u32..32, tokens in 1u32..130, dtype in 0usize..14) {
        let dtype = DType::all().nth(dtype).unwrap();
        let cols = whole_blocks(dtype, groups * 32 - odd);
        check(dispatch, LinearCase { dtype, rows, cols, tokens, ..LinearCase::default() });
    }
}
