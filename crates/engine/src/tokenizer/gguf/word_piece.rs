//! WordPiece: words with `▁` before them, what follows within a word without. The text is read as BERT's uncased models
//! do, as llama.cpp does for every such file: lower case, no accents, punctuation and Chinese characters on their own.

use std::sync::Arc;

use tokenizers::AddedToken;
use tokenizers::models::bpe::Vocab;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;

use super::super::error::{Origin, TokenizerError};
use super::super::hugging_face::word_piece;
use super::super::pipeline::{Pipeline, Surroundings};
use super::super::sentencepiece::PieceKind;
use super::super::vocabulary::{CONTINUES, Spelling, Vocabulary};
use super::super::{Encoder, Frame, NamedTokens, Tokenizer};
use super::{GgufVocabulary, TOKENS};

/// Longer words are unknown, as in BERT.
const MAX_WORD_CHARS: usize = 100;

pub(super) fn load(
    origin: &Origin,
    metadata: GgufVocabulary,
    kinds: &[PieceKind],
    named: NamedTokens,
) -> Result<Tokenizer, TokenizerError> {
    let unk = named.unk.and_then(|id| metadata.tokens.get(id as usize)).cloned();
    let unk = unk.or_else(|| metadata.tokens.iter().find(|token| *token == "[UNK]").cloned());
    let unk = unk.ok_or_else(|| origin.malformed(TOKENS, "no unknown token", "tokens for unknown words"))?;
    let mut vocabulary = Vocabulary::new(true);
    let mut vocab = Vocab::new();
    let mut added_tokens = Vec::new();
    for ((id, text), &kind) in (0u32..).zip(&metadata.tokens).zip(kinds) {
        let is_bracketed = text.starts_with('[') && text.ends_with(']');
        let spelled = match text.strip_prefix('▁') {
            Some(word) => word.to_owned(),
            None if is_bracketed || kind != PieceKind::Normal => text.clone(),
            None => format!("{CONTINUES}{text}"),
        };
        if kind == PieceKind::Normal {
            vocabulary.insert(origin, id, &spelled, Spelling::WordPiece { tidies: true })?;
        } else {
            vocabulary.insert_verbatim(origin, id, text, true)?;
            let token = AddedToken::from(text.as_str(), true).normalized(false);
            added_tokens.extend((!text.is_empty()).then_some((id, token)));
        }
        if let Some(other) = vocab.insert(spelled, id) {
            let found = format!("{text:?}, which is token {other} too");
            return Err(origin.malformed(format!("{TOKENS}[{id}]"), found, "each token once"));
        }
    }
    let model = word_piece(vocab, unk, MAX_WORD_CHARS);
    let model = model.map_err(|error| origin.malformed(TOKENS, error, "a sound vocabulary"))?;
    let around = Surroundings {
        normalizer: Some(BertNormalizer::new(true, true, Some(true), true).into()),
        pre_tokenizer: Some(BertPreTokenizer.into()),
        added_tokens,
        missing_bytes: Vec::new(),
    };
    let ids = |id: Option<u32>| id.into_iter().collect();
    let frame = Frame { before: ids(metadata.cls.or(named.bos)), after: ids(metadata.sep.or(named.eos)) };
    let encoder = Encoder::Pipeline(Box::new(Pipeline::new(origin, TOKENS, model, around)?));
    Ok(Tokenizer { encoder, vocabulary: Arc::new(vocabulary), frame, named })
}
