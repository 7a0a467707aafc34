//! A folder's tokenizer in GGUF's form: the metadata under `tokenizer.ggml`, and the chat templates.
//!
//! Byte-level BPE becomes model `gpt2`: tokens, merges, and the name of the pre-tokenizer whose expressions the folder has.
//! What spells spaces as `▁` becomes model `llama`, whose scores come from `tokenizer.model`, or, without one, from the ranks
//! of the merges: the pair that merges first makes the token of the highest score.

use std::collections::HashMap;
use std::path::Path;

use resident_models::checkpoint::TokenIds;
use resident_models::checkpoint::gguf::GgufWriter;
use serde_json::Value;

use super::error::{Origin, TokenizerError};
use super::pre_tokenizers::PreTokenizer;
use super::sentencepiece::{self, PieceKind};
use super::vocabulary::byte_token;
use super::{Tokenizer, read_text};

/// A token and what GGUF says of it.
struct Entry {
    text: String,
    score: f32,
    kind: PieceKind,
}

impl Tokenizer {
    /// Writes the keys that describe the tokenizer of `folder`, which this one was loaded from, for a model of `rows`
    /// embeddings; `ids` are the model's own special tokens.
    ///
    /// # Errors
    /// Files that cannot be read, and tokenizers that GGUF has no name for.
    pub fn write_gguf(
        &self,
        folder: &Path,
        rows: u32,
        ids: &TokenIds,
        file: &mut GgufWriter,
    ) -> Result<(), TokenizerError> {
        let path = folder.join("tokenizer.json");
        let origin = Origin::file(&path);
        let json = match path.exists() {
            true => {
                let text = read_text(&path, &origin)?;
                serde_json::from_str(&text).map_err(|error| origin.malformed("text", error, "JSON"))?
            }
            false => Value::Null,
        };
        if let Some(kind) = json["model"]["type"].as_str().filter(|kind| *kind != "BPE") {
            return Err(origin.unsupported("model.type", kind, "BPE in GGUF's form"));
        }
        let is_byte_level = ["decoder", "pre_tokenizer"]
            .iter()
            .any(|part| steps(&json[*part]).iter().any(|step| step["type"] == "ByteLevel"));
        let mut entries = if is_byte_level {
            file.set("tokenizer.ggml.model", "gpt2");
            file.set("tokenizer.ggml.pre", pre_tokenizer_name(&origin, &json)?);
            let merges: Vec<String> = merges(&json).map(|[left, right]| format!("{left} {right}")).collect();
            file.set("tokenizer.ggml.merges", &merges[..]);
            byte_level_entries(&origin, &json)?
        } else {
            file.set("tokenizer.ggml.model", "llama");
            file.set("tokenizer.ggml.pre", "default");
            match folder.join("tokenizer.model") {
                model if model.exists() => model_entries(&model)?,
                _ => ranked_entries(&origin, &json)?,
            }
        };
        mark_added_tokens(&json, &mut entries);
        for id in entries.len()..rows as usize {
            entries.push(Entry { text: format!("[PAD{id}]"), score: 0.0, kind: PieceKind::Unused });
        }
        entries.truncate(rows as usize);

        let texts: Vec<&str> = entries.iter().map(|entry| entry.text.as_str()).collect();
        file.set("tokenizer.ggml.tokens", &texts[..]);
        if !is_byte_level {
            let scores: Vec<f32> = entries.iter().map(|entry| entry.score).collect();
            file.set("tokenizer.ggml.scores", &scores[..]);
            file.set("tokenizer.ggml.add_space_prefix", self.begins_with_space(&texts)?);
        }
        let kinds: Vec<i32> = entries.iter().map(|entry| entry.kind as i32).collect();
        file.set("tokenizer.ggml.token_type", &kinds[..]);
        self.write_special_ids(ids, file)?;
        write_templates(folder, file)
    }

    /// Whether texts begin with the bos token.
    pub fn begins_with_bos(&self) -> bool {
        let framed = self.encode("", true).unwrap_or_default();
        self.bos_id().is_some_and(|bos| framed.first() == Some(&bos))
    }

    /// Whether a space goes before a text.
    fn begins_with_space(&self, texts: &[&str]) -> Result<bool, TokenizerError> {
        let first = self.encode_plain("a", false)?.first().and_then(|id| texts.get(*id as usize)).copied();
        Ok(first.is_some_and(|text| text.starts_with('▁')))
    }

