//! SentencePiece's vocabularies: every token with a score.

use std::sync::Arc;

use super::super::error::{Origin, TokenizerError};
use super::super::sentencepiece::{
    self, Algorithm, CharsMap, Piece, PieceKind, SentencePiece, SpacePrefix, Spaces,
};
use super::super::{Encoder, Frame, NamedTokens, Tokenizer};
use super::{GgufVocabulary, TOKENS, require_count};

pub(super) fn load(
    origin: &Origin,
    algorithm: Algorithm,
    metadata: GgufVocabulary,
    kinds: &[PieceKind],
    named: NamedTokens,
) -> Result<Tokenizer, TokenizerError> {
    require_count(origin, "tokenizer.ggml.scores", metadata.scores.len(), metadata.tokens.len())?;
    let pieces: Vec<Piece> = metadata
        .tokens
        .into_iter()
        .zip(metadata.scores)
        .zip(kinds)
        .map(|((text, score), &kind)| Piece { text, score, kind })
        .collect();
    let chars_map = match &metadata.chars_map[..] {
        [] => None,
        bytes => Some(CharsMap::parse(origin, "tokenizer.ggml.precompiled_charsmap", bytes)?),
    };
    let prefix = match metadata.add_space_prefix {
        Some(false) => SpacePrefix::Never,
        _ => SpacePrefix::EveryFragment,
    };
    let spaces = Spaces { prefix, remove_extra: metadata.remove_extra_whitespaces.unwrap_or(false) };
    let mut vocabulary = sentencepiece::vocabulary(origin, &pieces, &spaces)?;
    for (id, _) in (0u32..).zip(kinds).filter(|&(_, &kind)| kind == PieceKind::Unused) {
        vocabulary.insert_verbatim(origin, id, "", false)?;
    }
    let encoder = SentencePiece::new(origin, TOKENS, &pieces, (algorithm, chars_map), spaces)?;
    let (before, after) = match algorithm {
        Algorithm::BytePair => (named.bos, None),
        // T5 ends a text and does not begin it.
        Algorithm::Unigram => (None, named.eos),
    };
    let frame = Frame { before: before.into_iter().collect(), after: after.into_iter().collect() };
    Ok(Tokenizer {
        encoder: Encoder::SentencePiece(Box::new(encoder)),
        vocabulary: Arc::new(vocabulary),
        frame,
        named,
    })
}
