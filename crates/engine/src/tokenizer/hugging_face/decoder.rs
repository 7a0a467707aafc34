//! What the decoder of a `tokenizer.json` does to the text of the tokens.

use serde_json::Value;

use super::super::error::{Origin, TokenizerError};
use super::super::json::JsonObject;
use super::super::vocabulary::{CONTINUES, Spelling};
use super::models::ModelParts;
use super::steps;

pub(super) struct DecodeRules {
    pub(super) spelling: Spelling,
    pub(super) drops_leading_space: bool,
}

impl DecodeRules {
    pub(super) fn read(
        origin: &Origin,
        file: &JsonObject,
        model: &ModelParts,
    ) -> Result<Self, TokenizerError> {
        let decoder: Value = file.get("decoder", "a decoder")?.unwrap_or_default();
        let steps = steps(&decoder);
        if let [step] = steps[..] {
            match step["type"].as_str() {
                Some("ByteLevel") => {
                    return Ok(Self { spelling: Spelling::ByteLevel, drops_leading_space: false });
                }
                Some("WordPiece") if step["prefix"] == CONTINUES => {
                    let tidies = step["cleanup"] != Value::Bool(false);
                    return Ok(Self { spelling: Spelling::WordPiece { tidies }, drops_leading_space: true });
                }
                // BERT's library falls back to this where the file says nothing.
                None if model.is_word_piece() => {
                    return Ok(Self {
                        spelling: Spelling::WordPiece { tidies: true },
                        drops_leading_space: true,
                    });
                }
                _ => {}
            }
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
                    let supported = "ByteLevel, WordPiece with ##, or Replace ▁ by a space, Metaspace, \
                                     ByteFallback, Fuse and Strip of one leading space";
                    return Err(origin.unsupported("decoder", step, supported));
                }
            }
        }
        if !replaces_space {
            return Err(origin.unsupported("decoder", decoder, "one that turns ▁ into a space"));
        }
        Ok(Self { spelling: Spelling::SentencePiece { byte_fallback }, drops_leading_space })
    }
}
