//! Small models of other shapes than the goldens', of every architecture, against what transformers computes of them
//! (`make.py`): head counts and sizes, GQA ratios, biases, windows, RoPE scalings, experts. And the same models out of the GGUF
//! files that they are written as.

#[path = "../common/mod.rs"]
mod common;

use common::{devices, load};
use resident_engine::OpenModel;
use resident_models::checkpoint::Checkpoint;
use resident_models::{Export, Quantisation};
use resident_runtime::{Choice, Kind};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use tempfile::TempDir;

const TOKENS: u32 = 24;

/// Those that GGUF has no words for, and which words are missing.
const NOT_WRITTEN: [(&str, &str); 9] = [
    ("gemma2_no_caps", "other scale of the scores"),
    ("gemma2_scale", "other scale of the scores"),
    ("moe_and_dense", "no layers without experts"),
    ("moe_every_other", "shares of experts"),
    ("moe_plain_shares", "shares of experts"),
    ("phi3_longrope", "RoPE scaling"),
    ("qwen2_upper_windows", "windows on these layers"),
    ("qwen3_biases", "biases"),
    ("smollm3_other_layers", "other layers without positions"),
];

/// Those that a Vulkan device runs, too: compiling their kernels takes a software driver a second or two each, and the
/// kernels have tests of their own.
const ON_VULKAN: [&str; 6] = [
    "gemma2_scale",
    "llama_biases_gqa7",
    "mistral_window",
    "moe_plain_shares",
    "phi3_partial_window",
    "qwen3_gqa3",
];

#[derive(Deserialize)]
struct Case {
    config: Value,
    tensors: BTreeMap<String, Vec<usize>>,
}

impl Case {
    /// As the folder of a Hugging Face model.
    fn folder(&self) -> TempDir {
        let folder = tempfile::tempdir().expect("folder");
        fs::write(folder.path().join("config.json"), self.config.to_string()).expect("config.json");
        let data: Vec<Vec<u8>> = self.tensors.iter().map(|(name, shape)| values(name, shape)).collect();
        let tensors = self.tensors.iter().zip(&data).map(|((name, shape), data)| {
            (name, TensorView::new(Dtype::F32, shape.clone(), data).expect("bytes of this shape"))
        });
        let bytes = safetensors::serialize(tensors, None).expect("tensors");
        fs::write(folder.path().join("model.safetensors"), bytes).expect("model.safetensors");
        folder
    }

    fn ids(&self) -> Vec<u32> {
        let vocab = self.config["vocab_size"].as_u64().expect("vocab_size") as u32;
        (0..TOKENS).map(|place| (7 * place * place + 3 * place + 5) % vocab).collect()
    }
}

/// The bytes of a tensor of f32, made as `values` in `make.py` makes it.
fn values(name: &str, shape: &[usize]) -> Vec<u8> {
    let hash = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let mut state = name.bytes().fold(0x811c_9dc5, hash);
    let exponent = (shape[shape.len() - 1] as f32).log2() / 2.0;
    let (scale, centre) = match shape.len() {
        1 => (0.125, if name.ends_with("norm.weight") { 1.0 } else { 0.0 }),
        _ => ((-exponent.floor()).exp2(), 0.0),
    };
    let value = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (((state >> 24) as f32 / 64.0 - 2.0) * scale + centre).to_le_bytes()
    };
    (0..shape.iter().product()).flat_map(value).collect()
}

fn cases() -> BTreeMap<String, Case> {
    serde_json::from_str(include_str!("cases.json")).expect("cases")
}

fn score(path: &Path, choice: &Choice, ids: &[u32]) -> Vec<f32> {
    load(&OpenModel::open(path).expect("model"), choice, TOKENS, true).score(ids).expect("logits")
}

#[test]
fn other_shapes_compute_what_transformers_does() {
    let expected = SafeTensors::deserialize(include_bytes!("logits.safetensors")).expect("logits");
    for (name, case) in cases() {
        let expected = expected.tensor(&name).expect("a case's logits").data();
        let expected: Vec<f32> =
            expected.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let folder = case.folder();
        let takes_part = |choice: &Choice| choice.kind() == Kind::Cpu || ON_VULKAN.contains(&name.as_str());
        for choice in devices().into_iter().filter(takes_part) {
            let found = score(folder.path(), &choice, &case.ids());
            let difference = resident_tensor::compare(&found, &expected);
            assert!(difference.relative_l2 < 2e-5, "{name} on {}: {difference}", choice.kind());
        }
    }
}

#[test]
fn other_shapes_are_the_same_in_gguf_or_refused_by_name() {
    let cpu = devices().remove(0);
    for (name, case) in cases() {
        let folder = case.folder();
        let checkpoint = Checkpoint::open(folder.path()).expect("folder");
        let export = Export::plan(&checkpoint, Quantisation::Bf16);
        if let Some((_, missing)) = NOT_WRITTEN.iter().find(|(refused, _)| *refused == name) {
            let error = export.err().expect("refused").to_string();
            assert!(error.contains(missing), "{name}: {error}");
            continue;
        }
        let path = folder.path().join("written.gguf");
        let mut file = File::create(&path).expect("file");
        let export = export.unwrap_or_else(|error| panic!("{name}: {error}"));
        export.write(&mut file, &mut |_, _| {}).expect("written");
        let [found, expected] = [path.as_path(), folder.path()].map(|path| score(path, &cpu, &case.ids()));
        let difference = resident_tensor::compare(&found, &expected);
        // Thetas and divisors are f32 there.
        assert!(difference.relative_l2 < 1e-5, "{name}: {difference}");
    }
}

/// Early files of the family lack the keys, and their readers take these values.
#[test]
fn gemma_2_without_its_keys_has_the_usual_caps_and_window() {
    let mut case = cases().remove("gemma2_caps").expect("the case");
    case.config["attn_logit_softcapping"] = 50.0.into();
    case.config["final_logit_softcapping"] = 30.0.into();
    case.config["sliding_window"] = 4096.into();
    let folder = case.folder();
    let checkpoint = Checkpoint::open(folder.path()).expect("folder");
    let mut bytes = Vec::new();
    let export = Export::plan(&checkpoint, Quantisation::Bf16).expect("plan");
    export.write(&mut bytes, &mut |_, _| {}).expect("written");
    let keys = ["attn_logit_softcapping", "final_logit_softcapping", "attention.sliding_window"];
    for key in keys.map(|key| format!("gemma2.{key}")) {
        let at = bytes.windows(key.len()).position(|window| window == key.as_bytes()).expect("the key");
        // Of another architecture, of which nobody asks.
        bytes[at..at + 6].copy_from_slice(b"gemma9");
    }
    let path = folder.path().join("early.gguf");
    fs::write(&path, bytes).expect("file");
    let cpu = devices().remove(0);
    let [found, expected] = [path.as_path(), folder.path()].map(|path| score(path, &cpu, &case.ids()));
    let difference = resident_tensor::compare(&found, &expected);
    assert!(difference.relative_l2 < 1e-6, "{difference}");
}
