//! A model's folder: `tokenizer.json` or `tokenizer.model`, and what `tokenizer_config.json` says about bos
//! and eos.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::error::{Origin, TokenizerError};
use super::json::JsonObject;
use super::{Tokenizer, hugging_face, read_bytes, sentencepiece, text};

/// Loads the tokenizer of a folder.
pub(super) fn load(folder: &Path) -> Result<Tokenizer, TokenizerError> {
    let config = TokenizerConfig::load(&folder.join("tokenizer_config.json"))?;
    let [json, model] = ["tokenizer.json", "tokenizer.model"].map(|name| folder.join(name));
    let mut tokenizer = if json.exists() {
        hugging_face::parse(&Origin::file(&json), &read_bytes(&json)?)?
    } else if model.exists() {
        sentencepiece::parse(&Origin::file(&model), &read_bytes(&model)?, &config)?
    } else {
        return Err(TokenizerError::NoTokenizer { path: folder.into() });
    };
    config.apply(&mut tokenizer)?;
    Ok(tokenizer)
}

/// Loads a file by what it begins with, and what lies beside it.
pub(super) fn load_file(file: &Path) -> Result<Tokenizer, TokenizerError> {
    if !file.is_file() {
        let source = std::fs::metadata(file).err().unwrap_or(std::io::ErrorKind::InvalidInput.into());
        return Err(TokenizerError::Read { path: file.into(), source });
    }
    let folder = file.parent().unwrap_or(Path::new(""));
    let config = TokenizerConfig::load(&folder.join("tokenizer_config.json"))?;
    parse(&Origin::file(file), &read_bytes(file)?, &config)
}

/// Reads a file's bytes as what they begin like: JSON or SentencePiece's own format.
pub(super) fn parse(
    origin: &Origin,
    bytes: &[u8],
    config: &TokenizerConfig,
) -> Result<Tokenizer, TokenizerError> {
    let mut tokenizer = if bytes.trim_ascii_start().starts_with(b"{") {
        hugging_face::parse(origin, bytes)?
    } else {
        sentencepiece::parse(origin, bytes, config)?
    };
    config.apply(&mut tokenizer)?;
    Ok(tokenizer)
}

/// The keys of `tokenizer_config.json` that change ids or text.
#[derive(Default)]
pub(super) struct TokenizerConfig {
    origin: Origin,
    add_bos_token: Option<bool>,
    add_eos_token: Option<bool>,
    bos_token: Option<TokenName>,
    eos_token: Option<TokenName>,
    unk_token: Option<TokenName>,
    pad_token: Option<TokenName>,
    /// Of SentencePiece models: false puts the leading space only before the text, not after every special
    /// token too.
    pub(super) legacy: Option<bool>,
    pub(super) add_prefix_space: Option<bool>,
    /// Tokens that `tokenizer.model` does not know, or knows without saying that they are special.
    pub(super) added_tokens: BTreeMap<u32, AddedToken>,
}

/// An entry of `added_tokens_decoder`.
#[derive(Deserialize)]
pub(super) struct AddedToken {
    pub(super) content: String,
    #[serde(default)]
    pub(super) special: bool,
    #[serde(default)]
    pub(super) lstrip: bool,
    #[serde(default)]
    pub(super) rstrip: bool,
    #[serde(default)]
    pub(super) single_word: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TokenName {
    Text(String),
    Token { content: String },
}

impl TokenName {
    fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Token { content: text } => text,
        }
    }
}

impl TokenizerConfig {
    /// Reads the file; without one every key is absent.
    fn load(path: &Path) -> Result<Self, TokenizerError> {
        let origin = Origin::file(path);
        let bytes = if path.exists() { read_bytes(path)? } else { b"{}".into() };
        let file = JsonObject::parse(&origin, text(&bytes, &origin)?)?;
        let flag = |key| file.get(key, "true or false");
        let name = |key| file.get(key, "a token");
        Ok(Self {
            add_bos_token: flag("add_bos_token")?,
            add_eos_token: flag("add_eos_token")?,
            bos_token: name("bos_token")?,
            eos_token: name("eos_token")?,
            unk_token: name("unk_token")?,
            pad_token: name("pad_token")?,
            legacy: flag("legacy")?,
            add_prefix_space: flag("add_prefix_space")?,
            added_tokens: file
                .get("added_tokens_decoder", "an object of ids and tokens")?
                .unwrap_or_default(),
            origin: origin.clone(),
        })
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Names the special tokens and obeys `add_bos_token` and `add_eos_token` where they are given.
    fn apply(&self, tokenizer: &mut Tokenizer) -> Result<(), TokenizerError> {
        let id = |name: &Option<TokenName>| tokenizer.token_id(name.as_ref()?.text());
        let mut named = tokenizer.named;
        named.bos = id(&self.bos_token).or(named.bos);
        named.eos = id(&self.eos_token).or(named.eos);
        named.unk = id(&self.unk_token).or(named.unk);
        named.pad = id(&self.pad_token).or(named.pad);
        tokenizer.named = named;
        let flags = (self.add_bos_token, self.add_eos_token);
        tokenizer.frame.obey(&self.origin, str::to_owned, flags, named)
    }
}
