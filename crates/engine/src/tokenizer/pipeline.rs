//! The steps of Hugging Face's `tokenizers` library around one of its models: added tokens, normalizer, pre-tokenizer,
//! model.

use tokenizers::{
    AddedToken, AddedVocabulary, Model, ModelWrapper, NormalizerWrapper, OffsetType, PreTokenizer,
    PreTokenizerWrapper,
};

use super::SpecialText;
use super::error::{Origin, TokenizerError};

/// The regex engine gives up on a match of a million characters, and the library then leaves the rest of the
/// text in one piece without a word. No honest pre-tokenizer makes pieces this long.
const MAX_PIECE_BYTES: usize = 1_000_000;

/// What stands around the model, whichever file it comes from.
#[derive(Default)]
pub(super) struct Surroundings {
    pub(super) normalizer: Option<NormalizerWrapper>,
    pub(super) pre_tokenizer: Option<PreTokenizerWrapper>,
    /// Tokens found in the text itself, with their ids.
    pub(super) added_tokens: Vec<(u32, AddedToken)>,
    /// Bytes that the model has no token for: the library would leave them out without a word.
    pub(super) missing_bytes: Vec<u8>,
}

pub(super) struct Pipeline {
    tokenizer: tokenizers::Tokenizer,
    /// The added tokens without the special ones.
    plain_tokens: AddedVocabulary,
    cuts_by_regex: bool,
    missing_bytes: Vec<u8>,
}

impl Pipeline {
    /// `key` names the place of the model in the file.
    pub(super) fn new(
        origin: &Origin,
        key: &str,
        model: impl Into<ModelWrapper>,
        around: Surroundings,
    ) -> Result<Self, TokenizerError> {
        let mut tokenizer = tokenizers::Tokenizer::new(model);
        tokenizer.with_normalizer(around.normalizer);
        let cuts_by_regex = around.pre_tokenizer.as_ref().is_some_and(uses_regex);
        tokenizer.with_pre_tokenizer(around.pre_tokenizer);
        let (ids, tokens): (Vec<u32>, Vec<AddedToken>) = around.added_tokens.into_iter().unzip();
        tokenizer.add_tokens(&tokens);
        for (&id, token) in ids.iter().zip(&tokens) {
            let given = tokenizer.token_to_id(&token.content);
            if given != Some(id) {
                let found = format!("id {id} for added token {:?}", token.content);
                let expected = match given {
                    Some(given) => {
                        format!("{given}, its id in the vocabulary or the next free one")
                    }
                    None => "a token with text".into(),
                };
                return Err(origin.malformed(key, found, expected));
            }
        }
        let mut plain_tokens = tokenizer.get_added_vocabulary().clone();
        plain_tokens.set_encode_special_tokens(true);
        Ok(Self { tokenizer, plain_tokens, cuts_by_regex, missing_bytes: around.missing_bytes })
    }

    pub(super) fn encode(&self, text: &str, special: SpecialText) -> Result<Vec<u32>, TokenizerError> {
        let has_token = |byte: &u8| !self.missing_bytes.contains(byte);
        if !self.missing_bytes.is_empty()
            && let Some(byte) = text.bytes().find(|byte| !has_token(byte))
        {
            let reason = format!("the vocabulary has no token for the byte {byte:#x}");
            return Err(TokenizerError::Text { reason });
        }
        self.run(text, special).map_err(|error| TokenizerError::Text { reason: error.to_string() })
    }

    /// The library's steps one by one, because its own `encode` knows one set of added tokens.
    fn run(&self, text: &str, special: SpecialText) -> tokenizers::Result<Vec<u32>> {
        let added_tokens = match special {
            SpecialText::Parsed => self.tokenizer.get_added_vocabulary(),
            SpecialText::Plain => &self.plain_tokens,
        };
        let mut splits = added_tokens.extract_and_normalize(self.tokenizer.get_normalizer(), text);
        if let Some(pre_tokenizer) = self.tokenizer.get_pre_tokenizer() {
            pre_tokenizer.pre_tokenize(&mut splits)?;
        }
        splits.tokenize(|split| {
            if self.cuts_by_regex && split.get().len() >= MAX_PIECE_BYTES {
                return Err(format!("{MAX_PIECE_BYTES} bytes in a row without a place to cut").into());
            }
            self.tokenizer.get_model().tokenize(split.get())
        })?;
        Ok(splits.into_encoding(None, 0, OffsetType::None)?.get_ids().to_vec())
    }

    pub(super) fn token_id(&self, text: &str) -> Option<u32> {
        self.tokenizer.token_to_id(text)
    }
}

fn uses_regex(pre_tokenizer: &PreTokenizerWrapper) -> bool {
    match pre_tokenizer {
        PreTokenizerWrapper::Sequence(steps) => steps.as_ref().iter().any(uses_regex),
        PreTokenizerWrapper::ByteLevel(byte_level) => byte_level.use_regex,
        PreTokenizerWrapper::Split(_) => true,
        _ => false,
    }
}
