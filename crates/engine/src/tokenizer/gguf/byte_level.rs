//! Byte-level BPE: tokens in GPT-2's alphabet, merges, and the name of a pre-tokenizer.

use std::sync::Arc;

use tokenizers::AddedToken;
use tokenizers::models::bpe::Vocab;

use super::super::byte_pair::{self, BytePairParts};
use super::super::error::{Origin, TokenizerError};
use super::super::pipeline::Surroundings;
use super::super::pre_tokenizers::PreTokenizer;
use super::super::sentencepiece::PieceKind;
use super::super::vocabulary::{Spelling, Vocabulary, missing_bytes};
use super::super::{Encoder, Frame, NamedTokens, Tokenizer};
use super::{GgufVocabulary, TOKENS};

pub(super) fn load(
    origin: &Origin,
    metadata: GgufVocabulary,
    kinds: &[PieceKind],
    named: NamedTokens,
) -> Result<Tokenizer, TokenizerError> {
    let pre = PreTokenizer::named(origin, metadata.pre.as_deref())?;
    let merges = merges(origin, &metadata.merges)?;
    let mut vocabulary = Vocabulary::new(false);
    let mut vocab = Vocab::new();
    let mut added_tokens = Vec::new();
    for ((id, text), &kind) in (0u32..).zip(&metadata.tokens).zip(kinds) {
        let is_special = matches!(kind, PieceKind::Control | PieceKind::Unknown);
        match kind {
            PieceKind::Normal | PieceKind::Byte => {
                vocabulary.insert(origin, id, text, Spelling::ByteLevel)?;
            }
            PieceKind::Unused => vocabulary.insert_verbatim(origin, id, "", false)?,
            PieceKind::Control | PieceKind::Unknown | PieceKind::UserDefined => {
                vocabulary.insert_verbatim(origin, id, text, is_special)?;
                let token = AddedToken::from(text.as_str(), is_special).normalized(false);
                added_tokens.extend((!text.is_empty()).then_some((id, token)));
            }
        }
        if !text.is_empty()
            && let Some(other) = vocab.insert(text.clone(), id)
        {
            let found = format!("{text:?}, which is token {other} too");
            return Err(origin.malformed(format!("{TOKENS}[{id}]"), found, "each token once"));
        }
    }
    let missing_bytes = missing_bytes(origin, TOKENS, |text| vocab.contains_key(text))?;
    let parts = BytePairParts {
        vocab,
        merges,
        unk_token: None,
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: pre.ignore_merges,
    };
    let around = Surroundings {
        normalizer: pre.normalizer(),
        pre_tokenizer: Some(pre.splits()),
        added_tokens,
        missing_bytes,
    };
    let pipeline = byte_pair::pipeline(origin, "tokenizer.ggml.merges", parts, around)?;
    let encoder = Encoder::Pipeline(Box::new(pipeline));
    let before = named.bos.filter(|_| pre.add_bos).into_iter().collect();
    let frame = Frame { before, after: Vec::new() };
    Ok(Tokenizer { encoder, vocabulary: Arc::new(vocabulary), frame, named })
}

fn merges(origin: &Origin, lines: &[String]) -> Result<Vec<(String, String)>, TokenizerError> {
    let key = "tokenizer.ggml.merges";
    if lines.is_empty() {
        return Err(origin.malformed(key, "none", "the merges of a BPE model"));
    }
    let pair = |(rank, line): (usize, &String)| match line.split_once(' ') {
        Some((left, right)) => Ok((left.to_owned(), right.to_owned())),
        None => Err(origin.malformed(
            format!("{key}[{rank}]"),
            format!("{line:?}"),
            "two tokens with one space between",
        )),
    };
    lines.iter().enumerate().map(pair).collect()
}
