//! Token ids back to text, one at a time, never half a character.

use std::sync::Arc;

use super::vocabulary::Vocabulary;

/// Turns a stream of token ids into text as soon as whole characters are there.
///
/// What the calls return, joined, is what [`Tokenizer::decode`](super::Tokenizer::decode) says of all the ids
/// at once. Bytes that are no UTF-8 become U+FFFD. Between calls it holds at most three bytes.
#[derive(Debug, Clone)]
pub struct Detokenizer {
    vocabulary: Arc<Vocabulary>,
    skip_special: bool,
    /// The text begins with the next byte, and a space there belongs to the encoder.
    drop_space: bool,
    /// The beginning of a character whose last bytes are still to come.
    partial: Vec<u8>,
}

impl Detokenizer {
    pub(super) fn new(vocabulary: Arc<Vocabulary>, skip_special: bool) -> Self {
        let drop_space = vocabulary.drops_leading_space;
        Self { vocabulary, skip_special, drop_space, partial: Vec::new() }
    }

    /// Takes the next id and returns the characters that it completes. An id that the vocabulary lacks has no
    /// text.
    pub fn push(&mut self, id: u32) -> String {
        let mut text = String::new();
        self.push_onto(id, &mut text);
        text
    }

    /// Takes the ids that came before, a prompt say, and returns nothing: the text that follows is then a
    /// continuation.
    pub fn skip(&mut self, ids: &[u32]) {
        let mut text = String::new();
        for &id in ids {
            self.push_onto(id, &mut text);
            text.clear();
        }
    }

    /// Ends the text: a character that never got its last bytes becomes U+FFFD.
    pub fn finish(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.partial).into_owned();
        self.partial.clear();
        text
    }

    pub(super) fn push_onto(&mut self, id: u32, text: &mut String) {
        if self.skip_special && self.vocabulary.is_special(id) {
            return;
        }
        let mut bytes = self.vocabulary.bytes(id).unwrap_or_default();
        if bytes.is_empty() {
            return;
        }
        if std::mem::take(&mut self.drop_space) {
            bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
        }
        self.partial.extend_from_slice(bytes);
        let whole = self.partial.len() - incomplete_tail(&self.partial);
        text.push_str(&String::from_utf8_lossy(&self.partial[..whole]));
        self.partial.drain(..whole);
    }
}

/// How many bytes at the end may be the beginning of a character.
fn incomplete_tail(bytes: &[u8]) -> usize {
    let tail = bytes.utf8_chunks().last().map_or(&[][..], |chunk| chunk.invalid());
    let may_go_on = std::str::from_utf8(tail).is_err_and(|error| error.error_len().is_none());
    if may_go_on { tail.len() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::super::error::Origin;
    use super::super::vocabulary::Spelling;
    use super::*;
    use proptest::prelude::*;

    /// Ids 0..=255 are the bytes, 256 is " a", 257 a special token.
    fn vocabulary(drops_leading_space: bool) -> Arc<Vocabulary> {
        let origin = Origin::gguf();
        let spelling = Spelling::SentencePiece { byte_fallback: true };
        let mut vocabulary = Vocabulary::new(drops_leading_space);
        for byte in 0..=255 {
            vocabulary.insert(&origin, byte, &format!("<0x{byte:02X}>"), spelling).unwrap();
        }
        vocabulary.insert(&origin, 256, "▁a", spelling).unwrap();
        vocabulary.insert_verbatim(&origin, 257, "<s>", true).unwrap();
        Arc::new(vocabulary)
    }

    fn pieces(ids: &[u32], skip_special: bool) -> Vec<String> {
        let mut detokenizer = Detokenizer::new(vocabulary(true), skip_special);
        let mut pieces: Vec<_> = ids.iter().map(|&id| detokenizer.push(id)).collect();
        pieces.push(detokenizer.finish());
        pieces
    }

    #[test]
    fn a_character_comes_out_whole() {
        assert_eq!(pieces(&[0xf0, 0x9f, 0x99, 0x82], true), ["", "", "", "🙂", ""]);
        assert_eq!(pieces(&[0xf0, 0x9f, 256], true), ["", "", "\u{fffd} a", ""]);
        assert_eq!(pieces(&[0xf0, 0x9f], true), ["", "", "\u{fffd}"]);
        assert_eq!(pieces(&[0xff, 0xc3, 0xa9], true), ["\u{fffd}", "", "é", ""]);
    }

    #[test]
    fn only_the_first_space_is_the_encoders() {
        assert_eq!(pieces(&[256, 256], true), ["a", " a", ""]);
        assert_eq!(pieces(&[257, 256], true), ["", "a", ""]);
        assert_eq!(pieces(&[257, 256], false), ["<s>", " a", ""]);
        assert_eq!(pieces(&[9999, 256], true), ["", "a", ""]);
    }

    #[test]
    fn a_continuation_keeps_its_space() {
        let mut detokenizer = Detokenizer::new(vocabulary(true), true);
        detokenizer.skip(&[257, 256, 0xc3]);
        assert_eq!(detokenizer.push(0xa9), "é");
        assert_eq!(detokenizer.push(256), " a");
    }

    proptest! {
        #[test]
        fn pieces_join_to_the_whole(ids in prop::collection::vec(0u32..260, 0..60), skip: bool) {
            let vocabulary = vocabulary(false);
            let shown = ids.iter().filter(|&&id| !(skip && id == 257));
            let bytes: Vec<u8> = shown.flat_map(|&id| vocabulary.bytes(id).unwrap_or_default().to_vec()).collect();
            let mut detokenizer = Detokenizer::new(vocabulary, skip);
            let mut text = String::new();
            for &id in &ids {
                text += &detokenizer.push(id);
                prop_assert!(detokenizer.partial.len() <= 3);
            }
            text += &detokenizer.finish();
            prop_assert_eq!(text, String::from_utf8_lossy(&bytes));
        }
    }
}
