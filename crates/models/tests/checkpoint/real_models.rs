//! Every model of the shared data opens, and what two formats say about one model agrees.

use crate::support::{folder, shared, take_plain_decoder};
use resident_models::checkpoint::gguf::Array;
use resident_models::checkpoint::{Checkpoint, DecoderConfig, ROPE_FREQ_FACTORS, RopeScaling};
use resident_tensor::{DType, compare};
use std::time::Instant;

/// Path, architecture, number of tensors.
const GGUF_FILES: &[(&str, &str, usize)] = &[
    ("stories260K/gguf/stories260K-F32.gguf", "llama", 47),
    ("stories260K/gguf/stories260K-F16.gguf", "llama", 47),
    ("stories260K/gguf/stories260K-Q8_0.gguf", "llama", 47),
    ("stories260K/gguf/stories260K-Q4_0.gguf", "llama", 47),
    ("goldens-dev/llama/gguf/llama-Q8_0.gguf", "llama", 21),
    ("goldens-dev/llama3/gguf/llama3-Q8_0.gguf", "llama", 31),
    ("goldens-dev/llama3/gguf/llama3-Q4_0.gguf", "llama", 31),
    ("goldens-dev/qwen2/gguf/qwen2-Q8_0.gguf", "qwen2", 38),
    ("goldens-dev/qwen3/gguf/qwen3-F16.gguf", "qwen3", 24),
    ("goldens-dev/qwen3/gguf/qwen3-Q8_0.gguf", "qwen3", 24),
    ("goldens-dev/qwen3/gguf/qwen3-Q4_0.gguf", "qwen3", 24),
    ("goldens-dev/qwen3/gguf/qwen3-Q4_K_M.gguf", "qwen3", 24),
    ("goldens-dev/qwen3/gguf/qwen3-Q6_K.gguf", "qwen3", 24),
    ("goldens-dev/qwen3moe/gguf/qwen3moe-Q8_0.gguf", "qwen3moe", 26),
    ("goldens-dev/gemma3/gguf/gemma3-Q8_0.gguf", "gemma3", 80),
    ("goldens-dev/gemma3/gguf/gemma3-Q4_0.gguf", "gemma3", 80),
];

/// Path, architecture, number of tensors.
const FOLDERS: &[(&str, &str, usize)] = &[
    ("stories260K/hf", "llama", 47),
    ("goldens-dev/llama/f32", "llama", 21),
    ("goldens-dev/llama/bf16", "llama", 21),
    ("goldens-dev/llama3/f32", "llama", 30),
    ("goldens-dev/llama3/bf16", "llama", 30),
    ("goldens-dev/mistral/f32", "mistral", 30),
    ("goldens-dev/mistral/bf16", "mistral", 30),
    ("goldens-dev/qwen2/f32", "qwen2", 38),
    ("goldens-dev/qwen2/bf16", "qwen2", 38),
    ("goldens-dev/qwen3/f32", "qwen3", 24),
    ("goldens-dev/qwen3/bf16", "qwen3", 24),
    ("goldens-dev/qwen3moe/f32", "qwen3_moe", 68),
    ("goldens-dev/qwen3moe/bf16", "qwen3_moe", 68),
    ("goldens-dev/gemma2/f32", "gemma2", 46),
    ("goldens-dev/gemma2/bf16", "gemma2", 46),
    ("goldens-dev/gemma3/f32", "gemma3_text", 80),
    ("goldens-dev/gemma3/bf16", "gemma3_text", 80),
    ("goldens-dev/gemma3-linear/f32", "gemma3_text", 93),
    ("goldens-dev/gemma3-linear/bf16", "gemma3_text", 93),
];

fn open(path: &str) -> Option<Checkpoint> {
    shared(path).map(|path| Checkpoint::open(&path).unwrap())
}

fn decoder(path: &str) -> Option<DecoderConfig> {
    open(path).map(|checkpoint| take_plain_decoder(checkpoint.config().unwrap()).unwrap())
}

