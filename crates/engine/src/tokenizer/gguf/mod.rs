//! The tokenizer inside a GGUF file: the metadata under `tokenizer.ggml`.
//!
//! One file for each kind of vocabulary: `byte_level` (model `gpt2`), `scored` (`llama` and `t5`, SentencePiece's two
//! kinds), `word_piece` (`bert`).

mod byte_level;
mod scored;
mod word_piece;

use resident_models::checkpoint::CheckpointError;
use resident_models::checkpoint::gguf::Metadata;

use super::error::{Origin, TokenizerError};
use super::sentencepiece::{Algorithm, PieceKind};
use super::vocabulary::byte_token;
use super::{NamedTokens, Tokenizer};

/// The metadata that describes a tokenizer, as it stands in the file. Each field is the key
/// `tokenizer.ggml.<field>` unless said otherwise.
#[derive(Debug, Clone, Default)]
pub struct GgufVocabulary {
    /// `gpt2` for byte-level BPE, `llama` for SentencePiece BPE, `t5` for SentencePiece unigram, `bert` for WordPiece.
    pub model: String,
    /// Name of the pre-tokenizer, for `gpt2`.
    pub pre: Option<String>,
    /// The text of every token, by id.
    pub tokens: Vec<String>,
    /// A score for every token, for `llama` and `t5`; else empty.
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
    /// Key `cls_token_id`: what `bert` puts before a text.
    pub cls: Option<u32>,
    /// Key `seperator_token_id`, spelled so: what `bert` puts after a text.
    pub sep: Option<u32>,
    /// Key `eot_token_id`: ends a turn of a conversation.
    pub eot: Option<u32>,
    /// Key `add_bos_token`.
    pub add_bos: Option<bool>,
    /// Key `add_eos_token`.
    pub add_eos: Option<bool>,
    /// Whether a space goes before a text, for `llama` and `t5`.
    pub add_space_prefix: Option<bool>,
    /// Key `remove_extra_whitespaces`: one space instead of several, for `t5`.
    pub remove_extra_whitespaces: Option<bool>,
    /// Key `precompiled_charsmap`: the table that normalizes characters, for `t5`; else empty.
    pub chars_map: Vec<u8>,
}

impl GgufVocabulary {
    /// Takes the keys out of a file's metadata.
    ///
    /// # Errors
    /// No `tokenizer.ggml.model`, or values of other types.
    pub fn from_metadata(metadata: Metadata<'_>) -> Result<Self, CheckpointError> {
        let key = |name: &str| format!("tokenizer.ggml.{name}");
        let texts = |name: &str| -> Result<Vec<String>, CheckpointError> {
            let found = metadata.get::<Vec<&str>>(&key(name))?.unwrap_or_default();
            Ok(found.into_iter().map(str::to_owned).collect())
        };
        let id = |name: &str| metadata.get(&key(&format!("{name}_token_id")));
        let flag = |name: &str| metadata.get(&key(name));
        let chars_map: Option<Vec<i32>> = metadata.get(&key("precompiled_charsmap"))?;
        Ok(Self {
            model: metadata.require::<&str>(&key("model"))?.to_owned(),
            pre: metadata.get::<&str>(&key("pre"))?.map(str::to_owned),
            tokens: texts("tokens")?,
            scores: metadata.get(&key("scores"))?.unwrap_or_default(),
            token_types: metadata.get(&key("token_type"))?.unwrap_or_default(),
            merges: texts("merges")?,
            bos: id("bos")?,
            eos: id("eos")?,
            unk: id("unknown")?,
            pad: id("padding")?,
            cls: id("cls")?,
            sep: id("seperator")?,
            eot: id("eot")?,
            add_bos: flag("add_bos_token")?,
            add_eos: flag("add_eos_token")?,
            add_space_prefix: flag("add_space_prefix")?,
            remove_extra_whitespaces: flag("remove_extra_whitespaces")?,
            // Files have them as signed and as unsigned bytes.
            chars_map: chars_map.unwrap_or_default().into_iter().map(|byte| byte as u8).collect(),
        })
    }
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
        "gpt2" => byte_level::load(&origin, metadata, &kinds, named)?,
        "llama" => scored::load(&origin, Algorithm::BytePair, metadata, &kinds, named)?,
        "t5" => scored::load(&origin, Algorithm::Unigram, metadata, &kinds, named)?,
        "bert" => word_piece::load(&origin, metadata, &kinds, named)?,
        other => {
            let found = format!("{other:?}");
            return Err(origin.unsupported("tokenizer.ggml.model", found, "gpt2, llama, t5, bert"));
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
    for (role, given) in [("eot", metadata.eot), ("cls", metadata.cls), ("seperator", metadata.sep)] {
        id(role, given)?;
    }
    // BERT has no bos and eos, but uses these two as others do theirs.
    let is_bert = metadata.model == "bert";
    let or_bert = |given: Option<u32>, bert: Option<u32>| given.or(bert.filter(|_| is_bert));
    Ok(NamedTokens {
        bos: or_bert(id("bos", metadata.bos)?, metadata.cls),
        eos: or_bert(id("eos", metadata.eos)?, metadata.sep),
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
            _ if ["llama", "t5"].contains(&&*metadata.model) && byte_token(text).is_some() => PieceKind::Byte,
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
