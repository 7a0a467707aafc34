//! The model of a `tokenizer.json`: its vocabulary and how pieces of text become tokens of it.

use serde::Deserialize;
use tokenizers::models::bpe::Vocab;
use tokenizers::models::unigram::Unigram;
use tokenizers::models::wordpiece::WordPiece;

use super::super::byte_pair::{self, BytePairParts};
use super::super::error::{Origin, TokenizerError};
use super::super::json::JsonObject;
use super::super::pipeline::{Pipeline, Surroundings};
use super::super::vocabulary::{CONTINUES, Spelling, missing_bytes};

/// Words are searched in time of the square of their length.
const MAX_WORD_CHARS: usize = 1000;

pub(super) enum ModelParts {
    BytePair(BytePairParts),
    WordPiece { vocab: Vocab, unk_token: String, max_word_chars: usize },
    Unigram { pieces: Vec<(String, f64)>, unk_id: Option<usize>, byte_fallback: bool },
}

/// A merge, as `"a b"` in older files and `["a", "b"]` in newer ones.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Pair(String, String),
    Line(String),
}

const VOCAB: &str = "an object of tokens and their ids";

impl ModelParts {
    pub(super) fn read(origin: &Origin, file: &JsonObject) -> Result<Self, TokenizerError> {
        let model = file.object("model")?;
        let kind: Option<String> = model.get("type", "a name")?;
        match kind.as_deref() {
            None | Some("BPE") => byte_pair_parts(origin, &model).map(Self::BytePair),
            Some("WordPiece") => word_piece_parts(origin, &model),
            Some("Unigram") => unigram_parts(origin, &model),
            Some(kind) => Err(origin.unsupported("model.type", kind, "BPE, WordPiece, Unigram")),
        }
    }

    pub(super) fn is_word_piece(&self) -> bool {
        matches!(self, Self::WordPiece { .. })
    }

    /// The vocabulary: text and id.
    pub(super) fn tokens(&self) -> Box<dyn Iterator<Item = (&str, u32)> + '_> {
        match self {
            Self::BytePair(BytePairParts { vocab, .. }) | Self::WordPiece { vocab, .. } => {
                Box::new(vocab.iter().map(|(text, &id)| (text.as_str(), id)))
            }
            Self::Unigram { pieces, .. } => Box::new(pieces.iter().map(|(text, _)| text.as_str()).zip(0..)),
        }
    }

    fn has_token(&self, wanted: &str) -> bool {
        match self {
            Self::BytePair(BytePairParts { vocab, .. }) | Self::WordPiece { vocab, .. } => {
                vocab.contains_key(wanted)
            }
            Self::Unigram { pieces, .. } => pieces.iter().any(|(text, _)| text == wanted),
        }
    }

    /// The bytes without a token, where the vocabulary is byte-level. Any other in which some characters would have no
    /// tokens and silently vanish is refused.
    pub(super) fn missing_bytes(
        &self,
        origin: &Origin,
        spelling: Spelling,
    ) -> Result<Vec<u8>, TokenizerError> {
        let is_token = |text: &str| self.has_token(text);
        let (unk, byte_fallback) = match self {
            Self::BytePair(parts) => (parts.unk_token.clone(), parts.byte_fallback),
            Self::WordPiece { unk_token, .. } => (Some(unk_token.clone()), false),
            Self::Unigram { pieces, unk_id, byte_fallback } => {
                (unk_id.and_then(|id| pieces.get(id)).map(|(text, _)| text.clone()), *byte_fallback)
            }
        };
        if unk.as_deref().is_some_and(is_token) {
            return Ok(Vec::new());
        }
        if spelling == Spelling::ByteLevel && !self.is_word_piece() {
            return missing_bytes(origin, "model.vocab", is_token);
        }
        if byte_fallback && (0..=255u8).all(|byte| is_token(&format!("<0x{byte:02X}>"))) {
            return Ok(Vec::new());
        }
        let found = format!("unk_token {unk:?} and no token for every byte");
        Err(origin.malformed("model", found, "tokens for unknown characters"))
    }

    pub(super) fn pipeline(self, origin: &Origin, around: Surroundings) -> Result<Pipeline, TokenizerError> {
        let malformed = |error: tokenizers::Error| origin.malformed("model", error, "a sound vocabulary");
        match self {
            Self::BytePair(parts) => byte_pair::pipeline(origin, "model", parts, around),
            Self::WordPiece { vocab, unk_token, max_word_chars } => {
                let model = word_piece(vocab, unk_token, max_word_chars).map_err(malformed)?;
                Pipeline::new(origin, "model", model, around)
            }
            Self::Unigram { pieces, unk_id, byte_fallback } => {
                let model = Unigram::from(pieces, unk_id, byte_fallback).map_err(malformed)?;
                Pipeline::new(origin, "model", model, around)
            }
        }
    }
}

