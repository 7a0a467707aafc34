//! `config.json` and `generation_config.json` of a Hugging Face folder.

use super::reader::{ConfigReader, KeyNames};
use super::token_ids::TokenIds;
use crate::checkpoint::error::{CheckpointError, Place, clipped};
use crate::checkpoint::json_file::{self, UniqueMap};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

const CONFIG_FILE: &str = "config.json";
const GENERATION_CONFIG_FILE: &str = "generation_config.json";

/// How the names of classes without a head end: `Qwen3Model`.
const BASE_CLASS: &str = "Model";

/// Keys that say nothing about the mathematics of a forward pass: origin, training and how its matrices were sliced, what a
/// Python call returns, and defaults of sampling. The dtype is among them because every tensor carries its own.
static BOOKKEEPING: &[&str] = &[
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_name_or_path",
    "attention_dropout",
    "auto_map",
    "bos_token_id",
    "cache_implementation",
    "do_sample",
    "dtype",
    "embd_pdrop",
    "eos_token_id",
    "finetuning_task",
    "gradient_checkpointing",
    "hidden_dropout",
    "id2label",
    "initializer_range",
    "label2id",
    "max_length",
    "model_name",
    "output_attentions",
    "output_hidden_states",
    "pad_token_id",
    "pretraining_tp",
    "problem_type",
    "repetition_penalty",
    "resid_pdrop",
    "return_dict",
    "temperature",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "unsloth_fixed",
    "unsloth_version",
    "use_cache",
];

/// A language model in the configuration of a model that sees, too.
#[derive(Debug)]
struct Wrapper {
    /// `model_type` around it, and its own.
    model_type: &'static str,
    text_type: &'static str,
    /// The class that the weights are of.
    class: &'static str,
    /// Keys around it about images.
    vision_keys: &'static [&'static str],
    /// What a key of it means that is not there: published files leave out what the class has as its default.
    defaults: fn() -> Value,
}

static WRAPPERS: &[Wrapper] = &[Wrapper {
    model_type: "gemma3",
    text_type: "gemma3_text",
    class: "Gemma3ForConditionalGeneration",
    vision_keys: &[
        "boi_token_index",
        "eoi_token_index",
        "image_token_index",
        "mm_tokens_per_image",
        "vision_config",
    ],
    defaults: || {
        json!({
            "vocab_size": 262_208,
            "hidden_size": 2304,
            "intermediate_size": 9216,
            "num_hidden_layers": 26,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "head_dim": 256,
            "max_position_embeddings": 131_072,
            "rms_norm_eps": 1e-6,
            "query_pre_attn_scalar": 256,
            "sliding_window": 4096,
        })
    },
}];

/// The two configuration files of a folder.
#[derive(Debug)]
pub(in crate::checkpoint) struct HuggingFaceConfig {
    file: String,
    architecture: String,
    config: BTreeMap<String, Value>,
    /// The model around the language model, where there is one.
    wrapper: Option<&'static Wrapper>,
    /// Path and keys, where the folder has one.
    generation: Option<(String, BTreeMap<String, Value>)>,
}

impl HuggingFaceConfig {
    pub(in crate::checkpoint) fn read(folder: &Path) -> Result<HuggingFaceConfig, CheckpointError> {
        let path = folder.join(CONFIG_FILE);
        if !path.is_file() {
            return Err(CheckpointError::NotACheckpoint {
                path: folder.display().to_string(),
                problem: format!("the folder has no {CONFIG_FILE}"),
                remedy: "give the folder of a Hugging Face model or the path of a .gguf file".to_owned(),
            });
        }
        let file = path.display().to_string();
        let UniqueMap(mut config) = json_file::read::<UniqueMap<Value>>(&path)?;
        let mut architecture = match config.remove("model_type") {
            Some(Value::String(model_type)) => model_type,
            other => {
                return Err(mismatch(&file, "model_type", other.as_ref(), "the name of an architecture"));
            }
        };
        let wrapper = WRAPPERS.iter().find(|wrapper| wrapper.model_type == architecture);
        if let Some(wrapper) = wrapper {
            config = unwrapped(&file, config, wrapper)?;
            architecture = wrapper.text_type.to_owned();
        }
        let path = folder.join(GENERATION_CONFIG_FILE);
        let generation = match path.is_file() {
            true => Some((path.display().to_string(), json_file::read::<UniqueMap<Value>>(&path)?.0)),
            false => None,
        };
        Ok(HuggingFaceConfig { file, architecture, config, wrapper, generation })
    }

    pub(in crate::checkpoint) fn architecture(&self) -> &str {
        &self.architecture
    }

    /// Whether the language model is part of a model that sees.
    pub(in crate::checkpoint) fn is_wrapped(&self) -> bool {
        self.wrapper.is_some()
    }

