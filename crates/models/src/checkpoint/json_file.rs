//! Reads JSON objects of a checkpoint: bounded in size, and a key that stands twice is refused instead of one
//! of its values being taken.

use super::error::{CheckpointError, Place, quoted};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::path::Path;

/// More than any model's configuration or index has.
const MAX_BYTES: u64 = 64 << 20;

/// A JSON object whose keys differ.
#[derive(Debug)]
pub(super) struct UniqueMap<V>(pub(super) BTreeMap<String, V>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for UniqueMap<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(UniqueVisitor(PhantomData))
    }
}

struct UniqueVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for UniqueVisitor<V> {
    type Value = UniqueMap<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((key, value)) = entries.next_entry::<String, V>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format_args!("key {} stands twice", quoted(&key))));
            }
            map.insert(key, value);
        }
        Ok(UniqueMap(map))
    }
}

/// Reads a JSON file.
pub(super) fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, CheckpointError> {
    let file = path.display().to_string();
    let io_error = |source| CheckpointError::Io { file: file.clone(), source };
    let bytes = std::fs::metadata(path).map_err(io_error)?.len();
    if bytes > MAX_BYTES {
        return Err(CheckpointError::Mismatch {
            file,
            place: Place::Header,
            found: format!("in a file of {bytes} bytes"),
            expected: format!("at most {MAX_BYTES} bytes of JSON"),
        });
    }
    let text = std::fs::read(path).map_err(io_error)?;
    parse(&file, &text)
}

/// Reads JSON that is part of a file.
pub(super) fn parse<'de, T: Deserialize<'de>>(file: &str, text: &'de [u8]) -> Result<T, CheckpointError> {
    serde_json::from_slice(text).map_err(|error| CheckpointError::Damaged {
        file: file.to_owned(),
        place: Place::Header,
        problem: format!("not the JSON that is expected here: {error}"),
    })
}