/// The library's WordPiece with `##` before the pieces within a word.
pub(in super::super) fn word_piece(
    vocab: Vocab,
    unk_token: String,
    max_word_chars: usize,
) -> tokenizers::Result<WordPiece> {
    let model = WordPiece::builder().vocab(vocab).unk_token(unk_token);
    model.continuing_subword_prefix(CONTINUES.into()).max_input_chars_per_word(max_word_chars).build()
}

fn byte_pair_parts(origin: &Origin, model: &JsonObject) -> Result<BytePairParts, TokenizerError> {
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
        let affix: Option<String> = model.get(key, "a string")?;
        if let Some(affix) = affix.filter(|affix| !affix.is_empty()) {
            return Err(origin.unsupported(model.path_of(key), format!("{affix:?}"), "null"));
        }
    }
    let dropout: Option<f32> = model.get("dropout", "a number")?;
    if let Some(dropout) = dropout.filter(|&dropout| dropout != 0.0) {
        return Err(origin.unsupported("model.dropout", dropout, "null: it makes ids random"));
    }
    let flag = |key| Ok(model.get(key, "true or false")?.unwrap_or(false));
    Ok(BytePairParts {
        vocab: model.require("vocab", VOCAB)?,
        merges: merges(origin, model)?,
        unk_token: model.get("unk_token", "a token")?,
        fuse_unk: flag("fuse_unk")?,
        byte_fallback: flag("byte_fallback")?,
        ignore_merges: flag("ignore_merges")?,
    })
}

fn merges(origin: &Origin, model: &JsonObject) -> Result<Vec<(String, String)>, TokenizerError> {
    let merges: Vec<Merge> = model.require("merges", "a list of token pairs")?;
    let pairs = merges.into_iter().enumerate().map(|(rank, merge)| match merge {
        Merge::Pair(left, right) => Ok((left, right)),
        Merge::Line(line) => match line.split_once(' ') {
            Some((left, right)) if !right.contains(' ') => Ok((left.into(), right.into())),
            _ => Err(origin.malformed(
                format!("model.merges[{rank}]"),
                format!("{line:?}"),
                "two tokens with one space between",
            )),
        },
    });
    pairs.collect()
}

fn word_piece_parts(origin: &Origin, model: &JsonObject) -> Result<ModelParts, TokenizerError> {
    let key = "continuing_subword_prefix";
    let prefix: Option<String> = model.get(key, "a string")?;
    if let Some(prefix) = prefix.filter(|prefix| prefix != CONTINUES) {
        return Err(origin.unsupported(model.path_of(key), format!("{prefix:?}"), format!("{CONTINUES:?}")));
    }
    let key = "max_input_chars_per_word";
    let max_word_chars = model.get(key, "a number")?.unwrap_or(100);
    if max_word_chars > MAX_WORD_CHARS {
        let supported = format!("at most {MAX_WORD_CHARS}");
        return Err(origin.unsupported(model.path_of(key), max_word_chars, supported));
    }
    Ok(ModelParts::WordPiece {
        vocab: model.require("vocab", VOCAB)?,
        unk_token: model.get("unk_token", "a token")?.unwrap_or_else(|| "[UNK]".into()),
        max_word_chars,
    })
}

fn unigram_parts(origin: &Origin, model: &JsonObject) -> Result<ModelParts, TokenizerError> {
    let pieces: Vec<(String, f64)> = model.require("vocab", "a list of pieces and their scores")?;
    if let Some(id) = pieces.iter().position(|(_, score)| !score.is_finite()) {
        let found = format!("score {}", pieces[id].1);
        return Err(origin.malformed(format!("model.vocab[{id}]"), found, "a number"));
    }
    if let Some(id) = pieces.iter().position(|(text, _)| text.is_empty()) {
        return Err(origin.malformed(format!("model.vocab[{id}]"), "an empty piece", "text"));
    }
    let unk_id: Option<usize> = model.get("unk_id", "an id")?;
    if let Some(id) = unk_id.filter(|&id| id >= pieces.len()) {
        let expected = format!("an id below {}", pieces.len());
        return Err(origin.malformed("model.unk_id", id, expected));
    }
    let byte_fallback = model.get("byte_fallback", "true or false")?.unwrap_or(false);
    Ok(ModelParts::Unigram { pieces, unk_id, byte_fallback })
}
