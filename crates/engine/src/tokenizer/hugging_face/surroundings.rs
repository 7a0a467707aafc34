//! Normalizer, pre-tokenizer and added tokens of a `tokenizer.json`.

use serde::Deserialize;
use serde_json::Value;
use tokenizers::AddedToken;

use super::super::error::{Origin, TokenizerError};
use super::super::json::JsonObject;
use super::super::pipeline::Surroundings;
use super::super::sentencepiece::CharsMap;
use super::steps;

const NORMALIZERS: &[&str] = &[
    "Sequence",
    "NFC",
    "NFD",
    "NFKC",
    "NFKD",
    "Lowercase",
    "Strip",
    "StripAccents",
    "Prepend",
    "Replace",
    "BertNormalizer",
    "Precompiled",
    "Nmt",
    "ByteLevel",
];
const PRE_TOKENIZERS: &[&str] = &[
    "Sequence",
    "Split",
    "ByteLevel",
    "Digits",
    "Metaspace",
    "Punctuation",
    "Whitespace",
    "WhitespaceSplit",
    "BertPreTokenizer",
    "UnicodeScripts",
    "CharDelimiterSplit",
];

#[derive(Deserialize)]
struct AddedTokenWithId {
    id: u32,
    #[serde(flatten)]
    token: AddedToken,
}

pub(super) fn read(origin: &Origin, file: &JsonObject) -> Result<Surroundings, TokenizerError> {
    let tokens: Option<Vec<AddedTokenWithId>> = file.get("added_tokens", "a list of tokens")?;
    Ok(Surroundings {
        normalizer: part(origin, file, "normalizer", NORMALIZERS)?,
        pre_tokenizer: part(origin, file, "pre_tokenizer", PRE_TOKENIZERS)?,
        added_tokens: tokens.into_iter().flatten().map(|added| (added.id, added.token)).collect(),
        missing_bytes: Vec::new(),
    })
}

/// A part whose types, also inside sequences, are all in `known`.
fn part<T: serde::de::DeserializeOwned>(
    origin: &Origin,
    file: &JsonObject,
    key: &str,
    known: &[&str],
) -> Result<Option<T>, TokenizerError> {
    let Some(value) = file.get::<Value>(key, "an object")? else {
        return Ok(None);
    };
    for step in steps(&value) {
        let kind = step["type"].as_str().unwrap_or("a step without a type");
        if !known.contains(&kind) {
            return Err(origin.unsupported(key, kind, known.join(", ")));
        }
        if kind == "Precompiled" {
            check_charsmap(origin, key, step)?;
        }
    }
    let part = serde_json::from_value(value);
    part.map(Some).map_err(|error| origin.malformed(key, error, "the parameters of its type"))
}

/// The library believes every number of such a table.
fn check_charsmap(origin: &Origin, key: &str, step: &Value) -> Result<(), TokenizerError> {
    let text = step["precompiled_charsmap"].as_str().unwrap_or_default();
    let key = format!("{key}.precompiled_charsmap");
    let bytes = base64::decode(text).map_err(|error| origin.malformed(&key, error, "base64"))?;
    CharsMap::parse(origin, &key, &bytes).map(drop)
}
