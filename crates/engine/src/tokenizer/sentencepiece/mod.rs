//! SentencePiece's models: characters are normalized by the model's table, spaces become `▁`, the text falls into
//! pieces by merging (`merge`) or by the best sum of scores (`unigram`), unknown characters into bytes.

mod chars_map;
mod merge;
mod model_file;
mod protobuf;
mod spaces;
mod splitter;
mod unigram;

pub(super) use chars_map::CharsMap;
pub(super) use model_file::{byte_pair_pieces, parse};
pub(super) use spaces::{SpacePrefix, Spaces};

use merge::Merger;
use spaces::Edges;
use splitter::{Fragment, Splitter};
use unigram::Unigram;

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

/// How a text falls into pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    BytePair,
    Unigram,
}

enum Segmenter {
    BytePair(Merger),
    Unigram(Unigram),
}

/// The encoder.
pub(super) struct SentencePiece {
    segmenter: Segmenter,
    /// Normalizes the characters, where the model has a table for it.
    chars_map: Option<CharsMap>,
    /// Special and user-defined tokens, found in the raw text: the text after one begins anew, as in Hugging Face's
    /// library and in llama.cpp. The SentencePiece library knows user-defined ones alone, and the text goes on after
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
        (algorithm, chars_map): (Algorithm, Option<CharsMap>),
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
        let segmenter = match algorithm {
            Algorithm::BytePair => Segmenter::BytePair(Merger::new(origin, key, pieces)?),
            Algorithm::Unigram => Segmenter::Unigram(Unigram::new(origin, key, pieces)?),
        };
        Ok(Self {
            segmenter,
            chars_map,
            special_and_user_defined: splitter(|kind| kind.is_special() || kind == PieceKind::UserDefined)?,
            user_defined: splitter(|kind| kind == PieceKind::UserDefined)?,
            spaces,
            byte_ids,
            unk,
        })
    }

    pub(super) fn encode(&self, text: &str, special: SpecialText) -> Vec<u32> {
        let mut ids = Vec::with_capacity(text.len() / 3);
        let (tokens, begins_anew) = match special {
            SpecialText::Parsed => (&self.special_and_user_defined, true),
            SpecialText::Plain => (&self.user_defined, false),
        };
        let fragments = tokens.split(text);
        let last = fragments.len().saturating_sub(1);
        for (index, fragment) in fragments.into_iter().enumerate() {
            match fragment {
                Fragment::Token(id) => {
                    if index == 0 && !begins_anew && self.spaces.prefix != SpacePrefix::Never {
                        self.encode_pieces("▁", &mut ids);
                    }
                    ids.push(id);
                }
                Fragment::Text(raw) => {
                    let begins_text = index == 0;
                    let (begins, ends) = (begins_anew || begins_text, begins_anew || index == last);
                    let text = self.chars_map.as_ref().map_or(raw.into(), |map| map.normalize(raw));
                    let edges = Edges { begins_text, begins, ends };
                    self.encode_pieces(&self.spaces.normalize(&text, edges), &mut ids);
                }
            }
        }
        ids
    }

    fn encode_pieces(&self, text: &str, ids: &mut Vec<u32>) {
        let mut after_unk = false;
        let emit = |symbol: &str, id: Option<u32>| {
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
        };
        match &self.segmenter {
            Segmenter::BytePair(merger) => merger.merge(text, emit),
            Segmenter::Unigram(unigram) => unigram.cut(text, emit),
        }
    }

    pub(super) fn token_id(&self, text: &str) -> Option<u32> {
        self.special_and_user_defined.id(text).or_else(|| match &self.segmenter {
            Segmenter::BytePair(merger) => merger.id(text),
            Segmenter::Unigram(unigram) => unigram.id(text),
        })
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
