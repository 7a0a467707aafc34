//! The special tokens that the post-processor of a `tokenizer.json` puts around a text.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::super::Frame;
use super::super::error::{Origin, TokenizerError};
use super::super::json::JsonObject;
use super::steps;

const KEY: &str = "post_processor";

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

/// `BertProcessing` and `RobertaProcessing`: the text and id of the token before and of the one after.
#[derive(Deserialize)]
struct Bracket {
    cls: (String, u32),
    sep: (String, u32),
}

pub(super) fn frame(origin: &Origin, file: &JsonObject, vocab_size: usize) -> Result<Frame, TokenizerError> {
    let mut frame = Frame::default();
    let Some(value) = file.get::<Value>(KEY, "an object")? else {
        return Ok(frame);
    };
    let malformed = |error: serde_json::Error| origin.malformed(KEY, error, "the parameters of its type");
    for step in steps(&value) {
        match step["type"].as_str() {
            Some("ByteLevel") => {}
            Some("TemplateProcessing") => {
                frame = template_frame(origin, &Template::deserialize(step).map_err(malformed)?)?;
            }
            Some("BertProcessing" | "RobertaProcessing") => {
                let Bracket { cls, sep } = Bracket::deserialize(step).map_err(malformed)?;
                frame = Frame { before: vec![cls.1], after: vec![sep.1] };
            }
            _ => {
                let supported = "ByteLevel, TemplateProcessing, BertProcessing, RobertaProcessing";
                return Err(origin.unsupported(KEY, step, supported));
            }
        }
    }
    let mut ids = frame.before.iter().chain(&frame.after);
    match ids.find(|&&id| id as usize >= vocab_size) {
        Some(id) => Err(origin.malformed(KEY, format!("id {id}"), format!("ids below {vocab_size}"))),
        None => Ok(frame),
    }
}

fn template_frame(origin: &Origin, template: &Template) -> Result<Frame, TokenizerError> {
    let mut frame = Frame::default();
    let mut side = &mut frame.before;
    for piece in &template.single {
        match piece {
            TemplatePiece::Sequence {} => side = &mut frame.after,
            TemplatePiece::SpecialToken { id } => {
                let token = template.special_tokens.get(id).ok_or_else(|| {
                    origin.malformed(KEY, format!("{id:?}"), "a token of its special_tokens")
                })?;
                side.extend(&token.ids);
            }
        }
    }
    Ok(frame)
}
