//! Merge-ranked byte-pair encoding, put together from checked parts.

use tokenizers::models::bpe::{BPE, Merges, Vocab};

use super::error::{Origin, TokenizerError};
use super::pipeline::{Pipeline, Surroundings};

/// The parts of the model, whichever file they come from.
pub(super) struct BytePairParts {
    pub(super) vocab: Vocab,
    pub(super) merges: Merges,
    pub(super) unk_token: Option<String>,
    pub(super) fuse_unk: bool,
    pub(super) byte_fallback: bool,
    /// A piece of text that is a token as a whole becomes that token, whatever the merges say.
    pub(super) ignore_merges: bool,
}

/// `key` names the place of the vocabulary and the merges in the file.
pub(super) fn pipeline(
    origin: &Origin,
    key: &str,
    parts: BytePairParts,
    around: Surroundings,
) -> Result<Pipeline, TokenizerError> {
    let mut model = BPE::builder()
        .vocab_and_merges(parts.vocab, parts.merges)
        .fuse_unk(parts.fuse_unk)
        .byte_fallback(parts.byte_fallback)
        .ignore_merges(parts.ignore_merges);
    if let Some(unk) = parts.unk_token {
        model = model.unk_token(unk);
    }
    let model = model
        .build()
        .map_err(|error| origin.malformed(key, error, "merges of two tokens whose joined text is a token"))?;
    Pipeline::new(origin, key, model, around)
}
