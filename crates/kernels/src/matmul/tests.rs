use super::*;
use crate::handover::Handover;
use crate::linear::testing;
use crate::linear::testing::{LinearCase, whole_blocks};
use crate::linear::{Epilogue, Experts};
use crate::testing::Case;
use crate::weights::WeightLayout;
use proptest::prelude::*;
use resident_tensor::DType;

/// Checks a layer in plain tiles, and on matrix units.
fn check(layer: LinearCase) {
    for matrix_units in [false, true] {
        let device = DeviceTraits { matrix_units, ..traits() };
        let dispatch = |layer: &Linear, tokens, bindings| dispatch(layer, tokens, device, bindings);
        testing::check(dispatch, LinearCase { halves: matrix_units, ..layer });
    }
}

fn traits() -> DeviceTraits {
    let subgroup_size = crate::testing::subgroup_size().unwrap_or(32);
    DeviceTraits {
        subgroup_size,
        shared_memory_bytes: 48 << 10,
        workgroup_invocations: 1024,
        ..DeviceTraits::LEAST
    }
}

#[test]
fn large_tiles() {
    if !crate::testing::device_has_matrix_units() {
        return eprintln!("skipped: the device has no matrix units");
    }
    for (dtype, epilogue) in
        [(DType::F32, Epilogue::Add), (DType::BF16, Epilogue::SiluGated), (DType::Q8_0, Epilogue::Store)]
    {
        let layer = LinearCase {
            dtype,
            rows: 128 * 50 + 18,
            cols: 96,
            tokens: 250,
            epilogue,
            ..LinearCase::default()
        };
        let device = DeviceTraits { matrix_units: true, ..traits() };
        let dispatch = |layer: &Linear, tokens, bindings| {
            let call = dispatch(layer, tokens, device, bindings);
            assert_eq!(call.specialization[10], 32, "no small tile");
            call
        };
        testing::check(dispatch, LinearCase { halves: true, ..layer });
    }
}

#[test]
fn every_type_over_several_tiles() {
    for dtype in crate::testing::weight_types() {
        // As many columns as in the files below, for which a driver need not compile again.
        check(LinearCase { dtype, rows: 130, cols: 512, tokens: 70, ..LinearCase::default() });
    }
}

/// The tensors `raw`, `x` and `y` of a file of blocks that ggml made and products that NumPy made of them in float64.
fn product_of_blocks(dtype: DType) -> Option<[Vec<u8>; 3]> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/quant/dev");
    let path = std::path::Path::new(folder).join(format!("{}.safetensors", dtype.name().to_uppercase()));
    let Ok(bytes) = std::fs::read(&path) else {
        eprintln!("skipped: no {}", path.display());
        return None;
    };
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    Some(["raw", "x", "y"].map(|name| tensors.tensor(name).unwrap().data().to_vec()))
}

#[test]
fn products_that_another_implementation_made() {
    for dtype in crate::testing::weight_types().filter(|dtype| *dtype != DType::F32) {
        let Some([raw, x, expected]) = product_of_blocks(dtype) else { return };
        let layout = WeightLayout { dtype, rows: 48, cols: 512 };
        let mut matrix = vec![0; layout.bytes() as usize];
        let (values, scales) = matrix.split_at_mut(layout.value_bytes() as usize);
        let (row_bytes, scale_bytes) = (layout.row_bytes() as usize, layout.row_scale_bytes() as usize);
        for (row, stored) in raw.chunks_exact(raw.len() / 48).enumerate() {
            let scales = &mut scales[row * scale_bytes..][..scale_bytes];
            layout.repack_row(stored, &mut values[row * row_bytes..][..row_bytes], scales);
        }
        let mut case = Case::new();
        let bindings = Bindings {
            weight: case.values(&matrix),
            x: case.values(&x),
            norm_weight: None,
            bias: None,
            row_count: case.words(&[5]),
            experts: None,
            residual: None,
            y: case.output(5 * 48 * 4),
            y_planes: None,
        };
        let (norm_eps, epilogue, experts) = (None, Epilogue::Store, None);
        let handover = Handover::default();
        let linear = Linear {
            layout,
            x_stride: 512,
            y_stride: 48,
            norm_eps,
            epilogue,
            experts,
            handover,
            x_planes: false,
        };
        let call = dispatch(&linear, 5, DeviceTraits::LEAST, bindings);
        case.check(&call, 2e-6);
        let floats = |words: Vec<u32>| words.into_iter().map(f32::from_bits).collect::<Vec<_>>();
        let expected = expected.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect::<Vec<_>>();
        let found = floats(case.reference_words(&call, bindings.y));
        let difference = resident_tensor::compare(&found, &expected);
        assert!(difference.relative_l2 < 1e-6, "{dtype}: {difference}");
    }
}

#[test]
fn one_token_and_one_feature() {
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        check(LinearCase { dtype, rows: 1, cols: 5, tokens: 1, ..LinearCase::default() });
    }
}

#[test]
fn residual_and_gate() {
    for epilogue in [Epilogue::Add, Epilogue::SiluGated] {
        check(LinearCase { rows: 66, cols: 172, tokens: 65, epilogue, ..LinearCase::default() });
    }
}

#[test]
fn bias_and_the_other_epilogues() {
    for epilogue in [Epilogue::Add, Epilogue::GeluGated, Epilogue::SoftCap(2.5)] {
        check(LinearCase { rows: 66, cols: 40, tokens: 9, epilogue, bias: true, ..LinearCase::default() });
    }
}

#[test]
fn experts() {
    let experts = Some(Experts { first: 1, count: 3, slots: 2, shared_x: false });
    for dtype in [DType::F32, DType::BF16, DType::Q8_0, DType::Q5K] {
        let layer = LinearCase { dtype, rows: 70, cols: whole_blocks(dtype, 64), ..LinearCase::default() };
        check(LinearCase { tokens: 200, active: 190, experts, ..layer });
    }
}

#[test]
fn experts_that_share_x_with_bias_and_gate() {
    let experts = Some(Experts { first: 0, count: 9, slots: 4, shared_x: true });
    let layer = LinearCase { rows: 18, cols: 96, tokens: 5, bias: true, experts, ..LinearCase::default() };
    check(LinearCase { epilogue: Epilogue::SiluGated, ..layer });
}

#[test]
fn token_rows_out_of_use_stay_untouched() {
    check(LinearCase { rows: 9, cols: 64, tokens: 130, active: 67, ..LinearCase::default() });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]
    #[test]
    fn any_shape(rows in 1u32..140, groups in 1u32..8, odd in 0u32..32, tokens in 1u32..130, dtype in 0usize..14) {
        let dtype = crate::testing::weight_types().cycle().nth(dtype).unwrap();
        let cols = whole_blocks(dtype, groups * 32 - odd);
        check(LinearCase { dtype, rows, cols, tokens, ..LinearCase::default() });
    }
}
