//! Codecs against values that gguf-py and ggml agree on, bit for bit, and against each other.

use resident_tensor::DType;
use resident_tensor::codec::{GROUP, decode, encode, group, store};
use safetensors::SafeTensors;
use std::path::Path;

/// The raw blocks and the values in them, or None with a printed reason.
fn blocks(dtype: DType) -> Option<(Vec<u8>, Vec<f32>)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/quant/dev");
    let path = Path::new(folder).join(format!("{}.safetensors", dtype.name().to_uppercase()));
    let Ok(bytes) = std::fs::read(&path) else {
        eprintln!("skipped: no {}", path.display());
        return None;
    };
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let raw = tensors.tensor("raw").unwrap().data().to_vec();
    let values = tensors.tensor("dequantized").unwrap().data().as_chunks().0.iter();
    Some((raw, values.map(|bytes| f32::from_le_bytes(*bytes)).collect()))
}

/// The types that have a file.
fn types() -> impl Iterator<Item = DType> {
    DType::all().filter(|dtype| *dtype != DType::F32)
}

#[test]
fn every_type_decodes_to_the_same_bits() {
    for dtype in types() {
        let Some((raw, expected)) = blocks(dtype) else { return };
        assert_eq!(dtype.tensor_bytes(&[48, 512]), Ok(raw.len() as u64), "{dtype}");
        let mut decoded = vec![f32::NAN; expected.len()];
        decode(dtype, &raw, &mut decoded);
        let differs = decoded.iter().zip(&expected).position(|(a, b)| a.to_bits() != b.to_bits());
        assert_eq!(differs, None, "{dtype}: first element whose bits differ");
    }
}

#[test]
fn a_single_group_is_what_the_whole_row_has_there() {
    for dtype in types().filter(|dtype| dtype.is_quantised()) {
        let Some((raw, expected)) = blocks(dtype) else { return };
        let per_block = dtype.block_len() / GROUP;
        for (index, expected) in expected.as_chunks::<GROUP>().0.iter().enumerate() {
            let block = &raw[index / per_block * dtype.block_bytes()..][..dtype.block_bytes()];
            let mut weights = [f32::NAN; GROUP];
            group(dtype, block, index % per_block).write(&mut weights);
            assert_eq!(weights.map(f32::to_bits), expected.map(f32::to_bits), "{dtype} group {index}");
        }
    }
}

#[test]
fn groups_go_back_into_the_bytes_they_come_from() {
    for dtype in types().filter(|dtype| dtype.is_quantised()) {
        let Some((raw, _)) = blocks(dtype) else { return };
        for block in raw.chunks_exact(dtype.block_bytes()) {
            let groups: Vec<_> =
                (0..dtype.block_len() / GROUP).map(|index| group(dtype, block, index)).collect();
            let mut stored = vec![0xa5; block.len()];
            store(dtype, &groups, &mut stored);
            assert_eq!(stored, block, "{dtype}");
        }
    }
}

#[test]
fn exact_encoders_give_the_bytes_back() {
    for dtype in [DType::Q8_0, DType::F16, DType::BF16] {
        let Some((raw, values)) = blocks(dtype) else { return };
        let mut encoded = vec![0xa5; raw.len()];
        encode(dtype, &values, &mut encoded).unwrap();
        assert!(encoded == raw, "{dtype}: encoding the decoded values does not give the bytes back");
    }
}

/// Values like a trained matrix': bell-shaped, each row with a width of its own.
fn bell(count: usize) -> Vec<f32> {
    let mut state = 1u64;
    let mut uniform = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..count).map(|i| (0..6).map(|_| uniform()).sum::<f32>() * (1.0 + (i / 256 % 5) as f32) * 0.02).collect()
}

fn relative_error(dtype: DType, values: &[f32]) -> f64 {
    let mut bytes = vec![0xa5; dtype.row_bytes(values.len() as u64).unwrap() as usize];
    let mut back = vec![f32::NAN; values.len()];
    encode(dtype, values, &mut bytes).unwrap();
    decode(dtype, &bytes, &mut back);
    resident_tensor::compare(&back, values).relative_l2
}

#[test]
fn encoders_lose_no_more_than_their_bits_say() {
    let values = bell(256 * 64);
    // What ggml's own encoders lose on such values, and a little more; q4_k beats q4_0 by its search.
    for (dtype, most) in [
        (DType::F32, 0.0),
        (DType::F16, 3e-4),
        (DType::BF16, 2.5e-3),
        (DType::Q8_0, 6e-3),
        (DType::Q6K, 1.9e-2),
        (DType::Q5_0, 4.6e-2),
        (DType::Q4K, 7.2e-2),
        (DType::Q4_0, 9.2e-2),
    ] {
        let error = relative_error(dtype, &values);
        assert!(error <= most, "{dtype}: {error:.2e}");
    }
}

#[test]
fn zeros_and_constants_survive() {
    for dtype in [DType::Q8_0, DType::Q5_0, DType::Q4_0, DType::Q6K, DType::Q4K] {
        for value in [0.0, 1.0, -1.0] {
            let mut bytes = vec![0xa5; dtype.row_bytes(256).unwrap() as usize];
            let mut back = vec![f32::NAN; 256];
            encode(dtype, &[value; 256], &mut bytes).unwrap();
            decode(dtype, &bytes, &mut back);
            assert!(back.iter().all(|b| (b - value).abs() <= 1e-2), "{dtype}: {value} became {}", back[0]);
        }
    }
}

#[test]
fn a_type_without_encoder_is_named() {
    let error = encode(DType::Q5K, &[0.0; 256], &mut [0; 176]).unwrap_err();
    assert!(error.to_string().starts_with("q5_k is not written (have f32"), "{error}");
}
