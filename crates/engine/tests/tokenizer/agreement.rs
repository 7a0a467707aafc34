//! One vocabulary, several files: the same ids, bytes and special tokens from each.

use resident_engine::tokenizer::Tokenizer;

use crate::{TEXTS, data, from_folder, from_gguf, from_model_file};

/// Tokens that the tiny models' files call special in one format and user-defined in another.
const UNLIKE: &[&[u8]] = &[b"<think>", b"</think>", b"[INST]", b"[/INST]"];

fn assert_agree(name: &str, first: &Tokenizer, second: &Tokenizer) {
    for text in TEXTS {
        assert_eq!(
            first.encode(text, false).unwrap(),
            second.encode(text, false).unwrap(),
            "{name}: {text:?}"
        );
        if !UNLIKE.iter().any(|token| text.contains(str::from_utf8(token).unwrap())) {
            let (plain, expected) = (first.encode_plain(text, true), second.encode_plain(text, true));
            assert_eq!(plain.unwrap(), expected.unwrap(), "{name}: {text:?}");
        }
        let ids = first.encode(text, true).unwrap();
        assert_eq!(ids, second.encode(text, true).unwrap(), "{name}: {text:?}");
        assert_eq!(first.decode(&ids, false), second.decode(&ids, false), "{name}: {text:?}");
    }
    assert_eq!(first.vocab_size(), second.vocab_size(), "{name}");
    for id in 0..first.vocab_size() as u32 {
        assert_eq!(first.token_bytes(id), second.token_bytes(id), "{name}: token {id}");
        let user_defined = UNLIKE.contains(&first.token_bytes(id).unwrap());
        assert!(user_defined || first.is_special(id) == second.is_special(id), "{name}: token {id}");
    }
    assert_eq!(first.bos_id(), second.bos_id(), "{name}");
    assert_eq!(first.eos_id(), second.eos_id(), "{name}");
}

#[test]
fn tiny_models() {
    let Some(folder) = data("goldens-dev") else { return };
    for (model, gguf) in [
        ("qwen3", "qwen3-Q8_0.gguf"),
        ("qwen2", "qwen2-Q8_0.gguf"),
        ("llama", "llama-Q8_0.gguf"),
        ("llama3", "llama3-Q8_0.gguf"),
        ("gemma3", "gemma3-Q8_0.gguf"),
        ("qwen3moe", "qwen3moe-Q8_0.gguf"),
    ] {
        let json = from_folder(&folder.join(model).join("f32"));
        assert_agree(gguf, &json, &from_gguf(&folder.join(model).join("gguf").join(gguf)));
    }
    for model in ["llama", "mistral"] {
        let folder = folder.join(model).join("f32");
        assert_agree(model, &from_folder(&folder), &from_model_file(&folder));
    }
}

#[test]
fn stories() {
    let Some(folder) = data("stories260K") else { return };
    let json = from_folder(&folder.join("hf"));
    assert_agree("tokenizer.model", &json, &from_model_file(&folder.join("hf")));
    assert_agree("GGUF", &json, &from_gguf(&folder.join("gguf/stories260K-Q8_0.gguf")));
}

#[test]
fn llama2_file_and_gguf() {
    let Some(folder) = data("tokenizers") else { return };
    let model = from_model_file(&folder.join("llama2-sentencepiece"));
    let gguf = from_gguf(&folder.join("llama.cpp-vocabs/ggml-vocab-llama-spm.gguf"));
    assert_agree("llama2", &model, &gguf);
}
