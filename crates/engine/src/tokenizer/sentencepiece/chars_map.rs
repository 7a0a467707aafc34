//! The table by which a SentencePiece model normalizes its text: from sequences of characters to others, a trie in a
//! double array (Darts) and the texts it leads to.

use super::super::error::{Origin, TokenizerError};
use std::borrow::Cow;

/// A checked table: every state that a text can lead to lies within it.
#[derive(Debug, Clone)]
pub(in super::super) struct CharsMap {
    units: Vec<u32>,
    /// Every text ends with a zero byte.
    texts: String,
}

/// Position of the unit that follows, relative to the unit's own by exclusive or.
fn offset(unit: u32) -> usize {
    ((unit >> 10) << ((unit & (1 << 9)) >> 6)) as usize
}

/// Whether the unit is the one that `byte` leads to.
fn has_label(unit: u32, byte: u8) -> bool {
    unit & (1 << 31 | 0xff) == u32::from(byte)
}

fn has_value(unit: u32) -> bool {
    unit & (1 << 8) != 0
}

fn value(unit: u32) -> usize {
    (unit & !(1 << 31)) as usize
}

impl CharsMap {
    /// Reads and checks a table: the bytes of the trie's units (u32), the units, the texts.
    pub(in super::super) fn parse(origin: &Origin, key: &str, bytes: &[u8]) -> Result<Self, TokenizerError> {
        let broken = |found: &str| origin.malformed(key, found, "a table of normalizations");
        let (size, rest) = bytes.split_first_chunk::<4>().ok_or_else(|| broken("less than 4 bytes"))?;
        let size = u32::from_le_bytes(*size) as usize;
        let (units, texts) = rest.split_at_checked(size).ok_or_else(|| broken("fewer bytes than it says"))?;
        if units.is_empty() || units.len() % 4 != 0 {
            return Err(broken("units of other than 4 bytes"));
        }
        let units =
            units.chunks_exact(4).map(|unit| u32::from_le_bytes([unit[0], unit[1], unit[2], unit[3]]));
        let texts = String::from_utf8(texts.to_vec()).map_err(|_| broken("texts that are no UTF-8"))?;
        let map = Self { units: units.collect(), texts };
        map.check().map_err(broken)?;
        Ok(map)
    }

    /// Walks through every state once.
    fn check(&self) -> Result<(), &'static str> {
        let mut seen = vec![false; self.units.len()];
        let mut open = vec![0];
        while let Some(at) = open.pop() {
            if std::mem::replace(&mut seen[at], true) {
                continue;
            }
            let next = at ^ offset(self.units[at]);
            if has_value(self.units[at]) && at != 0 {
                let unit = self.units.get(next).ok_or("a value beyond its end")?;
                if !self.texts.is_char_boundary(value(*unit)) {
                    return Err("a text beyond its end");
                }
            }
            for byte in 1..=255 {
                let unit = self.units.get(next ^ usize::from(byte)).ok_or("a state beyond its end")?;
                if has_label(*unit, byte) {
                    open.push(next ^ usize::from(byte));
                }
            }
        }
        Ok(())
    }

    /// The text with the longest sequence at each place replaced.
    pub(super) fn normalize<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut normalized = String::new();
        let (mut at, mut copied) = (0, 0);
        while let Some(character) = text[at..].chars().next() {
            match self.longest(&text.as_bytes()[at..]) {
                Some((length, replacement)) if text.is_char_boundary(at + length) => {
                    normalized.push_str(&text[copied..at]);
                    normalized.push_str(replacement);
                    at += length;
                    copied = at;
                }
                _ => at += character.len_utf8(),
            }
        }
        if copied == 0 {
            return Cow::Borrowed(text);
        }
        normalized.push_str(&text[copied..]);
        Cow::Owned(normalized)
    }

    /// The longest sequence of the table that the bytes begin with: its length, and what takes its place.
    fn longest(&self, bytes: &[u8]) -> Option<(usize, &str)> {
        let mut found = None;
        let mut at = offset(*self.units.first()?);
        for (index, &byte) in bytes.iter().enumerate() {
            at ^= usize::from(byte);
            let Some(&unit) = self.units.get(at).filter(|&&unit| byte != 0 && has_label(unit, byte)) else {
                break;
            };
            at ^= offset(unit);
            if has_value(unit) {
                found = Some((index + 1, *self.units.get(at)?));
            }
        }
        let (length, unit) = found?;
        let text = self.texts.get(value(unit)..)?;
        Some((length, text.split('\0').next().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table that turns `a` into `b`, by hand: the root's children at 256, the state behind `a` at 512.
    fn table() -> Vec<u8> {
        let mut units = vec![0u32; 768];
        units[0] = 256 << 10;
        let a = 256 ^ 0x61;
        units[a] = ((a ^ 512) as u32) << 10 | 1 << 8 | 0x61;
        units[512] = 1 << 31 | 2;
        let size = (units.len() * 4) as u32;
        let units = units.iter().flat_map(|unit| unit.to_le_bytes());
        size.to_le_bytes().into_iter().chain(units).chain(*b"x\0b\0").collect()
    }

    fn parse(bytes: &[u8]) -> Result<CharsMap, String> {
        CharsMap::parse(&Origin::gguf(), "table", bytes).map_err(|error| error.to_string())
    }

    #[test]
    fn characters_are_replaced() {
        let map = parse(&table()).unwrap();
        assert_eq!(map.normalize("banana é"), "bbnbnb é");
        assert!(matches!(map.normalize("xyz"), Cow::Borrowed("xyz")));
    }

    #[test]
    fn broken_tables_are_refused() {
        let sound = table();
        for length in (0..16).chain([100, sound.len() - 5]) {
            assert!(parse(&sound[..length]).is_err(), "{length}");
        }
        let unit = |index: usize, unit: u32| {
            let mut bytes = sound.clone();
            bytes[4 + index * 4..8 + index * 4].copy_from_slice(&unit.to_le_bytes());
            parse(&bytes).unwrap_err()
        };
        assert!(unit(0, 4096 << 10).contains("a state beyond its end"));
        assert!(unit(512, 1 << 31 | 77).contains("a text beyond its end"));
    }
}
