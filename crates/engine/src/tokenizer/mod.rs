//! Text to token ids and back, for the vocabularies that models come with.
//!
//! Two encoders: Hugging Face's `tokenizers` (`pipeline`: merge-ranked BPE, WordPiece, its own unigram), and
//! SentencePiece's models by our own loops (`sentencepiece`): pieces of equal score join from the left, which no ranks
//! can say, and it needs no list of merges. The way back is one for both: every id has bytes (`vocabulary`), and
//! [`Detokenizer`] joins them to characters.

mod byte_pair;
mod detokenizer;
mod error;
mod folder;
mod gguf;
mod hugging_face;
mod json;
mod pipeline;
mod pre_tokenizers;
mod sentencepiece;
mod stop;
mod synthetic;
mod to_gguf;
mod vocabulary;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

pub use detokenizer::Detokenizer;
use error::Origin;
pub use error::TokenizerError;
use folder::TokenizerConfig;
pub use gguf::GgufVocabulary;
use pipeline::Pipeline;
use sentencepiece::SentencePiece;
pub use stop::{Released, StopMatcher};
use vocabulary::Vocabulary;

/// A model's tokenizer. Immutable, and shared between threads by reference.
pub struct Tokenizer {
    encoder: Encoder,
    vocabulary: Arc<Vocabulary>,
    frame: Frame,
    named: NamedTokens,
}

enum Encoder {
    Pipeline(Box<Pipeline>),
    SentencePiece(Box<SentencePiece>),
}

/// What the name of a special token inside a text is.
#[derive(Debug, Clone, Copy)]
enum SpecialText {
    Parsed,
    Plain,
}

/// The special tokens that belong around a text.
#[derive(Debug, Default)]
struct Frame {
    before: Vec<u32>,
    after: Vec<u32>,
}

/// The ids of the tokens with a role.
#[derive(Debug, Default, Clone, Copy)]
struct NamedTokens {
    bos: Option<u32>,
    eos: Option<u32>,
    unk: Option<u32>,
    pad: Option<u32>,
}

impl Tokenizer {
    /// Loads `tokenizer.json`, or without one `tokenizer.model`, together with `tokenizer_config.json`.
    ///
    /// Where `tokenizer_config.json` says nothing about bos and eos, the post-processor of `tokenizer.json`
    /// decides, and for `tokenizer.model` a bos is added.
    pub fn from_folder(folder: &Path) -> Result<Self, TokenizerError> {
        folder::load(folder)
    }

    /// Loads a `tokenizer.json` or a `tokenizer.model`, whatever its name, with the `tokenizer_config.json` beside it.
    pub fn from_file(file: &Path) -> Result<Self, TokenizerError> {
        folder::load_file(file)
    }

