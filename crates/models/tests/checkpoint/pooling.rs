//! How models for embeddings say that they pool, and what of it is refused.

use crate::gguf_writer::{Value, tiny_llama};
use crate::support::{assert_names, folder};
use resident_models::checkpoint::{Checkpoint, CheckpointError, StoredPooling};
use std::fs;

fn of_gguf(pooling_type: u32) -> Result<Option<StoredPooling>, CheckpointError> {
    let file = tiny_llama().entry("llama.pooling_type", Value::U32(pooling_type)).finish();
    let checkpoint = Checkpoint::from_bytes("test.gguf", file.leak())?;
    resident_models::max_context(&checkpoint).expect("the forward pass is that of any other");
    checkpoint.pooling()
}

#[test]
fn gguf_names_it_by_number() {
    assert_eq!(of_gguf(0).unwrap(), None);
    assert_eq!(of_gguf(1).unwrap(), Some(StoredPooling::Mean));
    assert_eq!(of_gguf(3).unwrap(), Some(StoredPooling::Last));
    assert_names(&of_gguf(2).unwrap_err().to_string(), &[r#""llama.pooling_type" = 2"#, "have the mean"]);
}

/// The pooling of a folder with these modules and this configuration of the second one.
fn of_folder(modules: &str, config: &str) -> Result<Option<StoredPooling>, CheckpointError> {
    let folder = folder(&[
        ("config.json", br#"{"model_type": "qwen3"}"#),
        ("model.safetensors", b"\x02\0\0\0\0\0\0\0{}"),
        ("modules.json", modules.as_bytes()),
    ]);
    fs::create_dir(folder.path().join("1_Pooling")).unwrap();
    fs::write(folder.path().join("1_Pooling/config.json"), config).unwrap();
    Checkpoint::open(folder.path())?.pooling()
}

fn modules(classes: &[&str]) -> String {
    let module = |class: &&str| {
        format!(r#"{{"idx": 0, "path": "1_Pooling", "type": "sentence_transformers.models.{class}"}}"#)
    };
    format!("[{}]", classes.iter().map(module).collect::<Vec<_>>().join(", "))
}

#[test]
fn folders_name_it_by_switches() {
    let usual = modules(&["Transformer", "Pooling", "Normalize"]);
    let last = r#"{"word_embedding_dimension": 8, "pooling_mode_mean_tokens": false, "pooling_mode_lasttoken": true}"#;
    assert_eq!(of_folder(&usual, last).unwrap(), Some(StoredPooling::Last));
    assert_eq!(
        of_folder(&usual, r#"{"pooling_mode_mean_tokens": true}"#).unwrap(),
        Some(StoredPooling::Mean)
    );
    let cls = of_folder(&usual, r#"{"pooling_mode_cls_token": true}"#).unwrap_err().to_string();
    assert_names(&cls, &["1_Pooling", r#""pooling_mode_cls_token" = true"#]);
    let both = r#"{"pooling_mode_mean_tokens": true, "pooling_mode_lasttoken": true}"#;
    assert_names(&of_folder(&usual, both).unwrap_err().to_string(), &["true for 2", "one of them"]);
    let dense = of_folder(&modules(&["Transformer", "Pooling", "Dense"]), last).unwrap_err().to_string();
    assert_names(&dense, &["modules.json", "sentence_transformers.models.Dense"]);
    let outside = usual.replace("1_Pooling", "../1_Pooling");
    assert_names(&of_folder(&outside, last).unwrap_err().to_string(), &["modules.json", "Pooling"]);
}
