//! Metadata values: checked once when the file is opened, decoded in place whenever they are asked for.

use super::cursor::{Cursor, Parsed};
use crate::checkpoint::error::quoted;
use std::fmt;

/// Type of a metadata value or of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ValueType {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    String,
    Array,
    U64,
    I64,
    F64,
}

/// Name and bytes of each type, in the order of GGUF's ids; strings and arrays have no fixed size.
static TYPES: [(ValueType, &str, Option<usize>); 13] = [
    (ValueType::U8, "u8", Some(1)),
    (ValueType::I8, "i8", Some(1)),
    (ValueType::U16, "u16", Some(2)),
    (ValueType::I16, "i16", Some(2)),
    (ValueType::U32, "u32", Some(4)),
    (ValueType::I32, "i32", Some(4)),
    (ValueType::F32, "f32", Some(4)),
    (ValueType::Bool, "bool", Some(1)),
    (ValueType::String, "string", None),
    (ValueType::Array, "array", None),
    (ValueType::U64, "u64", Some(8)),
    (ValueType::I64, "i64", Some(8)),
    (ValueType::F64, "f64", Some(8)),
];

/// The least that a string takes: its length.
const STRING_BYTES: usize = 8;

impl ValueType {
    fn read(cursor: &mut Cursor<'_>) -> Parsed<ValueType> {
        let id = cursor.u32()?;
        let found = TYPES.get(id as usize).map(|(value_type, ..)| *value_type);
        found.ok_or_else(|| format!("value type {id} does not exist (GGUF has 0 to 12)"))
    }

    fn fixed_bytes(self) -> Option<usize> {
        TYPES[self as usize].2
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(TYPES[*self as usize].1)
    }
}

/// A metadata value, borrowed from the file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Any unsigned integer type.
    Unsigned(u64),
    /// Any signed integer type.
    Signed(i64),
    /// f32 or f64; an f32 is widened exactly.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// Text, which GGUF does not promise to be valid UTF-8.
    String(&'a [u8]),
    /// Scalars or strings of one type.
    Array(Array<'a>),
}

impl<'a> Value<'a> {
    /// Moves over a value, type included, and checks all of it.
    pub(super) fn check(cursor: &mut Cursor<'a>) -> Parsed<()> {
        match ValueType::read(cursor)? {
            ValueType::Array => {
                let (element, len) = Array::read_header(cursor)?;
                check_items(cursor, element, len)
            }
            scalar => check_items(cursor, scalar, 1),
        }
    }

    /// Reads a value that [`check`](Self::check) has passed, and its type.
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Parsed<(ValueType, Value<'a>)> {
        let value_type = ValueType::read(cursor)?;
        let value = match value_type {
            ValueType::Array => Value::Array(Array::read(cursor)?),
            scalar => read_item(cursor, scalar)?,
        };
        Ok((value_type, value))
    }
}

/// An array in the file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Array<'a> {
    /// Type of every element.
    pub element: ValueType,
    /// Number of elements.
    pub len: usize,
    /// From the first element on.
    bytes: &'a [u8],
}

impl<'a> Array<'a> {
    /// The elements in order.
    pub fn iter(self) -> impl ExactSizeIterator<Item = Value<'a>> {
        let mut cursor = Cursor::new(self.bytes);
        (0..self.len).map(move |_| {
            read_item(&mut cursor, self.element).expect("the array was checked when the file was opened")
        })
    }

    fn read(cursor: &mut Cursor<'a>) -> Parsed<Array<'a>> {
        let (element, len) = Array::read_header(cursor)?;
        Ok(Array { element, len, bytes: cursor.rest() })
    }

    fn read_header(cursor: &mut Cursor<'_>) -> Parsed<(ValueType, usize)> {
        let element = ValueType::read(cursor)?;
        if element == ValueType::Array {
            return Err("it is an array of arrays, which no known model has".to_owned());
        }
        let announced = cursor.u64()?;
        let len = cursor.count(announced, element.fixed_bytes().unwrap_or(STRING_BYTES))?;
        Ok((element, len))
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Unsigned(value) => value.fmt(f),
            Value::Signed(value) => value.fmt(f),
            Value::Float(value) => value.fmt(f),
            Value::Bool(value) => value.fmt(f),
            Value::String(text) => f.write_str(&quoted(&String::from_utf8_lossy(text))),
            Value::Array(array) => write!(f, "an array of {} {}", array.len, array.element),
        }
    }
}

fn check_items(cursor: &mut Cursor<'_>, item: ValueType, len: usize) -> Parsed<()> {
    match (item, item.fixed_bytes()) {
        (ValueType::Bool, _) => match cursor.take(len as u64)?.iter().find(|byte| **byte > 1) {
            Some(byte) => Err(format!("a bool is {byte}, expected 0 or 1")),
            None => Ok(()),
        },
        (_, Some(bytes)) => cursor.take(len as u64 * bytes as u64).map(drop),
        (_, None) => (0..len).try_for_each(|_| cursor.string().map(drop)),
    }
}

fn read_item<'a>(cursor: &mut Cursor<'a>, item: ValueType) -> Parsed<Value<'a>> {
    Ok(match item {
        ValueType::U8 => Value::Unsigned(u8::from_le_bytes(cursor.array()?).into()),
        ValueType::I8 => Value::Signed(i8::from_le_bytes(cursor.array()?).into()),
        ValueType::U16 => Value::Unsigned(u16::from_le_bytes(cursor.array()?).into()),
        ValueType::I16 => Value::Signed(i16::from_le_bytes(cursor.array()?).into()),
        ValueType::U32 => Value::Unsigned(cursor.u32()?.into()),
        ValueType::I32 => Value::Signed(i32::from_le_bytes(cursor.array()?).into()),
        ValueType::F32 => Value::Float(f32::from_le_bytes(cursor.array()?).into()),
        ValueType::Bool => Value::Bool(cursor.array()? != [0]),
        ValueType::String => Value::String(cursor.string()?),
        ValueType::Array => return Err("an array within an array".to_owned()),
        ValueType::U64 => Value::Unsigned(cursor.u64()?),
        ValueType::I64 => Value::Signed(i64::from_le_bytes(cursor.array()?)),
        ValueType::F64 => Value::Float(f64::from_le_bytes(cursor.array()?)),
    })
}
