//! `tokenizer.model`, SentencePiece's own file. Field numbers are those of its sentencepiece_model.proto.

use std::path::Path;
use std::sync::Arc;

use super::protobuf::{Message, Value};
use super::{Algorithm, CharsMap, Piece, PieceKind, SentencePiece, SpacePrefix, Spaces, vocabulary};
use crate::tokenizer::error::{Origin, TokenizerError};
use crate::tokenizer::folder::TokenizerConfig;
use crate::tokenizer::{Encoder, Frame, NamedTokens, Tokenizer, read_bytes};

const KEY: &str = "pieces";

/// Reads a `tokenizer.model` with the added tokens of `tokenizer_config.json`.
pub(in super::super) fn parse(
    origin: &Origin,
    bytes: &[u8],
    config: &TokenizerConfig,
) -> Result<Tokenizer, TokenizerError> {
    let mut model = ModelFile::parse(origin, bytes)?;
    let algorithm = model.algorithm(origin)?;
    model.refuse_what_is_not_implemented(origin)?;
    let chars_map = match &model.chars_map[..] {
        [] => None,
        bytes => Some(CharsMap::parse(origin, "normalizer_spec.precompiled_charsmap", bytes)?),
    };
    add_tokens(&mut model.pieces, config)?;
    let prefix = match (model.add_dummy_prefix, config.add_prefix_space, config.legacy) {
        (false, _, _) | (_, Some(false), _) => SpacePrefix::Never,
        (_, _, Some(false)) => SpacePrefix::TextStart,
        _ => SpacePrefix::EveryFragment,
    };
    let spaces = Spaces { prefix, remove_extra: model.remove_extra_whitespaces };
    let encoder = SentencePiece::new(origin, KEY, &model.pieces, (algorithm, chars_map), spaces)?;
    let id = |name: &str| encoder.token_id(name);
    let named = NamedTokens {
        bos: id(&model.bos_piece),
        eos: id(&model.eos_piece),
        unk: id(&model.unk_piece),
        pad: id(&model.pad_piece),
    };
    let vocabulary = Arc::new(vocabulary(origin, &model.pieces, &spaces)?);
    let frame = Frame { before: named.bos.into_iter().collect(), after: Vec::new() };
    Ok(Tokenizer { encoder: Encoder::SentencePiece(Box::new(encoder)), vocabulary, frame, named })
}

/// The pieces of a byte-pair `tokenizer.model` as they stand there.
pub(in super::super) fn byte_pair_pieces(path: &Path) -> Result<Vec<Piece>, TokenizerError> {
    let origin = Origin::file(path);
    let model = ModelFile::parse(&origin, &read_bytes(path)?)?;
    match model.algorithm(&origin)? {
        Algorithm::BytePair => Ok(model.pieces),
        Algorithm::Unigram => {
            Err(origin.unsupported("trainer_spec.model_type", "UNIGRAM", "BPE in GGUF's form"))
        }
    }
}

/// The fields that are read, with the defaults of the proto file.
struct ModelFile {
    pieces: Vec<Piece>,
    model_type: u64,
    unk_piece: String,
    bos_piece: String,
    eos_piece: String,
    pad_piece: String,
    treat_whitespace_as_suffix: bool,
    chars_map: Vec<u8>,
    add_dummy_prefix: bool,
    remove_extra_whitespaces: bool,
    escape_whitespaces: bool,
}

impl Default for ModelFile {
    fn default() -> Self {
        Self {
            pieces: Vec::new(),
            model_type: 1,
            unk_piece: "<unk>".into(),
            bos_piece: "<s>".into(),
            eos_piece: "</s>".into(),
            pad_piece: "<pad>".into(),
            treat_whitespace_as_suffix: false,
            chars_map: Vec::new(),
            add_dummy_prefix: true,
            remove_extra_whitespaces: true,
            escape_whitespaces: true,
        }
    }
}

impl ModelFile {
    fn parse(origin: &Origin, bytes: &[u8]) -> Result<Self, TokenizerError> {
        let mut model = Self::default();
        let mut message = Message::new(origin, "model", bytes);
        while let Some(field) = message.next_field()? {
            match field {
                (1, Value::Bytes(bytes)) => model.pieces.push(piece(origin, bytes)?),
                (2, Value::Bytes(bytes)) => model.read_trainer_spec(origin, bytes)?,
                (3, Value::Bytes(bytes)) => model.read_normalizer_spec(origin, bytes)?,
                _ => {}
            }
        }
        if model.pieces.is_empty() {
            return Err(origin.malformed(KEY, "none", "a vocabulary"));
        }
        Ok(model)
    }

