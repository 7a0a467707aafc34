//! Embeddings against the hidden states of an independent implementation, on the CPU device and through Vulkan.

mod common;

use common::{data, devices, load_with};
use resident_engine::{Engine, EngineOptions, OpenModel, Pooling};
use safetensors::SafeTensors;
use std::path::Path;

/// The golden's 7 tokens and their vectors behind the final norm, `[7, hidden]`.
fn golden(bytes: &[u8]) -> (Vec<u32>, Vec<f32>) {
    let tensors = SafeTensors::deserialize(bytes).expect("golden");
    let words = |name: &str| {
        let data = tensors.tensor(name).expect(name).data().to_vec();
        data.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect::<Vec<_>>()
    };
    let shape = tensors.tensor("len7.hidden_states").expect("hidden states").shape().to_vec();
    let states: Vec<f32> = words("len7.hidden_states").into_iter().map(f32::from_bits).collect();
    (words("len7.ids"), states[(shape[0] - 1) * shape[1] * shape[2]..].to_vec())
}

/// The folder of a model without its head, as models for embeddings are published: names without a prefix, another class.
fn without_head(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("folder");
    let read = |name: &str| std::fs::read(folder.join(name)).expect(name);
    let mut config: serde_json::Value = serde_json::from_slice(&read("config.json")).expect("JSON");
    config["architectures"] = serde_json::json!(["Qwen3Model"]);
    config["tie_word_embeddings"] = false.into();
    std::fs::write(copy.path().join("config.json"), config.to_string()).expect("config.json");
    let bytes = read("model.safetensors");
    let tensors = SafeTensors::deserialize(&bytes).expect("tensors").tensors();
    let bare = tensors.iter().filter_map(|(name, view)| Some((name.strip_prefix("model.")?, view)));
    let bytes = safetensors::serialize(bare, None).expect("tensors");
    std::fs::write(copy.path().join("model.safetensors"), bytes).expect("model.safetensors");
    copy
}

#[test]
fn a_model_without_a_head_makes_embeddings_and_no_text() {
    let Some(folder) = data("goldens-dev/qwen3/f32") else { return };
    let bytes = std::fs::read(folder.join("golden.safetensors")).expect("golden");
    let (ids, states) = golden(&bytes);
    let bare = without_head(&folder);
    let open = OpenModel::open(bare.path()).expect("model");
    let choice = devices().remove(0);
    let options = EngineOptions { score: false, pooling: Some(Pooling::Last), ..EngineOptions::exact(64) };
    let found = load_with(&open, &choice, options).embed(&ids).expect("embed");
    let difference = resident_tensor::compare(&found, &states[states.len() - found.len()..]);
    assert!(difference.relative_l2 < 1e-5, "{difference}");
    let text = Engine::load(&open, &choice, EngineOptions::fast(64), &mut |_, _| {});
    let error = text.err().expect("refused").to_string();
    assert!(error.contains("has no head") && error.contains("resident embed"), "{error}");
}

#[test]
fn texts_pool_to_the_mean_or_the_last_of_their_hidden_states() {
    for name in ["qwen3", "gemma3"] {
        let Some(folder) = data(&format!("goldens-dev/{name}/f32")) else { return };
        let bytes = std::fs::read(folder.join("golden.safetensors")).expect("golden");
        let (ids, states) = golden(&bytes);
        let hidden = states.len() / ids.len();
        let open = OpenModel::open(&folder).expect("model");
        for (choice, pooling) in devices().into_iter().zip([Pooling::Mean, Pooling::Last].into_iter().cycle())
        {
            let options = EngineOptions { score: false, pooling: Some(pooling), ..EngineOptions::exact(64) };
            let mut engine = load_with(&open, &choice, options);
            let found = engine.embed(&ids).expect("embed");
            let expected: Vec<f32> = match pooling {
                Pooling::Mean => {
                    let mean =
                        |col: usize| states.iter().skip(col).step_by(hidden).sum::<f32>() / ids.len() as f32;
                    (0..hidden).map(mean).collect()
                }
                Pooling::Last => states[states.len() - hidden..].to_vec(),
            };
            let difference = resident_tensor::compare(&found, &expected);
            assert!(difference.relative_l2 < 1e-5, "{name} {pooling:?} on {}: {difference}", choice.kind());
            // The next text does not go on where this one ended.
            assert_eq!(engine.embed(&ids).expect("again"), found);
        }
    }
}
