//! Takes configuration keys one by one, under the names of Hugging Face, and refuses what nobody took.

use super::gguf_keys;
use crate::checkpoint::error::{CheckpointError, Place, clipped, first_few, quoted};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Display;

/// More than any real size; leaves room to multiply two of them in 64 bits.
const MAX_SIZE: u32 = i32::MAX as u32;

/// The keys of a configuration that nobody has taken yet.
///
/// ```ignore
/// let mut keys = checkpoint.config()?;
/// let decoder = DecoderConfig::take(&mut keys)?;
/// keys.expect("hidden_act", "silu")?;
/// keys.expect("attention_bias", false)?;
/// keys.finish()?;
/// ```
///
/// A null counts as absent everywhere.
#[derive(Clone, Debug)]
pub struct ConfigReader {
    file: String,
    architecture: String,
    names: KeyNames,
    entries: BTreeMap<String, Value>,
}

/// What the keys are called in the file.
#[derive(Clone, Debug)]
pub(super) enum KeyNames {
    /// As in the reader, behind the names of the objects around them.
    HuggingFace { prefix: String },
    /// By GGUF's own names within the namespace of the architecture.
    Gguf,
}

impl ConfigReader {
    pub(super) fn new(
        file: &str,
        architecture: &str,
        names: KeyNames,
        mut entries: BTreeMap<String, Value>,
    ) -> ConfigReader {
        entries.retain(|_, value| !value.is_null());
        ConfigReader { file: file.to_owned(), architecture: architecture.to_owned(), names, entries }
    }

    /// Gives an absent key a value.
    pub fn set_default(&mut self, key: &str, value: impl Into<Value>) {
        self.entries.entry(key.to_owned()).or_insert(value.into());
    }

    /// Name of the architecture as the file gives it: `qwen3`, `llama`.
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// Takes a key that must be there.
    pub fn take<T: DeserializeOwned>(&mut self, key: &str) -> Result<T, CheckpointError> {
        self.take_opt(key)?.ok_or_else(|| self.missing(key))
    }

    /// Takes a key that may be absent.
    pub fn take_opt<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>, CheckpointError> {
        let Some(value) = self.entries.remove(key) else { return Ok(None) };
        match T::deserialize(&value) {
            Ok(taken) => Ok(Some(taken)),
            Err(error) => Err(self.mismatch(key, shown(&value), format!("another type ({error})"))),
        }
    }

    /// Takes a number of things: 1 to 2^31 − 1.
    pub fn take_size(&mut self, key: &str) -> Result<u32, CheckpointError> {
        self.take_opt_size(key)?.ok_or_else(|| self.missing(key))
    }

    /// Takes a number of things that may be absent.
    pub fn take_opt_size(&mut self, key: &str) -> Result<Option<u32>, CheckpointError> {
        let Some(value) = self.entries.remove(key) else { return Ok(None) };
        match value.as_u64().and_then(|size| u32::try_from(size).ok()) {
            Some(size @ 1..=MAX_SIZE) => Ok(Some(size)),
            _ => Err(self.mismatch(key, shown(&value), format!("a whole number from 1 to {MAX_SIZE}"))),
        }
    }

    /// Takes a factor, base or epsilon: a finite number above 0.
    pub fn take_positive(&mut self, key: &str) -> Result<f64, CheckpointError> {
        self.take_opt_positive(key)?.ok_or_else(|| self.missing(key))
    }

    /// Takes a factor, base or epsilon that may be absent.
    pub fn take_opt_positive(&mut self, key: &str) -> Result<Option<f64>, CheckpointError> {
        let Some(value) = self.entries.remove(key) else { return Ok(None) };
        match value.as_f64().filter(|number| number.is_finite() && *number > 0.0) {
            Some(number) => Ok(Some(number)),
            None => Err(self.mismatch(key, shown(&value), "a finite number above 0")),
        }
    }

    /// Takes a nested object, whose keys must be taken and finished in turn.
    pub fn take_opt_section(&mut self, key: &str) -> Result<Option<ConfigReader>, CheckpointError> {
        match self.entries.remove(key) {
            None => Ok(None),
            Some(Value::Object(object)) => {
                let names = KeyNames::HuggingFace { prefix: format!("{}.", self.in_file(key)) };
                Ok(Some(ConfigReader::new(
                    &self.file,
                    &self.architecture,
                    names,
                    object.into_iter().collect(),
                )))
            }
            Some(other) => Err(self.mismatch(key, shown(&other), "an object")),
        }
    }

    /// Takes an object whose values are all objects; another one is left where it is.
    pub fn take_opt_section_of_sections(
        &mut self,
        key: &str,
    ) -> Result<Option<ConfigReader>, CheckpointError> {
        match self.entries.get(key) {
            Some(Value::Object(object)) if !object.is_empty() && object.values().all(Value::is_object) => {
                self.take_opt_section(key)
            }
            _ => Ok(None),
        }
    }

    /// The value of a number of things that stays to be taken.
    pub fn peek_size(&self, key: &str) -> Result<u32, CheckpointError> {
        self.clone().take_size(key)
    }

