//! JSON objects read key by key, so that an error names the key, not a line and a column alone.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::error::{Origin, TokenizerError};

/// One object of a file; its values stay unparsed until somebody asks for them.
pub(super) struct JsonObject<'a> {
    origin: &'a Origin,
    path: String,
    fields: BTreeMap<String, &'a RawValue>,
}

impl<'a> JsonObject<'a> {
    /// Reads the object that makes up a whole file.
    pub(super) fn parse(origin: &'a Origin, text: &'a str) -> Result<Self, TokenizerError> {
        Self::parse_at(origin, String::new(), text)
    }

    fn parse_at(origin: &'a Origin, path: String, text: &'a str) -> Result<Self, TokenizerError> {
        match serde_json::from_str(text) {
            Ok(fields) => Ok(Self { origin, path, fields }),
            Err(error) => {
                let key = if path.is_empty() { "JSON" } else { &path };
                Err(origin.malformed(key, error, "a JSON object"))
            }
        }
    }

    /// The object under `key`.
    pub(super) fn object(&self, key: &str) -> Result<JsonObject<'a>, TokenizerError> {
        let missing = || self.origin.malformed(self.path_of(key), "nothing", "a JSON object");
        let raw = self.fields.get(key).ok_or_else(missing)?;
        Self::parse_at(self.origin, self.path_of(key), raw.get())
    }

    /// The value under `key`; `None` where it is absent or null.
    pub(super) fn get<T: DeserializeOwned>(
        &self,
        key: &str,
        expected: &str,
    ) -> Result<Option<T>, TokenizerError> {
        let Some(raw) = self.fields.get(key) else {
            return Ok(None);
        };
        serde_json::from_str(raw.get())
            .map_err(|error| self.origin.malformed(self.path_of(key), error, expected))
    }

    /// The value under `key`, which has to be there.
    pub(super) fn require<T: DeserializeOwned>(
        &self,
        key: &str,
        expected: &str,
    ) -> Result<T, TokenizerError> {
        let missing = || self.origin.malformed(self.path_of(key), "nothing", expected);
        self.get(key, expected)?.ok_or_else(missing)
    }

    /// The dotted path of `key` from the top of the file.
    pub(super) fn path_of(&self, key: &str) -> String {
        match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }
}