    /// Reads the bytes of a `tokenizer.json` or a `tokenizer.model`; `name` stands for the file in messages.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self, TokenizerError> {
        folder::parse(&Origin::file(Path::new(name)), bytes, &TokenizerConfig::default())
    }

    /// Builds the tokenizer that a GGUF file describes.
    pub fn from_gguf(vocabulary: GgufVocabulary) -> Result<Self, TokenizerError> {
        gguf::load(vocabulary)
    }

    /// Token ids of a text. `add_special` puts bos and eos around it where the model wants them.
    ///
    /// Special tokens written out in the text become their ids, as in Hugging Face's tokenizers.
    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>, TokenizerError> {
        self.encode_with(text, add_special, SpecialText::Parsed)
    }

    /// As [`encode`](Self::encode), but special tokens written out in the text are ordinary text: for input
    /// that must not control the model. SentencePiece's own library reads every text like this.
    pub fn encode_plain(&self, text: &str, add_special: bool) -> Result<Vec<u32>, TokenizerError> {
        self.encode_with(text, add_special, SpecialText::Plain)
    }

    fn encode_with(
        &self,
        text: &str,
        add_special: bool,
        special: SpecialText,
    ) -> Result<Vec<u32>, TokenizerError> {
        let ids = match &self.encoder {
            Encoder::Pipeline(encoder) => encoder.encode(text, special)?,
            Encoder::SentencePiece(encoder) => encoder.encode(text, special),
        };
        if add_special {
            return Ok([&self.frame.before[..], &ids, &self.frame.after].concat());
        }
        Ok(ids)
    }

    /// As the library does that the vocabulary's format belongs to: SentencePiece reads special tokens written out in a
    /// text as text, Hugging Face's tokenizers read them as tokens, and GGUF files follow what they were made from.
    /// The published ids of real vocabularies are made like this.
    pub fn encode_as_published(&self, text: &str, add_special: bool) -> Result<Vec<u32>, TokenizerError> {
        match &self.encoder {
            Encoder::Pipeline(_) => self.encode(text, add_special),
            Encoder::SentencePiece(_) => self.encode_plain(text, add_special),
        }
    }

    /// The ids that [`encode`](Self::encode) puts before and after a text when asked for special tokens.
    pub fn frame(&self) -> (&[u32], &[u32]) {
        (&self.frame.before, &self.frame.after)
    }

    /// The text of token ids, without special tokens if `skip_special`.
    ///
    /// Bytes that are no UTF-8 become U+FFFD; an id that the vocabulary lacks has no text.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> String {
        let mut detokenizer = self.detokenizer(skip_special);
        let mut text = String::new();
        for &id in ids {
            detokenizer.push_onto(id, &mut text);
        }
        text + &detokenizer.finish()
    }

    /// A fresh decoder for ids that come one at a time.
    pub fn detokenizer(&self, skip_special: bool) -> Detokenizer {
        Detokenizer::new(Arc::clone(&self.vocabulary), skip_special)
    }

    /// The bytes that a token stands for; empty for an id that is reserved but unused.
    pub fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        self.vocabulary.bytes(id)
    }

    /// The id of a token by its spelling in the vocabulary, such as `<|im_end|>` or `▁the`.
    pub fn token_id(&self, text: &str) -> Option<u32> {
        match &self.encoder {
            Encoder::Pipeline(encoder) => encoder.token_id(text),
            Encoder::SentencePiece(encoder) => encoder.token_id(text),
        }
    }

    /// One more than the highest id. A model may have more rows than this: padding.
    pub fn vocab_size(&self) -> usize {
        self.vocabulary.len()
    }

    /// The token that begins a text.
    pub fn bos_id(&self) -> Option<u32> {
        self.named.bos
    }

    /// The token that ends a text. A model may have further ones in its generation_config.json.
    pub fn eos_id(&self) -> Option<u32> {
        self.named.eos
    }

    /// The token for text outside the vocabulary.
    pub fn unk_id(&self) -> Option<u32> {
        self.named.unk
    }

    /// The token that fills up batches.
    pub fn pad_id(&self) -> Option<u32> {
        self.named.pad
    }

    /// Whether a token controls the model instead of being text.
    pub fn is_special(&self, id: u32) -> bool {
        self.vocabulary.is_special(id)
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let encoder = match self.encoder {
            Encoder::Pipeline(_) => "pipeline",
            Encoder::SentencePiece(_) => "SentencePiece",
        };
        f.debug_struct("Tokenizer")
            .field("encoder", &encoder)
            .field("vocab_size", &self.vocab_size())
            .field("frame", &self.frame)
            .field("named", &self.named)
            .finish()
    }
}

impl Frame {
    /// Obeys `add_bos_token` and `add_eos_token` where they are given; `place` turns one of these names into
    /// the file's key.
    fn obey(
        &mut self,
        origin: &Origin,
        place: impl Fn(&str) -> String,
        (add_bos, add_eos): (Option<bool>, Option<bool>),
        named: NamedTokens,
    ) -> Result<(), TokenizerError> {
        let end = self.after.len();
        let sides = [
            ("bos", &mut self.before, 0, add_bos, named.bos),
            ("eos", &mut self.after, end, add_eos, named.eos),
        ];
        for (role, ids, position, wanted, token) in sides {
            match (wanted, token) {
                (Some(true), Some(token)) if !ids.contains(&token) => ids.insert(position, token),
                (Some(false), Some(token)) => ids.retain(|&id| id != token),
                (Some(true), None) => {
                    let key = place(&format!("add_{role}_token"));
                    return Err(origin.malformed(key, "true", format!("a {role} token with it")));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn text<'b>(bytes: &'b [u8], origin: &Origin) -> Result<&'b str, TokenizerError> {
    std::str::from_utf8(bytes).map_err(|error| origin.malformed("text", error, "UTF-8"))
}

fn read_text(path: &Path, origin: &Origin) -> Result<String, TokenizerError> {
    String::from_utf8(read_bytes(path)?).map_err(|error| origin.malformed("text", error, "UTF-8"))
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, TokenizerError> {
    std::fs::read(path).map_err(|source| TokenizerError::Read { path: path.into(), source })
}
