//! The few lines of the protobuf wire format that `tokenizer.model` needs.

use super::super::error::{Origin, TokenizerError};

/// A field's value as it lies in the file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed32([u8; 4]),
    Bytes(&'a [u8]),
}

/// Reads the fields of one message in their order.
pub(super) struct Message<'a> {
    origin: &'a Origin,
    /// What the message describes, for errors.
    name: &'a str,
    rest: &'a [u8],
}

impl<'a> Message<'a> {
    pub(super) fn new(origin: &'a Origin, name: &'a str, bytes: &'a [u8]) -> Self {
        Self { origin, name, rest: bytes }
    }

    /// The next field's number and value; `None` at the end.
    pub(super) fn next_field(&mut self) -> Result<Option<(u64, Value<'a>)>, TokenizerError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            // No 64-bit field is read; it is stepped over like any unknown one.
            1 => Value::Bytes(self.take(8)?),
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => {
                let bytes = self.take(4)?;
                Value::Fixed32([bytes[0], bytes[1], bytes[2], bytes[3]])
            }
            wire_type => return Err(self.broken(format!("wire type {wire_type}"))),
        };
        Ok(Some((tag >> 3, value)))
    }

    fn varint(&mut self) -> Result<u64, TokenizerError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.broken("a number of more than ten bytes".into()))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], TokenizerError> {
        let available = self.rest.len();
        let split = usize::try_from(length).ok().and_then(|length| self.rest.split_at_checked(length));
        let (taken, rest) =
            split.ok_or_else(|| self.broken(format!("{available} bytes where {length} are needed")))?;
        self.rest = rest;
        Ok(taken)
    }

    /// An error about a field of this message.
    pub(super) fn broken(&self, found: String) -> TokenizerError {
        self.origin.malformed(self.name, found, "a SentencePiece model (protobuf)")
    }
}
