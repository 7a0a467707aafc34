//! Ids back to text: whole, streamed and continued.

use resident_engine::tokenizer::Tokenizer;

use crate::{TEXTS, data, from_folder, from_gguf, from_model_file};

fn tokenizers() -> Vec<(&'static str, Tokenizer)> {
    let mut tokenizers = Vec::new();
    if let Some(folder) = data("tokenizers") {
        let vocabs = folder.join("llama.cpp-vocabs");
        tokenizers.push(("qwen3", from_folder(&folder.join("qwen3"))));
        tokenizers.push(("llama3", from_gguf(&vocabs.join("ggml-vocab-llama-bpe.gguf.gz"))));
        tokenizers.push(("gpt-2", from_gguf(&vocabs.join("ggml-vocab-gpt-2.gguf"))));
        tokenizers.push(("llama2", from_model_file(&folder.join("llama2-sentencepiece"))));
    }
    if let Some(folder) = data("stories260K") {
        tokenizers.push(("stories", from_folder(&folder.join("hf"))));
    }
    tokenizers
}

#[test]
fn decoding_gives_the_text_back() {
    for (name, tokenizer) in tokenizers() {
        for text in TEXTS {
            // Text that names special tokens, composed characters (NFC) and a written-out ▁ do not come back
            // as they were.
            let composed = name == "qwen3" && text.contains('\u{301}');
            let written = text.contains('▁') && matches!(name, "llama2" | "stories");
            let special = text.contains("<s>") || text.contains("<|");
            if composed || written || special {
                continue;
            }
            let ids = tokenizer.encode(text, true).unwrap();
            assert_eq!(tokenizer.decode(&ids, true), *text, "{name}");
        }
    }
}

#[test]
fn pieces_join_to_the_decoded_whole() {
    for (name, tokenizer) in tokenizers() {
        // Every id once, in an order that cuts characters anywhere, and the ids of real text.
        let count = tokenizer.vocab_size() as u32;
        let mut streams: Vec<Vec<u32>> = vec![(0..count).map(|index| index * 7919 % count).collect()];
        streams.extend(TEXTS.iter().map(|text| tokenizer.encode(text, true).unwrap()));
        for ids in streams {
            for skip_special in [false, true] {
                let mut detokenizer = tokenizer.detokenizer(skip_special);
                let mut text: String = ids.iter().map(|&id| detokenizer.push(id)).collect();
                text += &detokenizer.finish();
                assert_eq!(text, tokenizer.decode(&ids, skip_special), "{name}");
            }
        }
    }
}

#[test]
fn an_answer_continues_its_prompt() {
    for (name, tokenizer) in tokenizers() {
        let ids = tokenizer.encode("Once upon a time there was a 🙂", true).unwrap();
        let whole = tokenizer.decode(&ids, true);
        for cut in 0..=ids.len() {
            let mut detokenizer = tokenizer.detokenizer(true);
            detokenizer.skip(&ids[..cut]);
            let mut answer: String = ids[cut..].iter().map(|&id| detokenizer.push(id)).collect();
            answer += &detokenizer.finish();
            assert!(whole.ends_with(&answer), "{name}: {answer:?}");
        }
    }
}

#[test]
fn bytes_and_flags() {
    for (name, tokenizer) in tokenizers() {
        let id = tokenizer.encode("🙂", false).unwrap();
        let bytes: Vec<u8> = id.iter().flat_map(|&id| tokenizer.token_bytes(id).unwrap()).copied().collect();
        assert!(bytes.ends_with("🙂".as_bytes()), "{name}");
        let eos = tokenizer.eos_id().unwrap_or_else(|| panic!("{name}: no eos"));
        assert!(tokenizer.is_special(eos), "{name}");
        assert_eq!(tokenizer.decode(&[eos], true), "", "{name}");
        assert!(!tokenizer.decode(&[eos], false).is_empty(), "{name}");
        let past = tokenizer.vocab_size() as u32;
        assert_eq!((tokenizer.token_bytes(past), tokenizer.is_special(past)), (None, false));
        assert_eq!(tokenizer.decode(&[past, u32::MAX], false), "");
    }
}
