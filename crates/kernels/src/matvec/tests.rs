use super::*;
use crate::linear::testing::{LinearCase, case_of, check, exact_difference, whole_blocks};
use crate::linear::{Epilogue, Experts};
use crate::{Access, Slice};
use proptest::prelude::*;

fn traits(packed_dot_product: bool) -> DeviceTraits {
    let subgroup_size = crate::testing::subgroup_size().unwrap_or(32);
    DeviceTraits {
        shared_memory_bytes: 32768,
        packed_dot_product,
        matrix_units: false,
        subgroup_size,
        workgroup_invocations: 1024,
    }
}

/// Without packed dot products.
fn plain(layer: &Linear, token_rows: u32, bindings: Bindings) -> Dispatch {
    dispatch(layer, token_rows, traits(false), bindings)
}

fn int16(layer: &Linear, token_rows: u32, bindings: Bindings) -> Dispatch {
    let call = dispatch(layer, token_rows, traits(true), bindings);
    assert_eq!(call.kernel.name, format!("matvec_{}_int16", layer.layout.dtype));
    call
}

/// Clusters of 8 need subgroups of 8, so the variants with 16-bit activations are chosen for no device with smaller ones.
fn has_clusters() -> bool {
    crate::testing::subgroup_size().is_none_or(|size| size >= 8)
}

fn quantised() -> impl Iterator<Item = DType> {
    crate::testing::weight_types().filter(|dtype| dtype.is_quantised())
}

const EPILOGUES: [Epilogue; 3] = [Epilogue::Store, Epilogue::Add, Epilogue::SiluGated];

#[test]
fn sixteen_bit_activations() {
    if !has_clusters() {
        return;
    }
    for (index, (rows, cols)) in [(2, 32), (18, 96), (34, 1024), (6, 2080)].into_iter().enumerate() {
        let (dtype, norm_eps, epilogue) = (DType::Q8_0, Some(1e-6), EPILOGUES[index % 3]);
        let layer = LinearCase { dtype, rows, cols, tokens: 2, epilogue, ..LinearCase::default() };
        check(int16, layer);
        check(int16, LinearCase { norm_eps, epilogue: EPILOGUES[(index + 1) % 3], ..layer });
    }
}

#[test]
fn sixteen_bit_activations_of_every_type() {
    if !has_clusters() {
        return;
    }
    for (index, dtype) in quantised().enumerate() {
        // More than one step of a subgroup, and a last one that is not full.
        let (cols, epilogue, norm_eps) = (whole_blocks(dtype, 1312), EPILOGUES[index % 3], Some(1e-6));
        check(
            int16,
            LinearCase { dtype, rows: 18, cols, tokens: 2, epilogue, norm_eps, ..LinearCase::default() },
        );
    }
}

#[test]
fn sixteen_bit_activations_are_close_to_the_exact_product() {
    for dtype in [DType::Q8_0, DType::Q4_0, DType::Q4K, DType::Q6K] {
        let difference =
            exact_difference(int16, LinearCase { dtype, rows: 64, cols: 2048, ..LinearCase::default() });
        assert!(difference < 1e-4, "{dtype}: {difference:.1e}");
    }
}

#[test]
fn every_type_with_norm_and_epilogues() {
    for (index, dtype) in crate::testing::weight_types().enumerate() {
        let (cols, epilogue, norm_eps) = (whole_blocks(dtype, 1056), EPILOGUES[index % 3], Some(1e-6));
        check(
            plain,
            LinearCase { dtype, rows: 34, cols, tokens: 1, epilogue, norm_eps, ..LinearCase::default() },
        );
    }
}

#[test]
fn every_workgroup_computes_the_product() {
    let candidates = |call: &Dispatch| Workgroup::candidates(call, traits(false));
    for (dtype, cols, epilogue) in [
        (DType::F32, 1000, Epilogue::Add),
        (DType::F16, 1040, Epilogue::SiluGated),
        (DType::Q8_0, 2080, Epilogue::Add),
    ] {
        let norm_eps = Some(1e-6);
        let layer = LinearCase { dtype, rows: 34, cols, epilogue, norm_eps, ..LinearCase::default() };
        let (case, call, _) = case_of(plain, layer);
        for workgroup in candidates(&call) {
            let other = workgroup.applied_to(&call);
            assert_eq!(Workgroup::of_call(&other), workgroup);
            case.check(&other, 1e-5);
        }
    }
}