    fn write_special_ids(&self, ids: &TokenIds, file: &mut GgufWriter) -> Result<(), TokenizerError> {
        let eos = ids.eos.first().copied().or(self.eos_id());
        for (name, id) in [
            ("bos", self.bos_id().or(ids.bos)),
            ("eos", eos),
            // What else ends a text ends a turn or a message.
            ("eot", ids.eos.get(1).copied()),
            ("eom", ids.eos.get(2).copied()),
            ("unknown", self.unk_id()),
            ("padding", self.pad_id().or(ids.pad)),
        ] {
            if let Some(id) = id {
                file.set(&format!("tokenizer.ggml.{name}_token_id"), id);
            }
        }
        let framed = self.encode("", true)?;
        let ends_with_eos = self.eos_id().is_some_and(|eos| framed.last() == Some(&eos));
        file.set("tokenizer.ggml.add_bos_token", self.begins_with_bos());
        file.set(
            "tokenizer.ggml.add_eos_token",
            ends_with_eos && framed.len() > usize::from(self.begins_with_bos()),
        );
        Ok(())
    }
}

/// The steps of a normalizer or pre-tokenizer, sequences opened up.
fn steps(part: &Value) -> Vec<&Value> {
    let lists = ["normalizers", "pretokenizers", "decoders"];
    match lists.iter().find_map(|list| part[*list].as_array()) {
        Some(list) => list.iter().flat_map(steps).collect(),
        None if part.is_null() => Vec::new(),
        None => vec![part],
    }
}

/// GGUF's name for what a byte-level tokenizer does to a text before merging.
fn pre_tokenizer_name(origin: &Origin, json: &Value) -> Result<&'static str, TokenizerError> {
    let unknown = |found: &Value| {
        let known = "the expressions of a family that GGUF has a name for";
        origin.unsupported("pre_tokenizer", found, known)
    };
    let mut expressions = Vec::new();
    for step in steps(&json["pre_tokenizer"]) {
        match step["type"].as_str() {
            Some("Split") if step["behavior"] == "Isolated" && step["invert"] != true => {
                expressions.push(step["pattern"]["Regex"].as_str().ok_or_else(|| unknown(step))?);
            }
            Some("Digits") if step["individual_digits"] == true => expressions.push(r"\p{N}"),
            Some("ByteLevel") if step["add_prefix_space"] == true => return Err(unknown(step)),
            Some("ByteLevel") if step["use_regex"] != false => expressions.push(PreTokenizer::GPT_2),
            Some("ByteLevel") => {}
            _ => return Err(unknown(step)),
        }
    }
    let normalizers: Vec<&Value> = steps(&json["normalizer"]);
    let composes = match normalizers[..] {
        [] => false,
        [step] if step["type"] == "NFC" => true,
        _ => return Err(origin.unsupported("normalizer", &json["normalizer"], "none, NFC")),
    };
    let ignore_merges = json["model"]["ignore_merges"] == true;
    PreTokenizer::name_of(&expressions, composes, ignore_merges)
        .ok_or_else(|| unknown(&json["pre_tokenizer"]))
}

/// The pairs that merge, best first.
fn merges(json: &Value) -> impl Iterator<Item = [&str; 2]> {
    let merges = json["model"]["merges"].as_array().map_or(&[][..], Vec::as_slice);
    merges.iter().filter_map(|merge| match merge {
        Value::String(line) => line.split_once(' ').map(|(left, right)| [left, right]),
        pair => Some([pair[0].as_str()?, pair[1].as_str()?]),
    })
}

/// Tokens by id; ids without one are unused.
fn vocabulary<'a>(origin: &Origin, json: &'a Value) -> Result<Vec<&'a str>, TokenizerError> {
    let vocab = json["model"]["vocab"].as_object();
    let vocab = vocab.ok_or_else(|| origin.malformed("model.vocab", "nothing", "tokens and their ids"))?;
    let mut texts = Vec::new();
    for (text, id) in vocab {
        let id = id.as_u64().filter(|id| *id < 1 << 22);
        let id = id.ok_or_else(|| origin.malformed("model.vocab", text, "an id below 4194304"))? as usize;
        texts.resize(texts.len().max(id + 1), "");
        texts[id] = text.as_str();
    }
    Ok(texts)
}

