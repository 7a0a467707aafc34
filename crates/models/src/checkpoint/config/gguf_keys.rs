//! GGUF metadata under the names of Hugging Face.

use super::reader::{ConfigReader, KeyNames};
use super::token_ids::TokenIds;
use crate::checkpoint::error::{CheckpointError, Place};
use crate::checkpoint::gguf;
use serde_json::Value;
use std::collections::BTreeMap;

/// Names within the namespace of the architecture: GGUF's and Hugging Face's. Others keep their GGUF name.
static NAMES: &[(&str, &str)] = &[
    ("block_count", "num_hidden_layers"),
    ("context_length", "max_position_embeddings"),
    ("embedding_length", "hidden_size"),
    ("feed_forward_length", "intermediate_size"),
    ("attention.head_count", "num_attention_heads"),
    ("attention.head_count_kv", "num_key_value_heads"),
    ("attention.key_length", "head_dim"),
    ("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
    ("attention.sliding_window", "sliding_window"),
    ("attention.sliding_window_pattern", "sliding_window_pattern"),
    ("expert_count", "num_experts"),
    ("expert_feed_forward_length", "moe_intermediate_size"),
    ("expert_used_count", "num_experts_per_tok"),
    ("rope.freq_base", "rope_theta"),
    ("rope.freq_base_swa", "rope_local_base_freq"),
];

/// Per-layer lists have a few hundred elements.
const MAX_ARRAY_LEN: usize = 65536;

/// What a key of the reader is called in the file.
pub(super) fn in_file(architecture: &str, key: &str) -> String {
    match NAMES.iter().find(|(_, canonical)| *canonical == key) {
        Some((gguf, _)) => format!("{architecture}.{gguf}"),
        None if key.starts_with(&format!("{architecture}.")) => key.to_owned(),
        None => format!("{architecture}.{key}"),
    }
}

/// What a key of the file, without its namespace, is called in the reader.
fn canonical(architecture: &str, gguf: &str) -> String {
    if let Some((_, canonical)) = NAMES.iter().find(|(name, _)| *name == gguf) {
        return (*canonical).to_owned();
    }
    // Hugging Face's name is no GGUF key: it stays distinct, so that it is refused.
    let is_foreign = NAMES.iter().any(|(_, canonical)| *canonical == gguf);
    if is_foreign { format!("{architecture}.{gguf}") } else { gguf.to_owned() }
}

/// The namespace of the architecture. The vocabulary is as large as the embedding has rows, whatever the metadata
/// say, and the head is tied where it has no tensor.
pub(in crate::checkpoint) fn reader(
    metadata: gguf::Metadata<'_>,
    architecture: &str,
    vocab_size: u64,
    is_tied: bool,
) -> Result<ConfigReader, CheckpointError> {
    let namespace = format!("{architecture}.");
    let mut entries = BTreeMap::new();
    for (key, value) in metadata.iter() {
        let Some(name) = key.strip_prefix(&namespace) else { continue };
        let value = to_json(value).ok_or_else(|| CheckpointError::Mismatch {
            file: metadata.file().to_owned(),
            place: Place::key(key),
            found: value.to_string(),
            expected: format!("finite numbers, valid UTF-8 and at most {MAX_ARRAY_LEN} elements"),
        })?;
        entries.insert(canonical(architecture, name), value);
    }
    // What becomes of the tokens' vectors afterwards; whoever wants that asks for it.
    entries.remove("pooling_type");
    entries.insert("vocab_size".to_owned(), vocab_size.into());
    entries.insert("tie_word_embeddings".to_owned(), is_tied.into());
    Ok(ConfigReader::new(metadata.file(), architecture, KeyNames::Gguf, entries))
}

fn to_json(value: gguf::Value<'_>) -> Option<Value> {
    match value {
        gguf::Value::Unsigned(value) => Some(value.into()),
        gguf::Value::Signed(value) => Some(value.into()),
        gguf::Value::Float(value) => serde_json::Number::from_f64(value).map(Value::Number),
        gguf::Value::Bool(value) => Some(value.into()),
        gguf::Value::String(text) => std::str::from_utf8(text).ok().map(Value::from),
        gguf::Value::Array(array) if array.len > MAX_ARRAY_LEN => None,
        gguf::Value::Array(array) => array.iter().map(to_json).collect::<Option<Vec<_>>>().map(Value::Array),
    }
}

/// The special tokens. Whatever ends a turn or a message ends the text.
pub(in crate::checkpoint) fn token_ids(metadata: gguf::Metadata<'_>) -> Result<TokenIds, CheckpointError> {
    let id = |name: &str| metadata.get::<u32>(&format!("tokenizer.ggml.{name}_token_id"));
    let mut ids = TokenIds { bos: id("bos")?, eos: Vec::new(), pad: id("padding")? };
    for name in ["eos", "eot", "eom"] {
        ids.add_eos(id(name)?);
    }
    Ok(ids)
}
