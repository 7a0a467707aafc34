//! The bytes that every token id stands for, and how a vocabulary spells them.

use super::error::{Origin, TokenizerError};

/// More ids than any model has; a larger one is a broken file, not a table to allocate.
const MAX_TOKENS: usize = 1 << 22;

/// What a WordPiece vocabulary puts before pieces within a word.
pub(super) const CONTINUES: &str = "##";

/// How the text of a token spells the bytes that it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// Every byte is one character of GPT-2's alphabet.
    ByteLevel,
    /// Text with `▁` for the space and, with `byte_fallback`, `<0xE4>` for a single byte.
    SentencePiece { byte_fallback: bool },
    /// A word, which a space goes before, or with [`CONTINUES`] what follows within one. `tidies` leaves out the space
    /// before punctuation and before what English writes together.
    WordPiece { tidies: bool },
}

/// What Hugging Face's WordPiece decoder joins to the word before.
const JOINED: &[&str] = &[".", "?", "!", ",", "n't", "'m", "'s", "'ve", "'re"];

impl Spelling {
    fn bytes(self, text: &str) -> Vec<u8> {
        match self {
            // A token with a character outside the alphabet was never byte-level: it is plain text.
            Self::ByteLevel => {
                text.chars().map(byte_level_byte).collect::<Option<_>>().unwrap_or_else(|| text.into())
            }
            Self::SentencePiece { byte_fallback } => match byte_token(text) {
                Some(byte) if byte_fallback => vec![byte],
                _ => text.replace('▁', " ").into_bytes(),
            },
            Self::WordPiece { tidies } => match text.strip_prefix(CONTINUES) {
                Some(rest) => rest.into(),
                None if tidies && JOINED.iter().any(|joined| text.starts_with(joined)) => text.into(),
                None => format!(" {text}").into(),
            },
        }
    }
}

/// The byte that a character of GPT-2's alphabet stands for.
fn byte_level_byte(character: char) -> Option<u8> {
    let code = u32::from(character);
    let byte = match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => code,
        // The bytes without a visible character of their own follow in their order.
        0x100..=0x120 => code - 0x100,
        0x121..=0x142 => code - 0x121 + 0x7f,
        0x143 => 0xad,
        _ => return None,
    };
    u8::try_from(byte).ok()
}

/// The characters that stand for bytes, in their order.
pub(super) fn byte_level_alphabet() -> impl Iterator<Item = char> {
    ('\u{21}'..='\u{143}').filter(|character| byte_level_byte(*character).is_some())
}

/// The byte that a token such as `<0xE4>` stands for.
pub(super) fn byte_token(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    let is_byte = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_byte.then(|| u8::from_str_radix(digits, 16).ok())?
}

/// The bytes that a byte-level vocabulary has no token for. Real ones lack some that only rare scripts' characters are
/// made of; one without all of ASCII is none.
pub(super) fn missing_bytes(
    origin: &Origin,
    key: &str,
    has_token: impl Fn(&str) -> bool,
) -> Result<Vec<u8>, TokenizerError> {
    let lacks = |character: &char| !has_token(character.encode_utf8(&mut [0; 4]));
    let mut missing: Vec<u8> = byte_level_alphabet().filter(lacks).filter_map(byte_level_byte).collect();
    // Bytes that never occur in UTF-8.
    missing.retain(|byte| !matches!(byte, 0xc0 | 0xc1 | 0xf5..));
    match missing.iter().find(|byte| matches!(byte, b'\n' | b' '..=b'~')) {
        Some(byte) => {
            let found = format!("no token for {} bytes, one of them {byte:#x}", missing.len());
            Err(origin.malformed(key, found, "a token for every byte"))
        }
        None => Ok(missing),
    }
}

/// The bytes of every id. Ids without a token have none.
#[derive(Debug)]
pub(super) struct Vocabulary {
    tokens: Vec<Token>,
    /// The first token's leading space was put there by the encoder, not by the text.
    pub(super) drops_leading_space: bool,
}

#[derive(Debug, Default, Clone)]
struct Token {
    bytes: Box<[u8]>,
    is_special: bool,
}

impl Vocabulary {
    pub(super) fn new(drops_leading_space: bool) -> Self {
        Self { tokens: Vec::new(), drops_leading_space }
    }

    /// Gives `id` the bytes that `text` spells.
    pub(super) fn insert(
        &mut self,
        origin: &Origin,
        id: u32,
        text: &str,
        spelling: Spelling,
    ) -> Result<(), TokenizerError> {
        let token = self.slot(origin, id, text)?;
        if !token.bytes.is_empty() {
            let found = format!("id {id} for {text:?} and for another token");
            return Err(origin.malformed("vocabulary", found, "one token for each id"));
        }
        token.bytes = spelling.bytes(text).into();
        Ok(())
    }

    /// Gives `id` the text itself, as tokens that are matched in the raw text have it.
    pub(super) fn insert_verbatim(
        &mut self,
        origin: &Origin,
        id: u32,
        text: &str,
        is_special: bool,
    ) -> Result<(), TokenizerError> {
        *self.slot(origin, id, text)? = Token { bytes: text.as_bytes().into(), is_special };
        Ok(())
    }

    fn slot(&mut self, origin: &Origin, id: u32, text: &str) -> Result<&mut Token, TokenizerError> {
        let index = id as usize;
        if index >= MAX_TOKENS {
            let found = format!("id {id} for token {text:?}");
            return Err(origin.malformed("vocabulary", found, format!("ids below {MAX_TOKENS}")));
        }
        if index >= self.tokens.len() {
            self.tokens.resize(index + 1, Token::default());
        }
        Ok(&mut self.tokens[index])
    }

    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    pub(super) fn bytes(&self, id: u32) -> Option<&[u8]> {
        self.tokens.get(id as usize).map(|token| &*token.bytes)
    }

    pub(super) fn is_special(&self, id: u32) -> bool {
        self.tokens.get(id as usize).is_some_and(|token| token.is_special)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_byte_alphabet_is_gpt2s() {
        let bytes: Vec<u8> = ('\0'..='\u{200}').filter_map(byte_level_byte).collect();
        let mut sorted = bytes.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..=255).collect::<Vec<u8>>());
        for (character, byte) in [('Ġ', b' '), ('Ċ', b'\n'), ('ĉ', b'\t'), ('Ń', 0xad), ('ł', 0xa0)] {
            assert_eq!(byte_level_byte(character), Some(byte));
        }
    }

    #[test]
    fn tokens_spell_bytes() {
        let sentencepiece = Spelling::SentencePiece { byte_fallback: true };
        assert_eq!(sentencepiece.bytes("▁a▁"), b" a ");
        assert_eq!(sentencepiece.bytes("<0xe4>"), [0xe4]);
        assert_eq!(sentencepiece.bytes("<0x+4>"), b"<0x+4>");
        assert_eq!(Spelling::SentencePiece { byte_fallback: false }.bytes("<0xE4>"), b"<0xE4>");
        let word_piece = Spelling::WordPiece { tidies: true };
        assert_eq!(["the", "##s", "."].map(|text| word_piece.bytes(text)), [&b" the"[..], b"s", b"."]);
        assert_eq!(Spelling::WordPiece { tidies: false }.bytes("."), b" .");
        assert_eq!(Spelling::ByteLevel.bytes("Ġä"), [b' ', 0xe4]);
        assert_eq!(Spelling::ByteLevel.bytes("a b"), b"a b");
    }
}