fn byte_level_entries(origin: &Origin, json: &Value) -> Result<Vec<Entry>, TokenizerError> {
    let texts = vocabulary(origin, json)?;
    let kind = |text: &str| if text.is_empty() { PieceKind::Unused } else { PieceKind::Normal };
    let entry = |(id, text): (usize, &&str)| Entry {
        text: if text.is_empty() { format!("[PAD{id}]") } else { (*text).to_owned() },
        score: 0.0,
        kind: kind(text),
    };
    Ok(texts.iter().enumerate().map(entry).collect())
}

/// Pieces of a `tokenizer.model` as they are.
fn model_entries(path: &Path) -> Result<Vec<Entry>, TokenizerError> {
    let pieces = sentencepiece::byte_pair_pieces(path)?;
    Ok(pieces
        .into_iter()
        .map(|piece| Entry { text: piece.text, score: piece.score, kind: piece.kind })
        .collect())
}

/// Pieces of a `tokenizer.json` whose merges have ranks in the place of scores.
fn ranked_entries(origin: &Origin, json: &Value) -> Result<Vec<Entry>, TokenizerError> {
    let mut ranks: HashMap<String, usize> = HashMap::new();
    for (rank, [left, right]) in merges(json).enumerate() {
        ranks.entry(format!("{left}{right}")).or_insert(rank);
    }
    let unk = json["model"]["unk_token"].as_str();
    let entry = |text: &str| {
        let kind = match text {
            "" => PieceKind::Unused,
            text if Some(text) == unk => PieceKind::Unknown,
            text if byte_token(text).is_some() => PieceKind::Byte,
            _ => PieceKind::Normal,
        };
        // Single characters merge from nothing; theirs are the lowest.
        let rank = ranks.get(text).copied().unwrap_or(ranks.len());
        Entry { text: text.to_owned(), score: -(rank as f32), kind }
    };
    Ok(vocabulary(origin, json)?.into_iter().map(entry).collect())
}

/// Tokens that stand in the raw text: special ones control the model, others are user-defined.
fn mark_added_tokens(json: &Value, entries: &mut Vec<Entry>) {
    for token in json["added_tokens"].as_array().into_iter().flatten() {
        let (Some(id), Some(text)) = (token["id"].as_u64(), token["content"].as_str()) else { continue };
        let id = id as usize;
        // The reader has refused larger ids.
        while entries.len() <= id {
            let text = format!("[PAD{}]", entries.len());
            entries.push(Entry { text, score: 0.0, kind: PieceKind::Unused });
        }
        let entry = &mut entries[id];
        entry.kind = match token["special"] == true {
            _ if entry.kind == PieceKind::Unknown => PieceKind::Unknown,
            true => PieceKind::Control,
            false => PieceKind::UserDefined,
        };
        text.clone_into(&mut entry.text);
    }
}

/// Chat templates: those of `chat_template.jinja`, or of `tokenizer_config.json`.
fn write_templates(folder: &Path, file: &mut GgufWriter) -> Result<(), TokenizerError> {
    let jinja = folder.join("chat_template.jinja");
    if jinja.exists() {
        let text = read_text(&jinja, &Origin::file(&jinja))?;
        file.set("tokenizer.chat_template", text.as_str());
        return Ok(());
    }
    let path = folder.join("tokenizer_config.json");
    if !path.exists() {
        return Ok(());
    }
    let origin = Origin::file(&path);
    let config: Value = serde_json::from_str(&read_text(&path, &origin)?)
        .map_err(|error| origin.malformed("text", error, "JSON"))?;
    match &config["chat_template"] {
        Value::String(text) => file.set("tokenizer.chat_template", text.as_str()),
        Value::Array(named) => {
            let mut names = Vec::new();
            for entry in named {
                let (Some(name), Some(text)) = (entry["name"].as_str(), entry["template"].as_str()) else {
                    continue;
                };
                match name {
                    "default" => file.set("tokenizer.chat_template", text),
                    name => {
                        file.set(&format!("tokenizer.chat_template.{name}"), text);
                        names.push(name.to_owned());
                    }
                }
            }
            if !names.is_empty() {
                file.set("tokenizer.chat_templates", &names[..]);
            }
        }
        _ => {}
    }
    Ok(())
}
