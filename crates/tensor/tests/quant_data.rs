//! Decoders against values that gguf-py and ggml agree on, bit for bit.

use resident_tensor::DType;
use resident_tensor::codec::{decode, encode_bf16, encode_f16, quantise_q8_0};
use safetensors::SafeTensors;
use std::path::Path;

/// The raw blocks and the values in them, or None with a printed reason.
fn blocks(name: &str) -> Option<(Vec<u8>, Vec<f32>)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/quant/dev");
    let path = Path::new(folder).join(format!("{name}.safetensors"));
    let Ok(bytes) = std::fs::read(&path) else {
        eprintln!("skipped: no {}", path.display());
        return None;
    };
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let raw = tensors.tensor("raw").unwrap().data().to_vec();
    let values = tensors.tensor("dequantized").unwrap().data().as_chunks().0.iter();
    Some((raw, values.map(|bytes| f32::from_le_bytes(*bytes)).collect()))
}

fn check_decoder(dtype: DType, name: &str) {
    let Some((raw, expected)) = blocks(name) else { return };
    let mut decoded = vec![f32::NAN; expected.len()];
    decode(dtype, &raw, &mut decoded).unwrap();
    let differs = decoded.iter().zip(&expected).position(|(a, b)| a.to_bits() != b.to_bits());
    assert_eq!(differs, None, "{dtype}: first element whose bits differ");
}

fn check_encoder(name: &str, encode: fn(&[f32], &mut [u8])) {
    let Some((raw, values)) = blocks(name) else { return };
    let mut encoded = vec![0xa5; raw.len()];
    encode(&values, &mut encoded);
    assert!(encoded == raw, "{name}: encoding the decoded values does not give the bytes back");
}

#[test]
fn q8_0_decodes_to_the_same_bits() {
    check_decoder(DType::Q8_0, "Q8_0");
}

#[test]
fn f16_decodes_to_the_same_bits() {
    check_decoder(DType::F16, "F16");
}

#[test]
fn bf16_decodes_to_the_same_bits() {
    check_decoder(DType::BF16, "BF16");
}

#[test]
fn encoders_give_the_bytes_back() {
    check_encoder("Q8_0", quantise_q8_0);
    check_encoder("F16", encode_f16);
    check_encoder("BF16", encode_bf16);
}

#[test]
fn a_type_without_decoder_is_named() {
    let error = decode(DType::Q4K, &[0; 144], &mut [0.0; 256]).unwrap_err();
    assert_eq!(error.to_string(), "no decoder for q4_k (have f32, f16, bf16, q8_0)");
}

#[test]
fn block_sizes_match_the_files() {
    let names = "Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL F16 BF16";
    for name in names.split(' ') {
        let Some((raw, values)) = blocks(name) else { return };
        let dtype = DType::all().find(|dtype| dtype.name() == name.to_lowercase()).unwrap();
        assert_eq!(dtype.tensor_bytes(&[48, 512]), Ok(raw.len() as u64), "{name}");
        assert_eq!(values.len(), 48 * 512);
    }
}