    /// Takes the keys about attention windows: for each of `layers` layers how many positions it sees, its own included;
    /// 0 where it sees all of them. `slides` says of which layers there is a window where the file does not say it.
    pub fn take_windows(
        &mut self,
        layers: u32,
        slides: impl Fn(u32) -> bool,
    ) -> Result<Vec<u32>, CheckpointError> {
        let is_off = self.take_opt::<bool>("use_sliding_window")? == Some(false);
        if matches!(self.names, KeyNames::Gguf) && self.entries.get("sliding_window") == Some(&0.into()) {
            self.entries.remove("sliding_window"); // how GGUF says that there is none
        }
        let window = self.take_opt_size("sliding_window")?.filter(|_| !is_off);
        let every = self.take_pattern("sliding_window_pattern", layers)?;
        let written = self.take_pattern("_sliding_window_pattern", layers)?;
        let by_type = self.take_layer_types(layers)?;
        let pattern = by_type.clone().or(every).or(written);
        let slides: Vec<bool> = pattern.unwrap_or_else(|| (0..layers).map(slides).collect());
        if by_type.is_some_and(|types| types.contains(&true)) && window.is_none() {
            return Err(self.mismatch("layer_types", "\"sliding_attention\"", "a sliding_window beside it"));
        }
        Ok(slides.into_iter().map(|slides| window.filter(|_| slides).unwrap_or(0)).collect())
    }

    /// Which layers slide: all but every n-th, or a list of them.
    fn take_pattern(&mut self, key: &str, layers: u32) -> Result<Option<Vec<bool>>, CheckpointError> {
        if matches!(self.entries.get(key), Some(Value::Array(_))) {
            let list: Vec<bool> = self.take(key)?;
            return match list.len() == layers as usize {
                true => Ok(Some(list)),
                false => Err(self.mismatch(
                    key,
                    format!("{} values", list.len()),
                    format!("{layers}, one a layer"),
                )),
            };
        }
        let every = self.take_opt_size(key)?;
        Ok(every.map(|every| (1..=layers).map(|layer| layer % every != 0).collect()))
    }

    /// Which layers slide, by the names of their attention.
    fn take_layer_types(&mut self, layers: u32) -> Result<Option<Vec<bool>>, CheckpointError> {
        let Some(types) = self.take_opt::<Vec<String>>("layer_types")? else { return Ok(None) };
        if types.len() != layers as usize {
            let found = format!("{} values", types.len());
            return Err(self.mismatch("layer_types", found, format!("{layers}, one a layer")));
        }
        let slides = types.iter().map(|layer_type| match layer_type.as_str() {
            "full_attention" => Ok(false),
            "sliding_attention" => Ok(true),
            other => Err(self.unsupported(
                "layer_types",
                quoted(other),
                "have \"full_attention\" and \"sliding_attention\"",
            )),
        });
        slides.collect::<Result<_, _>>().map(Some)
    }

    /// Takes a key for which only one value is implemented; absence means that value.
    pub fn expect(&mut self, key: &str, only: impl Into<Value>) -> Result<(), CheckpointError> {
        let only = only.into();
        match self.entries.remove(key) {
            Some(value) if !is_same(&value, &only) => {
                Err(self.unsupported(key, shown(&value), format!("have {}", shown(&only))))
            }
            _ => Ok(()),
        }
    }

    /// Takes the keys about attention windows and refuses any window: every layer sees every earlier position.
    pub fn expect_full_attention(&mut self) -> Result<(), CheckpointError> {
        let is_off = self.take_opt::<bool>("use_sliding_window")? == Some(false);
        let window: Option<Value> = self.take_opt("sliding_window")?;
        if let Some(window) = window.filter(|_| !is_off) {
            return Err(self.unsupported("sliding_window", shown(&window), "have full attention"));
        }
        // The layer from which a window would apply.
        self.ignore(&["max_window_layers"]);
        let layer_types: Vec<String> = self.take_opt("layer_types")?.unwrap_or_default();
        match layer_types.iter().find(|layer_type| *layer_type != "full_attention") {
            Some(other) => Err(self.unsupported("layer_types", quoted(other), "have \"full_attention\"")),
            None => Ok(()),
        }
    }

    /// Takes keys whose value does not change the results.
    pub fn ignore(&mut self, keys: &[&str]) {
        for key in keys {
            self.entries.remove(*key);
        }
    }

    /// Refuses every key that was not taken.
    pub fn finish(self) -> Result<(), CheckpointError> {
        if self.entries.is_empty() {
            return Ok(());
        }
        let keys: Vec<String> = self
            .entries
            .iter()
            .map(|(key, value)| format!("key {} = {}", quoted(&self.in_file(key)), shown(value)))
            .collect();
        Err(CheckpointError::NotUnderstood {
            file: self.file,
            keys: first_few(&keys),
            architecture: self.architecture,
        })
    }

    /// The error for a value that is wrong beside another one.
    pub fn mismatch(&self, key: &str, found: impl Display, expected: impl Display) -> CheckpointError {
        CheckpointError::Mismatch {
            file: self.file.clone(),
            place: Place::key(self.in_file(key)),
            found: found.to_string(),
            expected: expected.to_string(),
        }
    }

    /// The error for a value that is right but not implemented.
    pub fn unsupported(&self, key: &str, found: impl Display, remedy: impl Display) -> CheckpointError {
        CheckpointError::Unsupported {
            file: self.file.clone(),
            place: Place::key(self.in_file(key)),
            found: found.to_string(),
            remedy: remedy.to_string(),
        }
    }

    fn missing(&self, key: &str) -> CheckpointError {
        CheckpointError::Missing {
            file: self.file.clone(),
            place: Place::key(self.in_file(key)),
            remedy: format!("architecture {} needs it", self.architecture),
        }
    }

    /// What a key is called in the file.
    fn in_file(&self, key: &str) -> String {
        match &self.names {
            KeyNames::HuggingFace { prefix } => format!("{prefix}{key}"),
            KeyNames::Gguf => gguf_keys::in_file(&self.architecture, key),
        }
    }
}

fn shown(value: &Value) -> String {
    clipped(&value.to_string())
}

/// Equality that takes 1 and 1.0 for the same number.
fn is_same(a: &Value, b: &Value) -> bool {
    a == b || a.as_f64().is_some_and(|a| b.as_f64() == Some(a))
}
