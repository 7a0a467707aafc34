use super::*;
use crate::linear::testing::{LinearCase, check};
use proptest::prelude::*;

#[test]
fn every_format_at_model_shapes() {
    for format in WeightFormat::ALL {
        check(dispatch, LinearCase { format, rows: 96, cols: 1024, tokens: 1, ..LinearCase::default() });
    }
}

#[test]
fn row_shorter_than_a_subgroup() {
    for format in [WeightFormat::F32, WeightFormat::F16, WeightFormat::Bf16] {
        check(dispatch, LinearCase { format, rows: 5, cols: 3, tokens: 2, ..LinearCase::default() });
    }
}

#[test]
fn residual_norm_and_gate_go_together() {
    for format in WeightFormat::ALL {
        for epilogue in [Epilogue::Store, Epilogue::Add, Epilogue::SiluGated] {
            check(dispatch, LinearCase { format, rows: 34, cols: 96, tokens: 1, epilogue, norm_eps: Some(1e-6), ..LinearCase::default() });
        }
    }
}

#[test]
fn token_rows_out_of_use_stay_untouched() {
    check(dispatch, LinearCase { rows: 17, cols: 64, tokens: 4, active: 2, ..LinearCase::default() });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_shape(rows in 1u32..70, groups in 1u32..40, odd in 0u32..32, tokens in 1u32..4, format in 0usize..4) {
        let format = WeightFormat::ALL[format];
        let cols = if format == WeightFormat::Q8_0 { groups * 32 } else { groups * 32 - odd };
        check(dispatch, LinearCase { format, rows, cols, tokens, ..LinearCase::default() });
    }
}
