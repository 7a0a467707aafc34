//! `tokenizer.json`, the file of Hugging Face's tokenizers library.
//!
//! Every part is read here and refused by name when it is not one of those listed: the library panics on some
//! broken files and ignores some keys.
//!
//! - `models`: BPE, WordPiece and Unigram.
//! - `surroundings`: normalizers, pre-tokenizers, added tokens.
//! - `decoder`: what the tokens' texts stand for.
//! - `post_processor`: the special tokens around a text.

mod decoder;
mod models;
mod post_processor;
mod surroundings;

use std::sync::Arc;

use serde_json::Value;
use tokenizers::AddedToken;

use super::error::{Origin, TokenizerError};
use super::json::JsonObject;
use super::vocabulary::Vocabulary;
use super::{Encoder, NamedTokens, Tokenizer, text};
use decoder::DecodeRules;
use models::ModelParts;
pub(super) use models::word_piece;

/// Reads a `tokenizer.json`; which tokens are bos and eos stands elsewhere.
pub(super) fn parse(origin: &Origin, bytes: &[u8]) -> Result<Tokenizer, TokenizerError> {
    let file = JsonObject::parse(origin, text(bytes, origin)?)?;
    let mut around = surroundings::read(origin, &file)?;
    let model = ModelParts::read(origin, &file)?;
    let rules = DecodeRules::read(origin, &file, &model)?;
    around.missing_bytes = model.missing_bytes(origin, rules.spelling)?;
    let vocabulary = vocabulary(origin, &model, &around.added_tokens, &rules)?;
    let frame = post_processor::frame(origin, &file, vocabulary.len())?;
    Ok(Tokenizer {
        encoder: Encoder::Pipeline(Box::new(model.pipeline(origin, around)?)),
        vocabulary: Arc::new(vocabulary),
        frame,
        named: NamedTokens::default(),
    })
}

/// The steps of a normalizer, pre-tokenizer, post-processor or decoder, sequences opened up.
fn steps(value: &Value) -> Vec<&Value> {
    let lists = ["normalizers", "pretokenizers", "processors", "decoders"];
    match lists.iter().find_map(|&list| value[list].as_array()) {
        Some(list) if value["type"] == "Sequence" => list.iter().flat_map(steps).collect(),
        _ => vec![value],
    }
}

fn vocabulary(
    origin: &Origin,
    model: &ModelParts,
    added_tokens: &[(u32, AddedToken)],
    rules: &DecodeRules,
) -> Result<Vocabulary, TokenizerError> {
    let mut vocabulary = Vocabulary::new(rules.drops_leading_space);
    for (text, id) in model.tokens() {
        vocabulary.insert(origin, id, text, rules.spelling)?;
    }
    for (id, token) in added_tokens {
        vocabulary.insert_verbatim(origin, *id, &token.content, token.special)?;
    }
    Ok(vocabulary)
}
