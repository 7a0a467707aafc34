use super::*;
use crate::Access;
use crate::linear::testing::{LinearCase, case_of, check};
use crate::linear::{Epilogue, Experts};
use proptest::prelude::*;

/// With shared memory for every x, without packed dot products.
fn staged(layer: &Linear, token_rows: u32, bindings: Bindings) -> Dispatch {
    dispatch(layer, token_rows, DeviceTraits { shared_memory_bytes: 32768, ..DeviceTraits::LEAST }, bindings)
}

fn unstaged(layer: &Linear, token_rows: u32, bindings: Bindings) -> Dispatch {
    dispatch(layer, token_rows, DeviceTraits { shared_memory_bytes: 0, ..DeviceTraits::LEAST }, bindings)
}

fn int16(layer: &Linear, token_rows: u32, bindings: Bindings) -> Dispatch {
    let device = DeviceTraits { shared_memory_bytes: 32768, packed_dot_product: true };
    let call = dispatch(layer, token_rows, device, bindings);
    assert_eq!(call.kernel.name, "matvec_q8_0_int16");
    call
}

#[test]
fn x_too_long_for_shared_memory() {
    for format in WeightFormat::ALL {
        let layer = LinearCase {
            format,
            rows: 10,
            cols: 288,
            tokens: 2,
            norm_eps: Some(1e-6),
            ..LinearCase::default()
        };
        check(unstaged, layer);
    }
}

#[test]
fn sixteen_bit_activations() {
    // Clusters of 8 need subgroups of 8, so this variant is chosen for no device with smaller ones.
    if crate::testing::subgroup_size().is_some_and(|size| size < 8) {
        return;
    }
    let format = WeightFormat::Q8_0;
    for (rows, cols) in [(1, 32), (17, 96), (34, 1024), (6, 2080)] {
        for epilogue in [Epilogue::Store, Epilogue::Add, Epilogue::SiluGated] {
            let layer = LinearCase {
                format,
                rows: rows + rows % 2,
                cols,
                tokens: 2,
                epilogue,
                ..LinearCase::default()
            };
            check(int16, layer);
            check(int16, LinearCase { norm_eps: Some(1e-6), ..layer });
        }
    }
}

#[test]
fn sixteen_bit_activations_are_close_to_the_exact_product() {
    use crate::linear::testing::exact_difference;
    let difference = exact_difference(
        int16,
        LinearCase { format: WeightFormat::Q8_0, rows: 64, cols: 2048, ..LinearCase::default() },
    );
    assert!(difference < 1e-4, "{difference:.1e}");
}

#[test]
fn every_format_at_model_shapes() {
    for format in WeightFormat::ALL {
        check(staged, LinearCase { format, rows: 96, cols: 1024, tokens: 1, ..LinearCase::default() });
    }
}

#[test]
fn every_workgroup_computes_the_same_product() {
    for epilogue in [Epilogue::Add, Epilogue::SiluGated] {
        let layer = LinearCase { rows: 34, cols: 1000, epilogue, ..LinearCase::default() };
        let (case, call, y) = case_of(staged, layer);
        let expected = case.device_words(&call, y);
        for workgroup in Workgroup::candidates(&call) {
            let other = workgroup.applied_to(&call);
            assert_eq!(Workgroup::of_call(&other), workgroup);
            assert_eq!(case.device_words(&other, y), expected, "{workgroup:?}");
        }
    }
}

#[test]
fn row_shorter_than_a_subgroup() {
    for format in [WeightFormat::F32, WeightFormat::F16, WeightFormat::Bf16] {
        check(staged, LinearCase { format, rows: 5, cols: 3, tokens: 2, ..LinearCase::default() });
    }
}

#[test]
fn residual_norm_and_gate_go_together() {
    for format in WeightFormat::ALL {
        for epilogue in [Epilogue::Store, Epilogue::Add, Epilogue::SiluGated] {
            check(
                staged,
                LinearCase {
                    format,
                    rows: 34,
                    cols: 96,
                    tokens: 1,
                    epilogue,
                    norm_eps: Some(1e-6),
                    ..LinearCase::default()
                },
            );
        }
    }
}

#[test]
fn handed_over() {
    let handover = Handover { polls: true, publishes: true };
    for format in WeightFormat::ALL {
        for epilogue in [Epilogue::Store, Epilogue::Add, Epilogue::SiluGated] {
            let layer =
                LinearCase { format, rows: 34, cols: 288, epilogue, handover, ..LinearCase::default() };
            check(staged, LinearCase { norm_eps: Some(1e-6), ..layer });
        }
    }
}

#[test]
fn only_whole_vectors_of_staged_activations_are_polled() {
    let polls = |call: fn(&Linear, u32, Bindings) -> Dispatch, cols| {
        let handover = Handover { polls: true, publishes: true };
        let access = |name: &str| {
            let (_, call, _) = case_of(call, LinearCase { cols, handover, ..LinearCase::default() });
            call.bindings.iter().find(|b| b.name == name).map(|b| b.access)
        };
        assert_eq!(access("y"), Some(Access::Publish));
        access("x") == Some(Access::Poll)
    };
    assert!(polls(staged, 36) && !polls(staged, 37) && !polls(unstaged, 36));
}

#[test]
fn bias_and_the_other_epilogues() {
    let layer = LinearCase { rows: 34, cols: 40, tokens: 2, bias: true, ..LinearCase::default() };
    for epilogue in [Epilogue::Add, Epilogue::SiluGated, Epilogue::GeluGated, Epilogue::SoftCap(2.5)] {
        check(staged, LinearCase { epilogue, ..layer });
    }
}

#[test]
fn experts_in_every_format() {
    let experts = Experts { first: 1, count: 5, slots: 3, shared_x: false };
    for format in WeightFormat::ALL {
        let layer = LinearCase { format, rows: 18, cols: 288, tokens: 3, active: 2, ..LinearCase::default() };
        check(staged, LinearCase { experts: Some(experts), ..layer });
    }
}

#[test]
fn experts_that_share_x_with_norm_bias_and_gate() {
    let experts = Some(Experts { first: 0, count: 4, slots: 3, shared_x: true });
    let layer = LinearCase { rows: 18, cols: 40, tokens: 2, experts, bias: true, ..LinearCase::default() };
    check(staged, LinearCase { epilogue: Epilogue::SiluGated, norm_eps: Some(1e-6), ..layer });
}

#[test]
fn token_rows_out_of_use_stay_untouched() {
    check(staged, LinearCase { rows: 17, cols: 64, tokens: 4, active: 2, ..LinearCase::default() });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn any_shape(rows in 1u32..70, groups in 1u32..40, odd in 0u32..32, tokens in 1u32..4, format in 0usize..4) {
        let format = WeightFormat::ALL[format];
        let cols = if format == WeightFormat::Q8_0 { groups * 32 } else { groups * 32 - odd };
        check(staged, LinearCase { format, rows, cols, tokens, ..LinearCase::default() });
    }
}
