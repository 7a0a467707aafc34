//! The saved corpus of the fuzz targets, and damaged copies of it: each comes to an end, without a panic.

mod targets;

use std::fs;
use std::path::{Path, PathBuf};

use targets::{
    chat_template, config, gguf_model, gguf_vocabulary, safetensors_folder, tokenizer_file, tokenizer_folder,
};

/// Every file of a target's corpus, and what lies elsewhere and serves as seed.
fn files(folders: &[&str]) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let entries = folders.iter().filter_map(|folder| fs::read_dir(root.join(folder)).ok()).flatten();
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

/// The bytes themselves, cut off, and with some bytes changed: the same ones every time.
fn run(target: fn(&[u8]), folders: &[&str], damaged: usize) {
    let files = files(folders);
    assert!(!files.is_empty(), "no corpus in {folders:?}");
    let mut state = 1u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % below.max(1)
    };
    for path in files {
        let sound = fs::read(&path).unwrap();
        target(&sound);
        for _ in 0..damaged {
            target(&sound[..random(sound.len() + 1)]);
            let mut bytes = sound.clone();
            for _ in 0..1 + random(4) {
                let at = random(bytes.len());
                let values = [random(256) as u8, 0, 0xff, b'"', b'{'];
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = values[random(values.len())];
                }
            }
            target(&bytes);
        }
    }
}

#[test]
fn tokenizer_files() {
    run(tokenizer_file, &["fuzz/corpus/tokenizer_file", "crates/engine/tests/tokenizer/fixtures"], 40);
}

#[test]
fn gguf_vocabularies() {
    run(gguf_vocabulary, &["fuzz/corpus/gguf_vocabulary"], 300);
}

#[test]
fn gguf_models() {
    run(gguf_model, &["fuzz/corpus/gguf_model"], 40);
}

#[test]
fn safetensors_folders() {
    run(safetensors_folder, &["fuzz/corpus/safetensors_folder"], 60);
}

#[test]
fn configs() {
    run(config, &["fuzz/corpus/config"], 100);
}

#[test]
fn tokenizer_folders() {
    run(tokenizer_folder, &["fuzz/corpus/tokenizer_folder"], 100);
}

#[test]
fn chat_templates() {
    run(chat_template, &["fuzz/corpus/chat_template", "../shared/data/tokenizers/chat-templates"], 60);
}
