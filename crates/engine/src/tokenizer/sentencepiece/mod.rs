//! SentencePiece's byte-pair models: spaces become `▁`, the best-scored neighbours merge, unknown characters
//! fall to bytes.

mod merge;
mod model_file;
mod protobuf;
mod spaces;
mod splitter;

pub(super) use model_file::load;
pub(super) use spaces::{SpacePrefix, Spaces};

use merge::Merger;
use splitter::{Fragment, Splitter};

use super::SpecialText;
use super::error::{Origin, TokenizerError};
use super::vocabulary::{Spelling, Vocabulary, byte_token};

/// One entry of the vocabulary; its position is its id.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) score: f32,
    pub(super) kind: PieceKind,
}

/// What an entry is for. The numbers are those of `tokenizer.model` and of GGUF's
/// `tokenizer.ggml.token_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PieceKind {
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}

impl PieceKind {
    pub(super) fn from_number(number: i64) -> Option<Self> {
        let kinds = [Self::Normal, Self::Unknown, Self::Control, Self::UserDefined, Self::Unused, Self::Byte];
        kinds.into_iter().find(|&kind| kind as i64 == number)
    }

    fn is_special(self) -> bool {
        matches!(self, Self::Unknown | Self::Control)
    }
}

/// The encoder.
pub(super) struct SentencePiece {
    merger: Merger,
    /// Special and user-defined tokens, found in the raw text: the text after one begins anew.
    ///
    /// The SentencePiece library itself looks for user-defined ones after it has replaced the spaces, and for
    /// no special ones; Hugging Face and llama.cpp do it like this, and models are trained and used with
    /// them.
    special_and_user_defined: Splitter,
    user_defined: Splitter,
    spaces: Spaces,
    /// The id of every byte, in a model with byte fallback.
    byte_ids: Option<Vec<u32>>,
    unk: Option<u32>,
}

impl SentencePiece {
    /// `key` names the place of the pieces in the file.
    pub(super) fn new(
        origin: &Origin,
        key: &str,
        pieces: &[Piece],
        spaces: Spaces,
    ) -> Result<Self, TokenizerError> {
        let byte_ids = byte_ids(origin, key, pieces)?;
        let unk = (0u32..).zip(pieces).find(|(_, piece)| piece.kind == PieceKind::Unknown);
        let unk = unk.map(|(id, _)| id);
        if byte_ids.is_none() && unk.is_none() {
            let found = "neither byte tokens nor an unknown token";
            return Err(origin.malformed(key, found, "tokens for unknown characters"));
        }
        let splitter = |wanted| Splitter::new(origin, key, pieces, wanted);
        Ok(Self {
            merger: Merger::new(origin, key, pieces)?,
            special_and_user_defined: splitter(|kind| kind.is_special() || kind == PieceKind::UserDefined)?,
            user_defined: splitter(|kind| kind == PieceKind::UserDefined)?,
            spaces,
            byte_ids,
            unk,
        })
    }

    pub(super) fn encode(&self, text: &str, special: SpecialText) -> Vec<u32> {
        let mut ids = Vec::with_capacity(text.len() / 3);
        let mut at_start = true;
        let tokens = match special {
            SpecialText::Parsed => &self.special_and_user_defined,
            SpecialText::Plain => &self.user_defined,
        };
        for fragment in tokens.split(text) {
            match fragment {
                Fragment::Token(id) => ids.push(id),
                Fragment::Text(raw) => self.encode_merged(&self.spaces.normalize(raw, at_start), &mut ids),
            }
            at_start = false;
        }
        ids
    }

    fn encode_merged(&self, text: &str, ids: &mut Vec<u32>) {
        let mut after_unk = false;
        self.merger.merge(text, |symbol, id| {
            let unknown = id.is_none();
            match (id, &self.byte_ids) {
                (Some(id), _) => ids.push(id),
                (None, Some(byte_ids)) => {
                    ids.extend(symbol.bytes().map(|byte| byte_ids[usize::from(byte)]));
                }
                // Unknown characters in a row are one unknown token.
                (None, None) if !after_unk => ids.extend(self.unk),
                (None, None) => {}
            }
            after_unk = unknown;
        });
    }

    pub(super) fn token_id(&self, text: &str) -> Option<u32> {
        self.special_and_user_defined.id(text).or_else(|| self.merger.id(text))
    }
}

/// The bytes that the pieces stand for.
pub(super) fn vocabulary(
    origin: &Origin,
    pieces: &[Piece],
    spaces: &Spaces,
) -> Result<Vocabulary, TokenizerError> {
    let mut vocabulary = Vocabulary::new(spaces.prefix != SpacePrefix::Never);
    for (id, piece) in (0u32..).zip(pieces) {
        if piece.kind.is_special() {
            vocabulary.insert_verbatim(origin, id, &piece.text, true)?;
        } else {
            let byte_fallback = piece.kind == PieceKind::Byte;
            let spelling = Spelling::SentencePiece { byte_fallback };
            vocabulary.insert(origin, id, &piece.text, spelling)?;
        }
    }
    Ok(vocabulary)
}

/// The ids of the bytes 0 to 255, if the model has them.
fn byte_ids(origin: &Origin, key: &str, pieces: &[Piece]) -> Result<Option<Vec<u32>>, TokenizerError> {
    let mut ids = [None; 256];
    for (id, piece) in (0u32..).zip(pieces).filter(|(_, piece)| piece.kind == PieceKind::Byte) {
        let byte = byte_token(&piece.text).ok_or_else(|| {
            origin.malformed(format!("{key}[{id}]"), format!("byte token {:?}", piece.text), "<0x00>")
        })?;
        ids[usize::from(byte)] = Some(id);
    }
    let present = ids.iter().flatten().count();
    if present == 0 {
        return Ok(None);
    }
    let all: Option<Vec<u32>> = ids.into_iter().collect();
    match all {
        Some(all) => Ok(Some(all)),
        None => Err(origin.malformed(key, format!("{present} byte tokens"), "256 or none")),
    }
}