#[test]
fn every_model_opens_with_all_its_tensors() {
    for (path, architecture, tensors) in GGUF_FILES.iter().chain(FOLDERS) {
        let Some(checkpoint) = open(path) else { return };
        assert_eq!(checkpoint.architecture(), *architecture, "{path}");
        assert_eq!(checkpoint.tensors().len(), *tensors, "{path}");
        for tensor in checkpoint.tensors() {
            let bytes = tensor.dtype.tensor_bytes(tensor.shape).unwrap();
            assert_eq!(tensor.data.len() as u64, bytes, "{path}: {}", tensor.name);
            assert_eq!(tensor.first_non_finite(), None, "{path}: {}", tensor.name);
        }
    }
}

#[test]
fn vocabularies_without_tensors_open() {
    for (name, tokens) in [("gpt-2", 50257), ("llama-spm", 32000)] {
        let Some(path) = shared(&format!("tokenizers/llama.cpp-vocabs/ggml-vocab-{name}.gguf")) else {
            return;
        };
        let start = Instant::now();
        let checkpoint = Checkpoint::open(&path).unwrap();
        let metadata = checkpoint.gguf_metadata().unwrap();
        assert_eq!(metadata.require::<Array>("tokenizer.ggml.tokens").unwrap().len, tokens);
        assert_eq!(metadata.require::<Vec<i32>>("tokenizer.ggml.token_type").unwrap().len(), tokens);
        eprintln!("{name} in {:?}", start.elapsed());
        checkpoint.token_ids().unwrap();
    }
}

#[test]
fn both_formats_say_the_same_about_a_model() {
    for (hf, gguf) in [
        ("goldens-dev/qwen3/f32", "goldens-dev/qwen3/gguf/qwen3-F16.gguf"),
        ("goldens-dev/llama/f32", "goldens-dev/llama/gguf/llama-Q8_0.gguf"),
        ("stories260K/hf", "stories260K/gguf/stories260K-F32.gguf"),
    ] {
        let (Some(hf), Some(gguf)) = (decoder(hf), decoder(gguf)) else { return };
        assert_eq!(hf, gguf);
    }
}

#[test]
fn llama3_scaling_is_a_tensor_in_gguf() {
    let (Some(hf), Some(gguf)) =
        (open("goldens-dev/llama3/f32"), open("goldens-dev/llama3/gguf/llama3-Q8_0.gguf"))
    else {
        return;
    };
    assert!(!hf.has_tensor(ROPE_FREQ_FACTORS));
    assert_eq!(gguf.tensor_shaped(ROPE_FREQ_FACTORS, &[16]).unwrap().dtype, DType::F32);
    let mut hf = take_plain_decoder(hf.config().unwrap()).unwrap();
    assert!(matches!(hf.rope.scaling, RopeScaling::Llama3 { original_max_position_embeddings: 64, .. }));
    hf.rope.scaling = RopeScaling::None;
    assert_eq!(hf, take_plain_decoder(gguf.config().unwrap()).unwrap());
}

#[test]
fn both_versions_of_a_configuration_say_the_same() {
    for name in ["qwen3", "llama3"] {
        let Some(path) = shared(&format!("goldens-dev/{name}/bf16")) else { return };
        let read = |file: &str| std::fs::read(path.join(file)).unwrap();
        let weights = read("model.safetensors");
        let folder = folder(&[("config.json", &read("config.v5.json")), ("model.safetensors", &weights)]);
        let new = Checkpoint::open(folder.path()).unwrap();
        let new = take_plain_decoder(new.config().unwrap()).unwrap();
        assert_eq!(new, decoder(&format!("goldens-dev/{name}/bf16")).unwrap());
    }
}

