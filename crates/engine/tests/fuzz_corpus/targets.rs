//! What fuzzing and the tests of its corpus do with bytes that nobody vouches for: load, and use what loads. Nothing here
//! says what must come of it; it must come to an end, without a panic and within bounded memory.

use resident_engine::chat::{ChatTemplate, Conversation, Value};
use resident_engine::tokenizer::{GgufVocabulary, Tokenizer};
use resident_models::checkpoint::gguf::Directory;

/// Texts that tokenizers trip over.
const TEXTS: &[&str] = &["", " he  llo\n", "é e\u{301} 🙂 \u{fb01}", "<s>▁<0x41></s>", "日本語 12345 don't"];

fn tokenize(tokenizer: &Tokenizer) {
    for text in TEXTS {
        for ids in [tokenizer.encode(text, true), tokenizer.encode_plain(text, false)] {
            let ids = ids.unwrap_or_default();
            let mut detokenizer = tokenizer.detokenizer(false);
            let streamed: String = ids.iter().map(|&id| detokenizer.push(id)).collect();
            assert_eq!(streamed + &detokenizer.finish(), tokenizer.decode(&ids, false));
        }
    }
    tokenizer.decode(&[0, 1, u32::MAX], true);
}

/// A `tokenizer.json` or a `tokenizer.model`.
pub(crate) fn tokenizer_file(bytes: &[u8]) {
    if let Ok(tokenizer) = Tokenizer::from_bytes("fuzz", bytes) {
        tokenize(&tokenizer);
    }
}

/// A GGUF file, read for its vocabulary.
pub(crate) fn gguf_vocabulary(bytes: &[u8]) {
    if let Ok(directory) = Directory::parse("fuzz", bytes)
        && let Ok(vocabulary) = GgufVocabulary::from_metadata(directory.metadata(bytes))
        && let Ok(tokenizer) = Tokenizer::from_gguf(vocabulary)
    {
        tokenize(&tokenizer);
    }
}

/// A chat template.
pub(crate) fn chat_template(bytes: &[u8]) {
    let message = |role: &str, content: &str| Value::from_pairs([("role", role), ("content", content)]);
    let messages =
        vec![message("system", "Be brief."), message("user", "é"), message("assistant", "<think>x</think>y")];
    let conversation = Conversation {
        messages,
        tools: Some(Value::from(vec![Value::from_pairs([("type", "function"), ("name", "f")])])),
        add_generation_prompt: true,
        ..Default::default()
    };
    if let Ok(source) = std::str::from_utf8(bytes)
        && let Ok(template) = ChatTemplate::new(source)
    {
        let _ = template.render(&conversation);
    }
}
