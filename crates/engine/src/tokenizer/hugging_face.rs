//! `tokenizer.json`, the file of Hugging Face's tokenizers library, for byte-pair models.
//!
//! Every part is read here and refused by name when it is not one of those listed: the library panics on some
//! broken files and ignores some keys.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use tokenizers::AddedToken;
use tokenizers::models::bpe::Vocab;

use super::byte_pair::{BytePair, BytePairParts};
use super::error::{Origin, TokenizerError};
use super::json::JsonObject;
use super::vocabulary::{Spelling, Vocabulary, require_byte_alphabet};
use super::{Encoder, Frame, NamedTokens, Tokenizer, read_text};

const NORMALIZERS: &[&str] =
    &["Sequence", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Strip", "Prepend", "Replace"];
const PRE_TOKENIZERS: &[&str] = &[
    "Sequence",
    "Split",
    "ByteLevel",
    "Digits",
    "Metaspace",
    "Punctuation",
    "Whitespace",
    "WhitespaceSplit",
];

/// Loads `tokenizer.json`; which tokens are bos and eos stands elsewhere.
pub(super) fn load(path: &Path) -> Result<Tokenizer, TokenizerError> {
    let origin = Origin::file(path);
    let text = read_text(path, &origin)?;
    let file = JsonObject::parse(&origin, &text)?;
    let added_tokens = added_tokens(&file)?;
    let rules = decode_rules(&origin, file.get("decoder", "a decoder")?)?;
    let parts = byte_pair_parts(&origin, &file, &added_tokens)?;
    require_coverage(&origin, &parts, rules.spelling)?;
    let vocabulary = vocabulary(&origin, &parts.vocab, &added_tokens, &rules)?;
    let frame = frame(&origin, &file, vocabulary.len())?;
    Ok(Tokenizer {
        encoder: Encoder::BytePair(Box::new(BytePair::new(&origin, "model", parts)?)),
        vocabulary: Arc::new(vocabulary),
        frame,
        named: NamedTokens::default(),
    })
}

#[derive(Deserialize)]
struct AddedTokenWithId {
    id: u32,
    #[serde(flatten)]
    token: AddedToken,
}

fn added_tokens(file: &JsonObject) -> Result<Vec<(u32, AddedToken)>, TokenizerError> {
    let tokens: Option<Vec<AddedTokenWithId>> = file.get("added_tokens", "a list of tokens")?;
    Ok(tokens.into_iter().flatten().map(|added| (added.id, added.token)).collect())
}

/// A merge, as `"a b"` in older files and `["a", "b"]` in newer ones.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Pair(String, String),
    Line(String),
}

fn byte_pair_parts(
    origin: &Origin,
    file: &JsonObject,
    added_tokens: &[(u32, AddedToken)],
) -> Result<BytePairParts, TokenizerError> {
    let model = file.object("model")?;
    let kind: Option<String> = model.get("type", "a name")?;
    if let Some(kind) = kind.filter(|kind| kind != "BPE") {
        return Err(origin.unsupported("model.type", kind, "BPE"));
    }
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
        let affix: Option<String> = model.get(key, "a string")?;
        if let Some(affix) = affix.filter(|affix| !affix.is_empty()) {
            return Err(origin.unsupported(model.path_of(key), format!("{affix:?}"), "null"));
        }
    }
    let dropout: Option<f32> = model.get("dropout", "a number")?;
    if let Some(dropout) = dropout.filter(|&dropout| dropout != 0.0) {
        return Err(origin.unsupported("model.dropout", dropout, "null: it makes ids random"));
    }
    let flag = |key| Ok(model.get(key, "true or false")?.unwrap_or(false));
    Ok(BytePairParts {
        vocab: model.require("vocab", "an object of tokens and their ids")?,
        merges: merges(origin, &model)?,
        unk_token: model.get("unk_token", "a token")?,
        fuse_unk: flag("fuse_unk")?,
        byte_fallback: flag("byte_fallback")?,
        ignore_merges: flag("ignore_merges")?,
        normalizer: part(origin, file, "normalizer", NORMALIZERS)?,
        pre_tokenizer: part(origin, file, "pre_tokenizer", PRE_TOKENIZERS)?,
        added_tokens: added_tokens.to_vec(),
    })
}

/// Refuses a vocabulary in which some characters would have no tokens and silently vanish.
fn require_coverage(
    origin: &Origin,
    parts: &BytePairParts,
    spelling: Spelling,
) -> Result<(), TokenizerError> {
    let is_token = |text: &str| parts.vocab.contains_key(text);
    if parts.unk_token.as_deref().is_some_and(is_token) {
        return Ok(());
    }
    if spelling == Spelling::ByteLevel {
        return require_byte_alphabet(origin, "model.vocab", is_token);
    }
    if parts.byte_fallback && (0..=255u8).all(|byte| is_token(&format!("<0x{byte:02X}>"))) {
        return Ok(());
    }
    let found = format!("unk_token {:?} and no token for every byte", parts.unk_token);
    Err(origin.malformed("model", found, "tokens for unknown characters"))
}

fn merges(origin: &Origin, model: &JsonObject) -> Result<Vec<(String, String)>, TokenizerError> {
    let merges: Vec<Merge> = model.require("merges", "a list of token pairs")?;
    let pairs = merges.into_iter().enumerate().map(|(rank, merge)| match merge {
        Merge::Pair(left, right) => Ok((left, right)),
        Merge::Line(line) => match line.split_once(' ') {
            Some((left, right)) if !right.contains(' ') => Ok((left.into(), right.into())),
            _ => Err(origin.malformed(
                format!("model.merges[{rank}]"),
                format!("{line:?}"),
                "two tokens with one space between",
            )),
        },
    });
    pairs.collect()
}