#[test]
fn special_tokens_are_read() {
    for path in ["stories260K/hf", "stories260K/gguf/stories260K-Q8_0.gguf", "goldens-dev/qwen3/f32"] {
        let Some(checkpoint) = open(path) else { return };
        let ids = checkpoint.token_ids().unwrap();
        assert_eq!((ids.bos, ids.eos), (Some(1), vec![2]), "{path}");
    }
    let Some(gemma3) = open("goldens-dev/gemma3/gguf/gemma3-Q8_0.gguf") else { return };
    assert_eq!(gemma3.token_ids().unwrap().eos, [1, 5], "a turn ends the text too");
}

#[test]
fn other_architectures_are_refused_by_their_keys() {
    for (path, key) in [
        ("goldens-dev/mistral/f32", r#"key "sliding_window" = 50"#),
        ("goldens-dev/qwen3moe/f32", r#"key "num_experts" = 8"#),
        ("goldens-dev/qwen3moe/gguf/qwen3moe-Q8_0.gguf", r#"key "qwen3moe.expert_count" = 8"#),
        ("goldens-dev/gemma3/f32", r#"key "sliding_window" = 40"#),
        ("goldens-dev/gemma3/gguf/gemma3-Q8_0.gguf", r#"key "gemma3.attention.sliding_window" = 40"#),
    ] {
        let Some(checkpoint) = open(path) else { return };
        let message = take_plain_decoder(checkpoint.config().unwrap()).unwrap_err().to_string();
        assert!(message.contains(key), "{message}");
    }
}

/// Rows of a GGUF Llama q_proj or k_proj in the order of Hugging Face: pairs side by side become halves.
fn unpermuted(values: &[f32], heads: usize, cols: usize) -> Vec<f32> {
    let rows: Vec<&[f32]> = values.chunks(cols).collect();
    let head_dim = rows.len() / heads;
    let row = |index: usize| {
        let (head, within) = (index / head_dim, index % head_dim);
        let (half, pair) = (within / (head_dim / 2), within % (head_dim / 2));
        rows[head * head_dim + 2 * pair + half]
    };
    (0..rows.len()).flat_map(row).copied().collect()
}

/// Compares every tensor of a GGUF file with the f32 folder it was made from.
fn check_values(hf: &str, gguf: &str, tolerance: f64) {
    let (Some(hf), Some(gguf)) = (open(hf), open(gguf)) else { return };
    let config = take_plain_decoder(hf.config().unwrap()).unwrap();
    assert_eq!(hf.tensors().len(), gguf.tensors().len());
    for expected in hf.tensors() {
        let found = gguf.tensor_shaped(expected.name, expected.shape).unwrap();
        let mut values = found.to_f32();
        let heads = match expected.name {
            name if name.ends_with("q_proj.weight") => Some(config.num_attention_heads),
            name if name.ends_with("k_proj.weight") => Some(config.num_key_value_heads),
            _ => None,
        };
        if let Some(heads) = heads.filter(|_| gguf.interleaved_rope()) {
            values = unpermuted(&values, heads as usize, expected.shape[1] as usize);
        }
        let difference = compare(&values, &expected.to_f32());
        assert!(difference.relative_l2 <= tolerance, "{}: {difference}", expected.name);
    }
    gguf.refuse_unused_tensors().unwrap();
}

#[test]
fn f32_values_are_equal() {
    check_values("stories260K/hf", "stories260K/gguf/stories260K-F32.gguf", 0.0);
}

#[test]
fn f16_values_are_rounded() {
    check_values("stories260K/hf", "stories260K/gguf/stories260K-F16.gguf", 4e-4);
    check_values("goldens-dev/qwen3/f32", "goldens-dev/qwen3/gguf/qwen3-F16.gguf", 4e-4);
}

#[test]
fn q8_0_values_are_near() {
    check_values("stories260K/hf", "stories260K/gguf/stories260K-Q8_0.gguf", 1e-2);
    check_values("goldens-dev/qwen3/f32", "goldens-dev/qwen3/gguf/qwen3-Q8_0.gguf", 1e-2);
    check_values("goldens-dev/llama/f32", "goldens-dev/llama/gguf/llama-Q8_0.gguf", 1e-2);
}
