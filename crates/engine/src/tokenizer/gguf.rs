//! The tokenizer inside a GGUF file: the metadata under `tokenizer.ggml`.

use std::sync::Arc;

use tokenizers::AddedToken;
use tokenizers::models::bpe::Vocab;

use super::byte_pair::{BytePair, BytePairParts};
use super::error::{Origin, TokenizerError};
use super::pre_tokenizers::PreTokenizer;
use super::sentencepiece::{self, Piece, PieceKind, SentencePiece, SpacePrefix, Spaces};
use super::vocabulary::{Spelling, Vocabulary, byte_token, require_byte_alphabet};
use super::{Encoder, Frame, NamedTokens, Tokenizer};

/// The metadata that describes a tokenizer, as it stands in the file. Each field is the key
/// `tokenizer.ggml.<field>` unless said otherwise.
#[derive(Debug, Clone, Default)]
pub struct GgufVocabulary {
    /// `gpt2` for byte-level BPE, `llama` for SentencePiece BPE.
    pub model: String,
    /// Name of the pre-tokenizer, for `gpt2`.
    pub pre: Option<String>,
    /// The text of every token, by id.
    pub tokens: Vec<String>,
    /// A score for every token, for `llama`; else empty.
    pub scores: Vec<f32>,
    /// Key `token_type`: what each token is for. Empty where the file has none.
    pub token_types: Vec<i32>,
    /// Pairs of tokens with a space between, best first, for `gpt2`; else empty.
    pub merges: Vec<String>,
    /// Key `bos_token_id`.
    pub bos: Option<u32>,
    /// Key `eos_token_id`.
    pub eos: Option<u32>,
    /// Key `unknown_token_id`.
    pub unk: Option<u32>,
    /// Key `padding_token_id`.
    pub pad: Option<u32>,
    /// Key `add_bos_token`.
    pub add_bos: Option<bool>,
    /// Key `add_eos_token`.
    pub add_eos: Option<bool>,
    /// Whether a space goes before a text, for `llama`.
    pub add_space_prefix: Option<bool>,
}

const TOKENS: &str = "tokenizer.ggml.tokens";

/// Builds the tokenizer.
pub(super) fn load(metadata: GgufVocabulary) -> Result<Tokenizer, TokenizerError> {
    let origin = Origin::gguf();
    if metadata.tokens.is_empty() {
        return Err(origin.malformed(TOKENS, "none", "a vocabulary"));
    }
    let named = named_tokens(&origin, &metadata)?;
    let kinds = kinds(&origin, &metadata, named)?;
    let flags = (metadata.add_bos, metadata.add_eos);
    let mut tokenizer = match metadata.model.as_str() {
        "gpt2" => byte_level(&origin, metadata, &kinds, named)?,
        "llama" => sentencepiece(&origin, metadata, &kinds, named)?,
        other => {
            let found = format!("{other:?}");
            return Err(origin.unsupported("tokenizer.ggml.model", found, "gpt2, llama"));
        }
    };
    let place = |key: &str| format!("tokenizer.ggml.{key}");
    tokenizer.frame.obey(&origin, place, flags, named)?;
    Ok(tokenizer)
}

fn named_tokens(origin: &Origin, metadata: &GgufVocabulary) -> Result<NamedTokens, TokenizerError> {
    let count = metadata.tokens.len();
    let id = |role: &str, id: Option<u32>| match id {
        Some(id) if id as usize >= count => Err(origin.malformed(
            format!("tokenizer.ggml.{role}_token_id"),
            id,
            format!("an id below {count}"),
        )),
        id => Ok(id),
    };
    Ok(NamedTokens {
        bos: id("bos", metadata.bos)?,
        eos: id("eos", metadata.eos)?,
        unk: id("unknown", metadata.unk)?,
        pad: id("padding", metadata.pad)?,
    })
}

/// What each token is for; a file without types has only its named and its byte tokens.
fn kinds(
    origin: &Origin,
    metadata: &GgufVocabulary,
    named: NamedTokens,
) -> Result<Vec<PieceKind>, TokenizerError> {
    let key = "tokenizer.ggml.token_type";
    let count = metadata.tokens.len();
    if metadata.token_types.is_empty() {
        let kind = |(id, text): (u32, &String)| match Some(id) {
            id if id == named.unk => PieceKind::Unknown,
            id if [named.bos, named.eos, named.pad].contains(&id) => PieceKind::Control,
            _ if metadata.model == "llama" && byte_token(text).is_some() => PieceKind::Byte,
            _ => PieceKind::Normal,
        };
        return Ok((0u32..).zip(&metadata.tokens).map(kind).collect());
    }
    require_count(origin, key, metadata.token_types.len(), count)?;
    let kind = |(id, &number): (usize, &i32)| {
        PieceKind::from_number(number.into())
            .ok_or_else(|| origin.malformed(format!("{key}[{id}]"), number, "a type from 1 to 6"))
    };
    metadata.token_types.iter().enumerate().map(kind).collect()
}

fn require_count(origin: &Origin, key: &str, found: usize, tokens: usize) -> Result<(), TokenizerError> {
    if found == tokens {
        return Ok(());
    }
    Err(origin.malformed(key, format!("{found} entries"), format!("{tokens}, one for each token")))
}

fn byte_level(
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
    require_byte_alphabet(origin, TOKENS, |text| vocab.contains_key(text))?;
    let parts = BytePairParts {
        vocab,
        merges,
        unk_token: None,
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: pre.ignore_merges,
        normalizer: pre.normalizer(),
        pre_tokenizer: Some(pre.splits()),
        added_tokens,
    };
    let encoder = Encoder::BytePair(Box::new(BytePair::new(origin, "tokenizer.ggml.merges", parts)?));
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

fn sentencepiece(
    origin: &Origin,
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
    let prefix = match metadata.add_space_prefix {
        Some(false) => SpacePrefix::Never,
        _ => SpacePrefix::EveryFragment,
    };
    let spaces = Spaces { prefix, remove_extra: false };
    let mut vocabulary = sentencepiece::vocabulary(origin, &pieces, &spaces)?;
    for (id, _) in (0u32..).zip(kinds).filter(|&(_, &kind)| kind == PieceKind::Unused) {
        vocabulary.insert_verbatim(origin, id, "", false)?;
    }
    let encoder = SentencePiece::new(origin, TOKENS, &pieces, spaces)?;
    let frame = Frame { before: named.bos.into_iter().collect(), after: Vec::new() };
    Ok(Tokenizer { encoder: Encoder::SentencePiece(encoder), vocabulary: Arc::new(vocabulary), frame, named })
}
