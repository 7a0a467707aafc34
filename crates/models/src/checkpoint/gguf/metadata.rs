//! The metadata of a GGUF file, read by key and type.

use super::cursor::Cursor;
use super::value::{Array, Value, ValueType};
use crate::checkpoint::error::{CheckpointError, Place, quoted};
use std::collections::BTreeMap;

/// All keys of a GGUF file and their values, borrowed from the file.
#[derive(Clone, Copy, Debug)]
pub struct Metadata<'a> {
    /// Path of the file, for messages.
    pub(super) file: &'a str,
    pub(super) bytes: &'a [u8],
    /// Position of each key's value, which has been checked.
    pub(super) positions: &'a BTreeMap<String, usize>,
}

impl<'a> Metadata<'a> {
    /// Path of the file, for messages.
    pub fn file(self) -> &'a str {
        self.file
    }

    /// Every key and its value, in alphabetical order.
    pub fn iter(self) -> impl ExactSizeIterator<Item = (&'a str, Value<'a>)> {
        self.positions.iter().map(move |(key, at)| (key.as_str(), self.read(*at).1))
    }

    /// Every key and its value as it stands in the file, type included, in alphabetical order.
    pub(super) fn encoded(self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.positions.iter().map(move |(key, at)| {
            let mut cursor = Cursor::new(&self.bytes[*at..]);
            Value::check(&mut cursor).expect("the value was checked when the file was opened");
            (key.as_str(), &self.bytes[*at..][..cursor.position()])
        })
    }

    /// The value of a key as `T`, if the key is there. Integers of any width are taken where their value fits.
    pub fn get<T: FromValue<'a>>(self, key: &str) -> Result<Option<T>, CheckpointError> {
        let Some(at) = self.positions.get(key) else { return Ok(None) };
        let (value_type, value) = self.read(*at);
        T::from_value(value).map(Some).ok_or_else(|| CheckpointError::Mismatch {
            file: self.file.to_owned(),
            place: Place::key(key),
            found: match value {
                Value::Array(_) => value.to_string(),
                _ => format!("{value_type} {value}"),
            },
            expected: T::EXPECTED.to_owned(),
        })
    }

    /// The value of a key that must be there.
    pub fn require<T: FromValue<'a>>(self, key: &str) -> Result<T, CheckpointError> {
        self.get(key)?.ok_or_else(|| CheckpointError::Missing {
            file: self.file.to_owned(),
            place: Place::key(key),
            remedy: format!("expected {}", T::EXPECTED),
        })
    }

    /// Refuses files that hold something beside a model.
    pub(in crate::checkpoint) fn refuse_other_contents(self) -> Result<(), CheckpointError> {
        let unsupported = |key: &str, found: String, remedy: &str| {
            Err(CheckpointError::Unsupported {
                file: self.file.to_owned(),
                place: Place::key(key),
                found,
                remedy: remedy.to_owned(),
            })
        };
        match self.get::<&str>("general.type")? {
            None | Some("model") => {}
            Some(other) => {
                return unsupported("general.type", quoted(other), "give a file of type \"model\"");
            }
        }
        match self.get::<u64>("general.quantization_version")? {
            None | Some(2) => Ok(()),
            Some(old) => {
                unsupported("general.quantization_version", old.to_string(), "have 2; requantise the model")
            }
        }
    }

    fn read(self, at: usize) -> (ValueType, Value<'a>) {
        let mut cursor = Cursor::new(&self.bytes[at..]);
        Value::read(&mut cursor).expect("the value was checked when the file was opened")
    }
}

/// What a metadata value can be asked for as.
pub trait FromValue<'a>: Sized {
    /// The type's name in messages.
    const EXPECTED: &'static str;

    /// The value as this type; None if it is another type or does not fit.
    fn from_value(value: Value<'a>) -> Option<Self>;
}

macro_rules! from_value {
    ($($type:ty, $expected:literal, $value:ident => $convert:expr;)*) => {$(
        impl<'a> FromValue<'a> for $type {
            const EXPECTED: &'static str = $expected;

            fn from_value($value: Value<'a>) -> Option<Self> {
                $convert
            }
        }
    )*};
}

from_value! {
    u64, "an unsigned integer", value => match value {
        Value::Unsigned(value) => Some(value),
        Value::Signed(value) => value.try_into().ok(),
        _ => None,
    };
    i64, "an integer", value => match value {
        Value::Unsigned(value) => value.try_into().ok(),
        Value::Signed(value) => Some(value),
        _ => None,
    };
    u32, "an unsigned integer of 32 bits", value => u64::from_value(value)?.try_into().ok();
    i32, "an integer of 32 bits", value => i64::from_value(value)?.try_into().ok();
    f64, "a float", value => match value {
        Value::Float(value) => Some(value),
        _ => None,
    };
    f32, "a float", value => f64::from_value(value).map(|value| value as f32);
    bool, "a bool", value => match value {
        Value::Bool(value) => Some(value),
        _ => None,
    };
    &'a [u8], "a string", value => match value {
        Value::String(text) => Some(text),
        _ => None,
    };
    &'a str, "a string of valid UTF-8", value => std::str::from_utf8(<&[u8]>::from_value(value)?).ok();
    Array<'a>, "an array", value => match value {
        Value::Array(array) => Some(array),
        _ => None,
    };
    Vec<&'a [u8]>, "an array of strings", value => items(value);
    Vec<&'a str>, "an array of strings of valid UTF-8", value => items(value);
    Vec<f32>, "an array of floats", value => items(value);
    Vec<i32>, "an array of integers of 32 bits", value => items(value);
    Vec<u32>, "an array of unsigned integers of 32 bits", value => items(value);
}

fn items<'a, T: FromValue<'a>>(value: Value<'a>) -> Option<Vec<T>> {
    Array::from_value(value)?.iter().map(T::from_value).collect()
}