#[test]
fn planes_in_and_out() {
    if !has_clusters() {
        return;
    }
    let cases =
        [(DType::Q8_0, Epilogue::Add), (DType::Q4K, Epilogue::SiluGated), (DType::Q6K, Epilogue::Store)];
    for (dtype, epilogue) in cases {
        for planes in [[true, false], [false, true], [true, true]] {
            let (rows, cols) = (if epilogue.is_gated() { 192 } else { 96 }, whole_blocks(dtype, 1312));
            let layer = LinearCase { dtype, rows, cols, epilogue, planes, ..LinearCase::default() };
            check_planes(layer);
            check_planes(LinearCase { norm_eps: Some(1e-6).filter(|_| !planes[0]), ..layer });
            check_planes(LinearCase { handover: Handover { polls: true, publishes: true }, ..layer });
        }
    }
}

/// y within the tolerance; its planes as what they stand for, since a value between two steps may go either way.
fn check_planes(layer: LinearCase) {
    let (case, call, y) = case_of(int16, layer);
    let Some(device) = case.device_of(std::slice::from_ref(&call)) else { return };
    let reference = case.reference_of(std::slice::from_ref(&call));
    let floats = |memory: &crate::HostMemory| {
        memory.read::<f32>(y)[..layer.rows as usize / if layer.epilogue.is_gated() { 2 } else { 1 }].to_vec()
    };
    let difference = |a: &[f32], b: &[f32]| resident_tensor::compare(a, b).relative_l2;
    assert!(difference(&floats(&device), &floats(&reference)) < 3e-5, "{layer:?}");
    if let Some(planes) = call.bound("y_planes") {
        let [found, expected] =
            [&device, &reference].map(|memory| crate::linear::planes::decode(memory, planes));
        assert!(difference(&found, &expected) < 1e-4, "{layer:?}");
    }
}

#[test]
fn row_shorter_than_a_subgroup() {
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        check(plain, LinearCase { dtype, rows: 5, cols: 3, tokens: 2, ..LinearCase::default() });
    }
}

#[test]
fn residual_norm_and_gate_go_together() {
    for epilogue in EPILOGUES {
        let (dtype, norm_eps) = (DType::Q8_0, Some(1e-6));
        check(plain, LinearCase { dtype, rows: 34, cols: 96, epilogue, norm_eps, ..LinearCase::default() });
    }
}

#[test]
fn handed_over() {
    let handover = Handover { polls: true, publishes: true };
    for dtype in [DType::F32, DType::BF16, DType::Q8_0, DType::Q4K] {
        for epilogue in [Epilogue::Store, Epilogue::Add, Epilogue::SiluGated] {
            let layer = LinearCase {
                dtype,
                rows: 34,
                cols: whole_blocks(dtype, 288),
                epilogue,
                handover,
                ..LinearCase::default()
            };
            check(plain, LinearCase { norm_eps: Some(1e-6), ..layer });
        }
    }
}

#[test]
fn only_whole_vectors_are_polled() {
    let polls = |cols| {
        let handover = Handover { polls: true, publishes: true };
        let access = |name: &str| {
            let (_, call, _) = case_of(plain, LinearCase { cols, handover, ..LinearCase::default() });
            call.bindings.iter().find(|b| b.name == name).map(|b| b.access)
        };
        assert_eq!(access("y"), Some(Access::Publish));
        access("x") == Some(Access::Poll)
    };
    assert!(polls(36) && !polls(37));
}

#[test]
fn bias_and_the_other_epilogues() {
    let layer = LinearCase { rows: 34, cols: 40, tokens: 2, bias: true, ..LinearCase::default() };
    for epilogue in [Epilogue::Add, Epilogue::SiluGated, Epilogue::GeluGated, Epilogue::SoftCap(2.5)] {
        check(plain, LinearCase { epilogue, ..layer });
    }
}