    fn read_trainer_spec(&mut self, origin: &Origin, bytes: &[u8]) -> Result<(), TokenizerError> {
        let mut message = Message::new(origin, "trainer_spec", bytes);
        while let Some(field) = message.next_field()? {
            match field {
                (3, Value::Varint(number)) => self.model_type = number,
                (24, Value::Varint(flag)) => self.treat_whitespace_as_suffix = flag != 0,
                (45, Value::Bytes(bytes)) => self.unk_piece = text(&message, bytes)?,
                (46, Value::Bytes(bytes)) => self.bos_piece = text(&message, bytes)?,
                (47, Value::Bytes(bytes)) => self.eos_piece = text(&message, bytes)?,
                (48, Value::Bytes(bytes)) => self.pad_piece = text(&message, bytes)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn read_normalizer_spec(&mut self, origin: &Origin, bytes: &[u8]) -> Result<(), TokenizerError> {
        let mut message = Message::new(origin, "normalizer_spec", bytes);
        while let Some(field) = message.next_field()? {
            match field {
                (2, Value::Bytes(bytes)) => self.chars_map = bytes.into(),
                (3, Value::Varint(flag)) => self.add_dummy_prefix = flag != 0,
                (4, Value::Varint(flag)) => self.remove_extra_whitespaces = flag != 0,
                (5, Value::Varint(flag)) => self.escape_whitespaces = flag != 0,
                _ => {}
            }
        }
        Ok(())
    }

    fn algorithm(&self, origin: &Origin) -> Result<Algorithm, TokenizerError> {
        let other = match self.model_type {
            1 => return Ok(Algorithm::Unigram),
            2 => return Ok(Algorithm::BytePair),
            3 => "WORD".to_owned(),
            4 => "CHAR".to_owned(),
            number => number.to_string(),
        };
        Err(origin.unsupported("trainer_spec.model_type", other, "UNIGRAM, BPE"))
    }

    fn refuse_what_is_not_implemented(&self, origin: &Origin) -> Result<(), TokenizerError> {
        let refused = [
            (self.treat_whitespace_as_suffix, "trainer_spec.treat_whitespace_as_suffix", "true", "false"),
            (!self.escape_whitespaces, "normalizer_spec.escape_whitespaces", "false", "true"),
        ];
        match refused.into_iter().find(|&(is_set, ..)| is_set) {
            Some((_, key, found, supported)) => Err(origin.unsupported(key, found, supported)),
            None => Ok(()),
        }
    }
}

fn piece(origin: &Origin, bytes: &[u8]) -> Result<Piece, TokenizerError> {
    let mut message = Message::new(origin, KEY, bytes);
    let mut piece = Piece { text: String::new(), score: 0.0, kind: PieceKind::Normal };
    while let Some(field) = message.next_field()? {
        match field {
            (1, Value::Bytes(bytes)) => piece.text = text(&message, bytes)?,
            (2, Value::Fixed32(bytes)) => piece.score = f32::from_le_bytes(bytes),
            (3, Value::Varint(number)) => {
                let kind = i64::try_from(number).ok().and_then(PieceKind::from_number);
                piece.kind = kind.ok_or_else(|| message.broken(format!("piece type {number}")))?;
            }
            _ => {}
        }
    }
    Ok(piece)
}

fn text(message: &Message, bytes: &[u8]) -> Result<String, TokenizerError> {
    String::from_utf8(bytes.into()).map_err(|error| message.broken(error.to_string()))
}

/// Gives the tokens of `added_tokens_decoder` their ids: names for pieces that are there, or new ones after
/// the last.
fn add_tokens(pieces: &mut Vec<Piece>, config: &TokenizerConfig) -> Result<(), TokenizerError> {
    let key = "added_tokens_decoder";
    for (&id, token) in &config.added_tokens {
        if token.lstrip || token.rstrip || token.single_word {
            let found = format!("lstrip, rstrip or single_word of {:?}", token.content);
            return Err(config.origin().unsupported(key, found, "them with a tokenizer.json only"));
        }
        let kind = if token.special { PieceKind::Control } else { PieceKind::UserDefined };
        let count = pieces.len();
        match pieces.get_mut(id as usize) {
            Some(piece) if piece.kind == PieceKind::Unknown => piece.text = token.content.clone(),
            Some(piece) => (piece.text, piece.kind) = (token.content.clone(), kind),
            None if id as usize == count => {
                pieces.push(Piece { text: token.content.clone(), score: 0.0, kind });
            }
            None => {
                let found = format!("id {id} after {count} tokens");
                return Err(config.origin().malformed(key, found, "ids without a gap"));
            }
        }
    }
    Ok(())
}