/// A part whose types, also inside sequences, are all in `known`.
fn part<T: serde::de::DeserializeOwned>(
    origin: &Origin,
    file: &JsonObject,
    key: &str,
    known: &[&str],
) -> Result<Option<T>, TokenizerError> {
    let Some(value) = file.get::<Value>(key, "an object")? else {
        return Ok(None);
    };
    for step in steps(&value) {
        let kind = step["type"].as_str().unwrap_or("a step without a type");
        if !known.contains(&kind) {
            return Err(origin.unsupported(key, kind, known.join(", ")));
        }
    }
    let part = serde_json::from_value(value);
    part.map(Some).map_err(|error| origin.malformed(key, error, "the parameters of its type"))
}

/// The steps of a normalizer, pre-tokenizer, post-processor or decoder, sequences opened up.
fn steps(value: &Value) -> Vec<&Value> {
    let lists = ["normalizers", "pretokenizers", "processors", "decoders"];
    match lists.iter().find_map(|&list| value[list].as_array()) {
        Some(list) if value["type"] == "Sequence" => list.iter().flat_map(steps).collect(),
        _ => vec![value],
    }
}

/// What the decoder of the file does to the text of the tokens.
struct DecodeRules {
    spelling: Spelling,
    drops_leading_space: bool,
}

fn decode_rules(origin: &Origin, decoder: Option<Value>) -> Result<DecodeRules, TokenizerError> {
    let decoder = decoder.unwrap_or_default();
    let steps = steps(&decoder);
    if let [step] = steps[..]
        && step["type"] == "ByteLevel"
    {
        return Ok(DecodeRules { spelling: Spelling::ByteLevel, drops_leading_space: false });
    }
    let (mut replaces_space, mut byte_fallback, mut drops_leading_space) = (false, false, false);
    for step in steps {
        match step["type"].as_str() {
            Some("Replace") if step["pattern"]["String"] == "▁" && step["content"] == " " => {
                replaces_space = true;
            }
            Some("Metaspace") if step["replacement"] == "▁" => {
                replaces_space = true;
                drops_leading_space =
                    step["prepend_scheme"] != "never" && step["add_prefix_space"] != Value::Bool(false);
            }
            Some("ByteFallback") => byte_fallback = true,
            Some("Fuse") => {}
            Some("Strip") if step["content"] == " " && step["start"] == 1 && step["stop"] == 0 => {
                drops_leading_space = true;
            }
            _ => {
                let supported = "ByteLevel, or Replace ▁ by a space, Metaspace, ByteFallback, Fuse \
                                 and Strip of one leading space";
                return Err(origin.unsupported("decoder", step, supported));
            }
        }
    }
    if !replaces_space {
        return Err(origin.unsupported("decoder", decoder, "one that turns ▁ into a space"));
    }
    Ok(DecodeRules { spelling: Spelling::SentencePiece { byte_fallback }, drops_leading_space })
}

fn vocabulary(
    origin: &Origin,
    vocab: &Vocab,
    added_tokens: &[(u32, AddedToken)],
    rules: &DecodeRules,
) -> Result<Vocabulary, TokenizerError> {
    let mut vocabulary = Vocabulary::new(rules.drops_leading_space);
    for (text, &id) in vocab {
        vocabulary.insert(origin, id, text, rules.spelling)?;
    }
    for (id, token) in added_tokens {
        vocabulary.insert_verbatim(origin, *id, &token.content, token.special)?;
    }
    Ok(vocabulary)
}

#[derive(Deserialize)]
struct Template {
    single: Vec<TemplatePiece>,
    special_tokens: BTreeMap<String, TemplateToken>,
}

#[derive(Deserialize)]
enum TemplatePiece {
    SpecialToken { id: String },
    Sequence {},
}

#[derive(Deserialize)]
struct TemplateToken {
    ids: Vec<u32>,
}

/// The special tokens that the post-processor puts around a text.
fn frame(origin: &Origin, file: &JsonObject, vocab_size: usize) -> Result<Frame, TokenizerError> {
    const KEY: &str = "post_processor";
    let mut frame = Frame::default();
    let Some(value) = file.get::<Value>(KEY, "an object")? else {
        return Ok(frame);
    };
    for step in steps(&value) {
        match step["type"].as_str() {
            Some("ByteLevel") => {}
            Some("TemplateProcessing") => {
                let template = Template::deserialize(step)
                    .map_err(|error| origin.malformed(KEY, error, "a template"))?;
                frame = template_frame(origin, KEY, &template, vocab_size)?;
            }
            _ => return Err(origin.unsupported(KEY, step, "ByteLevel, TemplateProcessing")),
        }
    }
    Ok(frame)
}

fn template_frame(
    origin: &Origin,
    key: &str,
    template: &Template,
    vocab_size: usize,
) -> Result<Frame, TokenizerError> {
    let mut frame = Frame::default();
    let mut side = &mut frame.before;
    for piece in &template.single {
        match piece {
            TemplatePiece::Sequence {} => side = &mut frame.after,
            TemplatePiece::SpecialToken { id } => {
                let token = template.special_tokens.get(id).ok_or_else(|| {
                    origin.malformed(key, format!("{id:?}"), "a token of its special_tokens")
                })?;
                side.extend(&token.ids);
            }
        }
    }
    let mut ids = frame.before.iter().chain(&frame.after);
    match ids.find(|&&id| id as usize >= vocab_size) {
        Some(id) => Err(origin.malformed(key, format!("id {id}"), format!("ids below {vocab_size}"))),
        None => Ok(frame),
    }
}