#[test]
fn experts() {
    let experts = Experts { first: 1, count: 5, slots: 3, shared_x: false };
    for dtype in [DType::F32, DType::BF16, DType::Q8_0, DType::Q5K] {
        let layer = LinearCase {
            dtype,
            rows: 18,
            cols: whole_blocks(dtype, 288),
            tokens: 3,
            active: 2,
            ..LinearCase::default()
        };
        check(plain, LinearCase { experts: Some(experts), ..layer });
    }
}

#[test]
fn experts_that_share_x_with_norm_bias_and_gate() {
    let experts = Some(Experts { first: 0, count: 4, slots: 3, shared_x: true });
    let layer = LinearCase { rows: 18, cols: 40, tokens: 2, experts, bias: true, ..LinearCase::default() };
    check(plain, LinearCase { epilogue: Epilogue::SiluGated, norm_eps: Some(1e-6), ..layer });
}

#[test]
fn token_rows_out_of_use_stay_untouched() {
    check(plain, LinearCase { rows: 17, cols: 64, tokens: 4, active: 2, ..LinearCase::default() });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]
    #[test]
    fn any_shape(rows in 1u32..70, groups in 1u32..40, odd in 0u32..32, tokens in 1u32..4, dtype in 0usize..14) {
        let dtype = crate::testing::weight_types().cycle().nth(dtype).unwrap();
        let cols = whole_blocks(dtype, groups * 32 - odd);
        check(plain, LinearCase { dtype, rows, cols, tokens, ..LinearCase::default() });
    }
}

/// What the figures of docs/performance.md were measured with: Qwen3-0.6B in bf16, Qwen3-8B in q8_0, handed over.
#[test]
fn the_ways_measured_on_an_h200() {
    let anywhere = Slice { buffer: crate::BufferId(0), offset_bytes: 0, bytes: 1 << 40 };
    let way = |dtype, (rows, cols), epilogue: Epilogue, normed: bool| {
        let layer = Linear {
            layout: WeightLayout { dtype, rows, cols },
            x_stride: cols,
            y_stride: rows as u32,
            norm_eps: normed.then_some(1e-6),
            epilogue,
            experts: None,
            handover: Handover { polls: true, publishes: true },
            x_planes: false,
        };
        let bindings = Bindings {
            weight: anywhere,
            x: anywhere,
            norm_weight: normed.then_some(anywhere),
            bias: None,
            row_count: anywhere,
            experts: None,
            residual: (epilogue == Epilogue::Add).then_some(anywhere),
            y: anywhere,
            y_planes: None,
        };
        let Workgroup { local_size, lane_rows, k_lanes, k_subgroups, rows } =
            Workgroup::of_call(&dispatch(&layer, 1, crate::testing::H200, bindings));
        [local_size, lane_rows, k_lanes, k_subgroups, rows]
    };
    let bf16 = |shape, epilogue, normed| way(DType::BF16, shape, epilogue, normed);
    assert_eq!(bf16((4096, 1024), Epilogue::Store, true), [480, 4, 16, 3, 40]);
    assert_eq!(bf16((1024, 2048), Epilogue::Add, false), [512, 4, 16, 4, 32]);
    assert_eq!(bf16((6144, 1024), Epilogue::SiluGated, true), [512, 4, 16, 2, 64]);
    assert_eq!(bf16((1024, 3072), Epilogue::Add, false), [768, 4, 16, 12, 16]);
    assert_eq!(bf16((151_936, 1024), Epilogue::Store, true), [256, 2, 16, 4, 48]);
    let q8_0 = |shape, epilogue, normed| way(DType::Q8_0, shape, epilogue, normed);
    assert_eq!(q8_0((6144, 4096), Epilogue::Store, true), [512, 2, 32, 4, 24]);
    assert_eq!(q8_0((4096, 4096), Epilogue::Add, false), [1024, 2, 16, 8, 32]);
    assert_eq!(q8_0((24_576, 4096), Epilogue::SiluGated, true), [512, 2, 16, 4, 192]);
    assert_eq!(q8_0((4096, 12_288), Epilogue::Add, false), [768, 4, 32, 12, 32]);
    assert_eq!(q8_0((151_936, 4096), Epilogue::Store, true), [512, 1, 32, 4, 192]);
}