    /// Whether it is of a class without a head, whose name does not say that the embedding is one.
    pub(in crate::checkpoint) fn is_base(&self) -> bool {
        let classes = self.config.get("architectures").and_then(Value::as_array);
        let is_base = |class: &Value| class.as_str().is_some_and(|class| class.ends_with(BASE_CLASS));
        classes.is_some_and(|classes| classes.iter().any(is_base))
            && self.config.get("tie_word_embeddings") != Some(&Value::Bool(true))
    }

    /// The keys of `config.json` that can change results. A head whose tying is not mentioned is tied where it has
    /// no tensor.
    pub(in crate::checkpoint) fn reader(&self, is_tied: bool) -> Result<ConfigReader, CheckpointError> {
        let names = KeyNames::HuggingFace { prefix: String::new() };
        let mut keys = ConfigReader::new(&self.file, &self.architecture, names, self.config.clone());
        if is_tied && self.is_base() {
            // Nobody asks for the logits of a model without a head.
            keys.ignore(&["tie_word_embeddings"]);
        }
        keys.set_default("tie_word_embeddings", is_tied);
        keys.ignore(BOOKKEEPING);
        for (key, only) in [
            ("add_cross_attention", false),
            ("is_decoder", true),
            ("is_encoder_decoder", false),
            ("tie_encoder_decoder", false),
        ] {
            keys.expect(key, only)?;
        }
        keys.expect("chunk_size_feed_forward", 0)?;
        let classes: Vec<String> = keys.take_opt("architectures")?.unwrap_or_default();
        let known = |class: &str| self.wrapper.is_some_and(|wrapper| wrapper.class == class);
        let is_read =
            |class: &str| class.ends_with("ForCausalLM") || class.ends_with(BASE_CLASS) || known(class);
        match classes.iter().find(|class| !is_read(class)) {
            Some(other) => Err(keys.unsupported(
                "architectures",
                clipped(other),
                "have causal language models, with a head or without",
            )),
            None => Ok(keys),
        }
    }

    /// The special tokens: `generation_config.json` first, `config.json` for what it leaves out; every id that ends
    /// a text in either file does.
    pub(in crate::checkpoint) fn token_ids(&self) -> Result<TokenIds, CheckpointError> {
        let mut ids = TokenIds::default();
        let generation = self.generation.iter().map(|(file, keys)| (file, keys));
        for (file, keys) in generation.chain([(&self.file, &self.config)]) {
            ids.bos = ids.bos.or(read_ids(file, keys, "bos_token_id")?.first().copied());
            ids.pad = ids.pad.or(read_ids(file, keys, "pad_token_id")?.first().copied());
            ids.add_eos(read_ids(file, keys, "eos_token_id")?);
        }
        Ok(ids)
    }
}

/// The language model's keys, and of those around it the ones that it leaves out.
fn unwrapped(
    file: &str,
    mut config: BTreeMap<String, Value>,
    wrapper: &Wrapper,
) -> Result<BTreeMap<String, Value>, CheckpointError> {
    let mut text: BTreeMap<String, Value> = match config.remove("text_config") {
        Some(Value::Object(text)) => text.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        other => return Err(mismatch(file, "text_config", other.as_ref(), "an object")),
    };
    match text.remove("model_type") {
        None => {}
        Some(found) if found == wrapper.text_type => {}
        Some(other) => return Err(mismatch(file, "text_config.model_type", Some(&other), wrapper.text_type)),
    }
    wrapper.vision_keys.iter().for_each(|key| drop(config.remove(*key)));
    for (key, value) in config.into_iter().chain(defaults_of(wrapper)) {
        text.entry(key).or_insert(value);
    }
    Ok(text)
}

fn defaults_of(wrapper: &Wrapper) -> impl Iterator<Item = (String, Value)> {
    let Value::Object(defaults) = (wrapper.defaults)() else { unreachable!("defaults are an object") };
    defaults.into_iter()
}

/// One id, a list of ids, or none. Old files write -1 for none.
fn read_ids(file: &str, keys: &BTreeMap<String, Value>, key: &str) -> Result<Vec<u32>, CheckpointError> {
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    let value = keys.get(key).unwrap_or(&Value::Null);
    let ids = match value {
        Value::Null => Some(Vec::new()),
        Value::Array(list) => list.iter().map(id).collect(),
        one if one.as_i64() == Some(-1) => Some(Vec::new()),
        one => id(one).map(|id| vec![id]),
    };
    ids.ok_or_else(|| mismatch(file, key, Some(value), "a token id or a list of token ids"))
}

fn mismatch(file: &str, key: &str, found: Option<&Value>, expected: &str) -> CheckpointError {
    CheckpointError::Mismatch {
        file: file.to_owned(),
        place: Place::key(key),
        found: found.map_or_else(|| "missing".to_owned(), |value| clipped(&value.to_string())),
        expected: expected.to_owned(),
    }
}
